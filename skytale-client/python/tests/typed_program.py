"""A program of a user who checks types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import skytale
from skytale import blocking
from skytale.tools import Toolbox


async def asyncio_program() -> AsyncIterator[str]:
    async with skytale.Client("a/b/c", "quic://localhost", state="here") as client:
        room: skytale.Channel = await client.create_channel("a/b/room")
        number: int = await room.send("x")
        members: list[str] = [member.agent for member in room.members]
        yield f"{number} {members}"
        async for event in room:
            match event:
                case skytale.Message(sender=sender, body=body, received_at=at):
                    sent: bytes = body
                    when: datetime = at
                    yield f"{sender} {sent!r} {when}"
                case skytale.Joined(agent=agent) | skytale.Left(agent=agent):
                    yield agent
                case skytale.Gap(first=first, last=last):
                    yield str(last - first)
                case _:
                    yield repr(event)
        await Toolbox(client).call("members", channel="a/b/room")


def blocking_program(client: blocking.Client) -> Iterator[int]:
    room = client.create_channel("a/b/room", timeout=1.5)
    try:
        yield room.send(b"x", timeout=2)
    except skytale.RefusedError as error:
        code: str = error.code
        after: float | None = error.retry_after
        print(code, after, error.relay_code)
    for message in room.messages():
        yield message.sequence


def last(client: blocking.Client) -> None:
    room = client.open_channel("a/b/room")
    room.send("x")
