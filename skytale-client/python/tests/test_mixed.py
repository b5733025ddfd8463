"""One channel, four kinds of agents: Rust (the command line), asyncio, blocking, and one that came late. All agree."""

import asyncio
import json
import pathlib
import subprocess
import threading

import skytale
from conftest import SECONDS, Place, run
from skytale import Message, blocking
from skytale.tools import Toolbox

TIMES = 25
Log = dict[int, tuple[str, str]]


class RustAgent:
    """The `skytale` program, with a home of its own."""

    def __init__(self, programs: pathlib.Path, home: pathlib.Path, place: Place, name: str) -> None:
        self.name, self.log = name, Log()
        self._command = [programs / "skytale", "--home", home, "--json"]
        where = ["--api", place.api, "--relay", place.quic, "--trust", place.trust]
        self.do("signup", "--email", f"{name.replace('/', '.')}@example.org", "--agent", name, *where)

    def do(self, *arguments: object, given: str = "") -> list[dict]:
        command = [str(part) for part in [*self._command, *arguments]]
        ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=SECONDS)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def talk(self, channel: str, topic: str) -> None:
        texts = [f"{topic} rust {number}" for number in range(TIMES)]
        numbers = [answer["sequence"] for answer in self.do("send", channel, given="\n".join(texts))]
        self.log |= {number: (self.name, text) for number, text in zip(numbers, texts, strict=True)}

    def hear(self, channel: str, count: int) -> None:
        for event in self.do("receive", channel, "--count", count):
            if event["event"] == "message":
                self.log[event["sequence"]] = (event["sender"], event["text"])


def talk_blocking(client: blocking.Client, room: blocking.Channel, log: Log, topic: str) -> None:
    for number in range(TIMES):
        text = f"{topic} blocking {number}"
        log[room.send(text, timeout=SECONDS)] = (client.name, text)


def hear_blocking(room: blocking.Channel, log: Log, count: int) -> None:
    for _ in range(count):
        message = room.receive(timeout=SECONDS)
        log[message.sequence] = (message.sender, message.text)


async def talk(client: skytale.Client, room: skytale.Channel, log: Log, topic: str) -> None:
    for number in range(TIMES):
        text = f"{topic} asyncio {number}"
        log[await room.send(text)] = (client.name, text)


async def hear(room: skytale.Channel, log: Log, count: int) -> None:
    while count > 0:
        event = await room.next()
        if isinstance(event, Message):
            log[event.sequence] = (event.sender, event.text)
            count -= 1


def test_all_agree(closed_server: Place, programs: pathlib.Path, channel_name: str, tmp_path: pathlib.Path) -> None:
    place = closed_server
    rust = RustAgent(programs, tmp_path / "rust", place, place.agent("rust")["name"])

    async def main(second: blocking.Client) -> None:
        async with (
            skytale.Client(**place.keyed("asyncio")) as first,
            skytale.Client(**place.keyed("late", "grpc")) as third,
        ):
            room = await first.create_channel(channel_name)
            invite = await room.invite(uses=3)
            joined = await asyncio.to_thread(second.join, channel_name, invite, timeout=SECONDS)
            await asyncio.to_thread(rust.do, "channel", "join", channel_name, invite)
            logs: list[Log] = [{}, {}, {}]
            await asyncio.gather(
                talk(first, room, logs[0], "early"),
                asyncio.to_thread(talk_blocking, second, joined, logs[1], "early"),
                asyncio.to_thread(rust.talk, channel_name, "early"),
            )
            late = await third.join(channel_name, invite)
            since = late.last_applied
            await asyncio.gather(
                talk(first, room, logs[0], "later"),
                asyncio.to_thread(talk_blocking, second, joined, logs[1], "later"),
                asyncio.to_thread(rust.talk, channel_name, "later"),
            )
            await asyncio.gather(
                hear(room, logs[0], 4 * TIMES),
                asyncio.to_thread(hear_blocking, joined, logs[1], 4 * TIMES),
                asyncio.to_thread(rust.hear, channel_name, 4 * TIMES),
            )
            toolbox = Toolbox(third)
            received = (await toolbox.call("receive", channel=channel_name, wait_seconds=20))["messages"]
            history = (await toolbox.call("history", channel=channel_name, limit=1000))["messages"]
            assert history == received and len(history) == 3 * TIMES
            logs[2] = {message["sequence"]: (message["sender"], message["text"]) for message in history}
            assert len(logs[0]) == 6 * TIMES and logs[0] == logs[1] == rust.log
            assert logs[2] == {number: said for number, said in logs[0].items() if number > since}
            said = [said for _, said in sorted(logs[0].items())]
            for topic in ("early", "later"):
                for who in ("asyncio", "blocking", "rust"):
                    wanted = [f"{topic} {who} {number}" for number in range(TIMES)]
                    assert [text for _, text in said if text.startswith(f"{topic} {who} ")] == wanted
            assert room.epoch_authenticator == joined.epoch_authenticator == late.epoch_authenticator
            members = {member.agent for member in room.members}
            (shown,) = await asyncio.to_thread(rust.do, "channel", "members", channel_name)
            assert members == {member["agent"] for member in shown["members"]} and len(members) == 4

    with blocking.Client(**place.keyed("blocking")) as second:
        run(main(second))
    assert threading.active_count() < 50
