"""The published SDK without a key, on loopback: two members, then three, each says 50 things that all others read.

usage: published_sdk.py ENDPOINT
"""
import os
import sys
import tempfile
import threading
import time
import traceback
import uuid

from skytale_sdk import SkytaleClient

TIMES = 50
# The SDK drops what exceeds its queue of 64, so nobody may be further ahead of a reader than that.
BURST = 10
WAIT_SECONDS = 60


class Member:
    def __init__(self, endpoint: str, home: str, who: str):
        self.client = SkytaleClient(endpoint, os.path.join(home, who), who.encode())
        self.who, self.heard = who, []

    def enter(self, channel) -> None:
        self.channel = channel
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        for message in self.channel.messages():
            self.heard.append(bytes(message).decode())


def main(endpoint: str) -> None:
    name = f"interop/sdk/{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as home:
        ann, ben, cyd = (Member(endpoint, home, who) for who in ("ann", "ben", "cyd"))
        ann.enter(ann.client.create_channel(name))
        ben.enter(ben.client.join_channel(name, ann.channel.add_member(ben.client.generate_key_package())))
        all_talk([ann, ben], "two")
        cyd.enter(cyd.client.join_channel(name, ann.channel.add_member(cyd.client.generate_key_package())))
        all_talk([ann, ben, cyd], "three")


def all_talk(members: list, topic: str) -> None:
    await_same_epoch(members)
    for start in range(0, TIMES, BURST):
        for number in range(start, start + BURST):
            for member in members:
                member.channel.send(f"{topic} {member.who} {number}".encode())
        await_heard(members, (start + BURST) * (len(members) - 1))
    for member in members:
        for other in (other for other in members if other is not member):
            wanted = [f"{topic} {other.who} {number}" for number in range(TIMES)]
            assert [text for text in member.heard if f" {other.who} " in text] == wanted, (member.who, member.heard)


def await_same_epoch(members: list) -> None:
    """Waits until everybody is in the epoch of the last commit: a newcomer cannot read what is sent in an older one."""
    clear(members)
    committer, *others = members
    committer.channel.send(b"after the commit")
    await_heard(others, 1)
    clear(members)


def clear(members: list) -> None:
    for member in members:
        member.heard.clear()


def await_heard(members: list, count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while any(len(member.heard) != count for member in members):
        assert time.monotonic() < deadline, (count, {member.who: member.heard for member in members})
        time.sleep(0.02)


status = 0
try:
    main(sys.argv[1])
except BaseException:
    traceback.print_exc()
    status = 1
# The SDK's reading threads do not end by themselves.
os._exit(status)
