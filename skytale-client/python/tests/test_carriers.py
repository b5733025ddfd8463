"""Envelopes, A2A messages and large payloads over real channels."""

import asyncio
import hashlib
import io
import os

import pytest
import skytale
from conftest import Place, run
from skytale import a2a, files
from skytale.envelope import Envelope, NotAnEnvelope


async def pair(server: Place, name: str, stack) -> tuple[skytale.Channel, skytale.Channel]:
    alice = await stack.enter_async_context(skytale.Client(**server.agent("alice")))
    bob = await stack.enter_async_context(skytale.Client(**server.agent("bob")))
    room = await alice.create_channel(name)
    await bob.wait_until_addable()
    await room.add(bob.name)
    return room, await bob.join_channel(name)


def test_envelopes_come_back() -> None:
    for envelope in (
        Envelope("acp", "application/json", b"{}"),
        Envelope("ü", "", b"", {"k": "v", "größe": "1"}),
        Envelope("raw", "application/octet-stream", os.urandom(100_000)),
    ):
        assert Envelope.unpack(envelope.pack()) == envelope
    assert "secret" not in repr(Envelope("a", "b", b"secret"))
    with pytest.raises(ValueError, match="65536"):
        Envelope("a", "b", b"", {"k": "v" * 70_000}).pack()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"SKE1",
        b"SKE1\0\0\0",
        b"SKE1\0\0\0\1",
        b"SKE1\0\0\0\1{",
        b"SKE1\xff\xff\xff\xff{}",
        b"SKE1\0\0\0\2[]",
        b"SKE1\0\0\0\2{}",
        b'SKE1\0\0\0\x0e{"protocol":1}',
        b"SKE1\0\1\0\0" + b"[" * 65536,
        b"hello, this is text",
    ],
)
def test_what_is_no_envelope_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotAnEnvelope):
        Envelope.unpack(body)
    assert Envelope.of(body) == Envelope("raw", "application/octet-stream", body)


def test_a2a_messages_over_a_channel(server: Place, channel_name: str) -> None:
    from a2a.helpers import get_message_text, new_data_part, new_text_part
    from a2a.types import Message, Role, Task, TaskState, TaskStatus

    said = Message(message_id="m1", context_id="c1", role=Role.ROLE_AGENT)
    said.parts.extend([new_text_part("three anomalies"), new_data_part({"rows": [1, 2]})])
    task = Task(id="t1", context_id="c1", status=TaskStatus(state=TaskState.TASK_STATE_WORKING))

    async def main() -> None:
        async with skytale.Client(**server.agent("x")), _stack() as stack:
            room, other = await pair(server, channel_name, stack)
            await room.send("not of A2A")
            number = await a2a.send(room, said)
            await a2a.send(room, task)
            received = await a2a.receive(other)
            assert (received.content, received.sequence) == (said, number)
            assert received.sender.endswith("/alice") and get_message_text(received.content) == "three anomalies"
            assert (await a2a.receive(other)).content == task
            await room.send(Envelope("a2a", "application/a2a+json", b"{", {"type": "Message"}).pack())
            with pytest.raises(ValueError, match="cannot be read"):
                await a2a.receive(other)
            await room.send(Envelope("a2a", "application/a2a+json", b"{}", {"type": "AgentCard"}).pack())
            with pytest.raises(ValueError, match="unknown type"):
                await a2a.receive(other)

    run(main())
    with pytest.raises(TypeError, match="A2A has no"):
        a2a.seal("text")  # type: ignore[arg-type]


def _stack():
    import contextlib

    return contextlib.AsyncExitStack()


def test_a_large_payload_arrives_with_progress(server: Place, channel_name: str, tmp_path) -> None:
    content = os.urandom(5 * 1024 * 1024 + 17)
    sent: list[tuple[int, int | None]] = []
    received: list[tuple[int, int | None]] = []

    async def main() -> None:
        async with _stack() as stack:
            room, other = await pair(server, channel_name, stack)
            source, nothing = io.BytesIO(content), io.BytesIO()
            sending = asyncio.create_task(
                files.send(room, source, name="../../etc/Größe.bin", progress=lambda *step: sent.append(step))
            )
            found = []
            with files.Incoming(tmp_path, progress=lambda *step: received.append(step)) as incoming:
                while not found:
                    file = incoming.feed(await other.receive())
                    found += [file] if file else []
                await sending
                await files.send(room, nothing, name="Größe.bin")
                while len(found) < 2:
                    file = incoming.feed(await other.receive())
                    found += [file] if file else []
        first, second = found
        assert first.path == tmp_path / "Größe.bin" and first.size == len(content)
        assert hashlib.sha256(first.path.read_bytes()).digest() == hashlib.sha256(content).digest()
        assert second.path == tmp_path / "Größe-2.bin" and second.size == 0
        assert sent[-1] == received[-1] == (len(content), len(content)) and len(received) == 21
        assert sorted(path.name for path in tmp_path.iterdir()) == ["Größe-2.bin", "Größe.bin"]

    run(main())


def file_message(about: dict, payload: bytes = b"") -> skytale.Message:
    body = Envelope("skytale-file", "application/octet-stream", payload, about).pack()
    return skytale.Message("a/b/c", "a/b/mallory", 1, "00", 1, body)


def test_files_of_hostile_senders_come_to_nothing(tmp_path) -> None:
    end = hashlib.sha256(b"x").hexdigest()
    first = file_message({"id": "1", "index": "0", "name": "f", "size": "1"}, b"x")
    cases = [
        [file_message({"id": "1", "index": "1"}, b"x")],
        [first, first],
        [first, file_message({"id": "1", "index": "2"}, b"x")],
        [first, file_message({"id": "1", "index": "1", "end": "wrong"})],
        [first, file_message({"id": "1", "index": "1"}, bytes(100))],
    ]
    for messages in cases:
        with files.Incoming(tmp_path, max_size=50) as incoming, pytest.raises(files.IncompleteFile):
            for message in messages:
                assert incoming.feed(message) is None
    with files.Incoming(tmp_path, max_files=2) as incoming, pytest.raises(files.IncompleteFile, match="more than 2"):
        for number in range(3):
            incoming.feed(file_message({"id": str(number), "index": "0"}, b"x"))
    for name in ("..", "/", "a/../..", ".ssh", "\0", "x" * 5000, "C:\\boot.ini"):
        with files.Incoming(tmp_path) as incoming:
            incoming.feed(file_message({"id": "1", "index": "0", "name": name}, b"x"))
            file = incoming.feed(file_message({"id": "1", "index": "1", "end": end}))
            assert file is not None and file.path.parent == tmp_path and not file.path.name.startswith(".")
    assert all(path.read_bytes() == b"x" for path in tmp_path.iterdir())
