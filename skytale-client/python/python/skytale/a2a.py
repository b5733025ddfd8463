"""A2A messages over channels, with the types of the package `a2a-sdk` (`pip install skytale[a2a]`).

>>> from a2a.types import Message, Part, Role
>>> await skytale.a2a.send(channel, Message(message_id="1", role=Role.ROLE_AGENT, parts=[Part(text="hello")]))
>>> received = await skytale.a2a.receive(channel)
>>> received.sender, received.content
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from a2a.types import Artifact, Message, Task, TaskArtifactUpdateEvent, TaskStatusUpdateEvent
from google.protobuf import json_format

from skytale.envelope import Envelope
from skytale.events import Message as Received

if TYPE_CHECKING:
    from skytale import Channel

__all__ = ["A2A", "A2AMessage", "open_message", "receive", "seal", "send"]

A2A = "a2a"
"""The protocol's tag."""

Content: TypeAlias = "Message | Task | Artifact | TaskStatusUpdateEvent | TaskArtifactUpdateEvent"

_TYPES: dict[str, Any] = {
    kind.DESCRIPTOR.name: kind for kind in (Message, Task, Artifact, TaskStatusUpdateEvent, TaskArtifactUpdateEvent)
}


@dataclass(frozen=True)
class A2AMessage:
    """What an agent said in A2A's words, and who it was: the name that MLS has verified."""

    sender: str
    sequence: int
    content: Content


def seal(content: Content) -> bytes:
    """Returns the envelope of something of A2A: its ProtoJSON, tagged `a2a`.

    Raises:
        TypeError: Where it is none of A2A's types.
    """
    kind = getattr(getattr(content, "DESCRIPTOR", None), "name", type(content).__name__)
    if kind not in _TYPES:
        raise TypeError(f"A2A has no {kind}: give one of {', '.join(sorted(_TYPES))}")
    payload = json_format.MessageToJson(cast(Any, content), indent=None).encode()
    return Envelope(A2A, "application/a2a+json", payload, {"type": kind}).pack()


def open_message(message: Received) -> A2AMessage | None:
    """Reads something of A2A; `None` where the message is of another protocol.

    Raises:
        ValueError: Where it says that it is of A2A, and is not.
    """
    envelope = Envelope.of(message.body)
    if envelope.protocol != A2A:
        return None
    kind = _TYPES.get(envelope.metadata.get("type", ""))
    if kind is None:
        raise ValueError(f"A2A message {message.sequence} is of an unknown type")
    try:
        content = json_format.Parse(envelope.payload, kind(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"A2A message {message.sequence} cannot be read: {error}") from error
    return A2AMessage(message.sender, message.sequence, content)


async def send(channel: Channel, content: Content) -> int:
    """Says something of A2A to all other members, and returns its number."""
    return await channel.send(seal(content))


async def receive(channel: Channel) -> A2AMessage:
    """Waits for the next message of A2A, passing over those of other protocols."""
    while (found := open_message(await channel.receive())) is None:
        pass
    return found
