"""Channels over a real server, by both faces and both transports."""

import asyncio
import itertools
import random
import threading
from datetime import datetime, timedelta, timezone

import pytest
import skytale
from conftest import Place, run
from skytale import Epoch, Joined, Message, blocking


def test_asyncio_agents_talk(server: Place, transport: str, channel_name: str) -> None:
    async def main() -> None:
        async with (
            skytale.Client(**server.agent("alice", transport)) as alice,
            skytale.Client(**server.agent("bob", transport)) as bob,
        ):
            room = await alice.create_channel(channel_name)
            await bob.wait_until_addable()
            await room.add(bob.name)
            number = await room.send("hello, Bob")
            other = await bob.join_channel(channel_name)
            message = await other.receive()
            assert (message.text, message.body, message.sequence) == ("hello, Bob", b"hello, Bob", number)
            assert (message.channel, message.sender, message.size) == (channel_name, alice.name, 10)
            assert datetime.now(timezone.utc) - message.received_at < timedelta(minutes=1)
            assert sorted(member.agent for member in other.members) == sorted([alice.name, bob.name])
            assert (room.epoch, room.epoch_authenticator) == (other.epoch, other.epoch_authenticator)
            answer = await other.send(b"\x00\xff")
            events = []
            async for event in room:
                events.append(event)
                if isinstance(event, Message):
                    break
            assert [event.agent for event in events if isinstance(event, Joined)] == [bob.name]
            assert any(isinstance(event, Epoch) for event in events)
            assert isinstance(event, Message) and (event.body, event.sequence) == (b"\x00\xff", answer)
            assert "x00" not in repr(event) and "size=2" in repr(event)

    run(main())


def test_blocking_agents_talk(server: Place, transport: str, channel_name: str) -> None:
    with (
        blocking.Client(**server.agent("alice", transport)) as alice,
        blocking.Client(**server.agent("bob", transport)) as bob,
    ):
        room = alice.create_channel(channel_name, timeout=60)
        bob.wait_until_addable(timeout=60)
        room.add(bob.name, timeout=60)
        for number in range(20):
            room.send(f"message {number}", timeout=60)
        other = bob.join_channel(channel_name, timeout=60)
        heard = [message.text for message in itertools.islice(other.messages(), 20)]
        assert heard == [f"message {number}" for number in range(20)]
        with pytest.raises(TimeoutError):
            other.next(timeout=0.05)
        room.send("later", timeout=60)
        assert other.receive(timeout=60).text == "later"
        room.remove(bob.name, timeout=60)
        kinds = [type(event).__name__ for event in other]
        assert kinds[-1] == "Evicted"


def test_nothing_is_lost_when_readers_give_up_again_and_again(server: Place, channel_name: str) -> None:
    """Timeouts and cancellation hit `next` at every moment; each message comes once, and in order."""
    count = 300

    async def main() -> None:
        async with skytale.Client(**server.agent("alice")) as alice, skytale.Client(**server.agent("bob")) as bob:
            room = await alice.create_channel(channel_name)
            await bob.wait_until_addable()
            await room.add(bob.name)
            other = await bob.join_channel(channel_name)

            async def talk() -> None:
                for number in range(count):
                    await room.send(str(number))

            talking = asyncio.create_task(talk())
            heard: list[int] = []
            given_up = 0
            while len(heard) < count:
                try:
                    event = await asyncio.wait_for(other.next(), random.uniform(0.00001, 0.003))
                except asyncio.TimeoutError:
                    given_up += 1
                    continue
                if isinstance(event, Message):
                    heard.append(int(event.text))
            await talking
            assert heard == list(range(count))
            assert given_up > 10

    run(main())


def test_an_agent_comes_back_from_its_state(server: Place, channel_name: str, tmp_path) -> None:
    """What was said while it was away comes, and what it had dealt with does not."""
    kept = server.agent("bob", state=tmp_path / "bob", state_key=b"k" * 32)
    with blocking.Client(**server.agent("alice")) as alice:
        room = alice.create_channel(channel_name)
        with blocking.Client(**kept) as bob:
            bob.wait_until_addable()
            room.add(bob.name)
            other = bob.join_channel(channel_name)
            room.send("first")
            assert other.receive().text == "first"
            with pytest.raises(TimeoutError):
                other.next(timeout=0.05)
            with pytest.raises(skytale.StateInUseError) as raised, blocking.Client(**kept):
                pass
            assert raised.value.code == "state_in_use"
        room.send("second")
        with blocking.Client(**kept) as bob:
            assert bob.channels() == [channel_name]
            other = bob.open_channel(channel_name)
            assert other.receive(timeout=60).text == "second"
            assert other.sent_count == 0 and other.is_member


def test_a_closed_channel_ends_its_readers_and_opens_again(server: Place, channel_name: str) -> None:
    async def main() -> None:
        async with skytale.Client(**server.agent("alice")) as alice:
            room = await alice.create_channel(channel_name)
            assert await room.next() == Epoch(1, 1)
            reading = asyncio.create_task(room.next())
            await asyncio.sleep(0.05)
            await room.close()
            assert await reading is None
            with pytest.raises(skytale.ClosedError):
                await room.send("too late")
            async with await alice.open_channel(channel_name) as again:
                await again.send("in time")

    run(main())


def test_many_threads_share_a_client(server: Place, channel_name: str) -> None:
    with blocking.Client(**server.agent("alice")) as alice, blocking.Client(**server.agent("bob")) as bob:
        room = alice.create_channel(channel_name)
        bob.wait_until_addable()
        room.add(bob.name)
        other = bob.join_channel(channel_name)
        numbers: list[int] = []

        def talk() -> None:
            numbers.extend([room.send("x") for _ in range(25)])

        threads = [threading.Thread(target=talk) for _ in range(8)]
        for thread in threads:
            thread.start()
        heard = [other.receive(timeout=60).sequence for _ in range(200)]
        for thread in threads:
            thread.join()
        assert heard == sorted(numbers)


def test_loops_one_after_the_other_and_in_threads(server: Place) -> None:
    """A client belongs to no loop: each loop is told by its own bridge."""

    async def main(name: str) -> int:
        async with skytale.Client(**server.agent("alice")) as alice:
            room = await alice.create_channel(name)
            return await room.send("hello")

    names = [server.agent("room")["name"] for _ in range(6)]
    for name in names[:3]:
        assert run(main(name)) == 2
    results: list[int] = []
    threads = [threading.Thread(target=lambda name=name: results.append(run(main(name)))) for name in names[3:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2, 2, 2]


def test_invites_let_others_in(closed_server: Place, transport: str, channel_name: str) -> None:
    async def main() -> None:
        async with (
            skytale.Client(**closed_server.keyed("alice", transport)) as alice,
            skytale.Client(**closed_server.keyed("bob", transport)) as bob,
        ):
            room = await alice.create_channel(channel_name)
            invite = await room.invite(uses=1, seconds=600)
            assert invite.startswith("skt_inv_")
            other = await bob.join(channel_name, invite)
            await room.send("come in")
            assert (await other.receive()).text == "come in"
            with pytest.raises(skytale.ApiRefusedError) as raised:
                async with skytale.Client(**closed_server.keyed("cyd", transport)) as cyd:
                    await cyd.join(channel_name, invite)
            assert raised.value.code == "api_refused" and raised.value.status in range(400, 500)

    run(main())


def test_messages_that_are_sent_at_once_keep_the_order_of_their_calls(server: Place, channel_name: str) -> None:
    async def main() -> None:
        async with skytale.Client(**server.agent("alice")) as alice, skytale.Client(**server.agent("bob")) as bob:
            room = await alice.create_channel(channel_name)
            await bob.wait_until_addable()
            await room.add(bob.name)
            other = await bob.join_channel(channel_name)
            numbers = await asyncio.gather(*(room.send(str(number)) for number in range(1000)))
            assert numbers == list(range(numbers[0], numbers[0] + 1000))
            assert [(await other.receive()).text for _ in range(1000)] == [str(number) for number in range(1000)]

    run(main())
