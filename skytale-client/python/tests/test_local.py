"""Local mode, and the fixtures that other people's tests use: in a project of theirs, as pytest finds them."""

import pathlib
import subprocess
import sys

import skytale
from conftest import run
from skytale import Joined, Left, blocking

THEIR_TESTS = '''
import asyncio

import skytale


def test_blocking_agents(skytale_agents):
    alice, bob = skytale_agents("alice", "globex/agents/bob")
    assert (alice.name, bob.name) == ("test/agents/alice", "globex/agents/bob")
    room = alice.create_channel("acme/tests/room")
    bob.wait_until_addable(timeout=10)
    room.add(bob.name)
    room.send("hello")
    assert bob.join_channel("acme/tests/room", timeout=10).receive(timeout=10).text == "hello"


def test_asyncio_agents(skytale_relay):
    async def main():
        async with skytale.Client("acme/agents/alice", skytale_relay) as alice:
            # Each test has a relay of its own.
            assert await (await alice.create_channel("acme/tests/room")).send("x") == 2

    asyncio.run(main())
'''


def test_the_fixtures_are_there_for_anybody(tmp_path: pathlib.Path, request) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIR_TESTS)
    # An installed package is found by its entry point, one on the path has to be named.
    plugin = [] if "site-packages" in skytale.__file__ else ["-p", "skytale.testing"]
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", *plugin, "-p", "no:cacheprovider"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0 and "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_local_agents_of_both_faces_share_a_relay() -> None:
    relay = skytale.LocalRelay()

    async def main() -> None:
        async with skytale.Client("a/agents/alice", relay, post_quantum=True, padding=False) as alice:
            room = await alice.create_channel("a/b/room")
            with blocking.Client("a/agents/bob", relay, post_quantum=True) as bob:
                bob.wait_until_addable(timeout=20)
                await room.add(bob.name)
                other = bob.join_channel("a/b/room", timeout=20)
                number = other.send("hello", timeout=20)
                await room.wait_for(number)
                events = [await room.next() for _ in range(4)]
                assert Joined("a/agents/bob", 2) in events and events[-1].text == "hello"
                rotated = await room.rotate()
                other.wait_for(rotated, timeout=20)
                assert other.epoch == room.epoch and other.epoch_authenticator == room.epoch_authenticator
                other.leave(timeout=20)
                while type(other.next(timeout=20)).__name__ != "Evicted":
                    pass
                while not isinstance(await room.next(), Left):
                    pass
                assert [member.agent for member in room.members] == [alice.name]

    run(main())
    assert repr(relay) == "LocalRelay()"
