"""The published SDK without a key, on loopback: two members, then three, each says 50 things that all others read.

usage: published_sdk.py ENDPOINT
"""
import os
import sys
import tempfile
import threading
import uuid

from skytale_sdk import SkytaleClient

TIMES = 50


def reader(channel, count: int, heard: list) -> threading.Thread:
    def read():
        messages = channel.messages()
        while len(heard) < count:
            heard.append(bytes(next(messages)).decode())
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def all_talk(channels: dict, topic: str) -> None:
    expected = {who: sorted(f"{topic}-{other}-{n}" for other in channels if other != who for n in range(TIMES))
                for who in channels}
    heard = {who: [] for who in channels}
    threads = [reader(channel, len(expected[who]), heard[who]) for who, channel in channels.items()]
    for number in range(TIMES):
        for who, channel in channels.items():
            channel.send(f"{topic}-{who}-{number}".encode())
    for thread in threads:
        thread.join(60)
    for who in channels:
        assert sorted(heard[who]) == expected[who], (topic, who, len(heard[who]), len(expected[who]))


def main(endpoint: str) -> None:
    name = f"interop/sdk/{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as home:
        client = {who: SkytaleClient(endpoint, os.path.join(home, who), who.encode()) for who in ("ann", "ben", "cyd")}
        channels = {"ann": client["ann"].create_channel(name)}
        welcome = channels["ann"].add_member(client["ben"].generate_key_package())
        channels["ben"] = client["ben"].join_channel(name, welcome)
        all_talk(channels, "two")
        welcome = channels["ann"].add_member(client["cyd"].generate_key_package())
        channels["cyd"] = client["cyd"].join_channel(name, welcome)
        all_talk(channels, "three")


main(sys.argv[1])
os._exit(0)
