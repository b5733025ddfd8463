"""Envelopes by the names of `skytale-sdk`: the same bytes as those of `skytale.envelope`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from skytale import envelope

__all__ = ["Envelope", "Protocol"]


class Protocol(str, enum.Enum):
    """What an envelope's payload is."""

    RAW = "raw"
    SLIM = "slim"
    A2A = "a2a"
    ACP = "acp"
    MCP = "mcp"
    ANP = "anp"
    LMOS = "lmos"
    NLIP = "nlip"
    STATE = "state"


@dataclass
class Envelope:
    """A payload with its protocol and content type."""

    protocol: Protocol
    content_type: str
    payload: bytes
    metadata: dict[str, Any] | None = None

    def serialize(self) -> bytes:
        """Returns the bytes to send."""
        texts = {str(key): str(value) for key, value in (self.metadata or {}).items()}
        return envelope.Envelope(Protocol(self.protocol).value, self.content_type, self.payload, texts).pack()

    @classmethod
    def deserialize(cls, data: bytes) -> Envelope:
        """Reads an envelope.

        Raises:
            ValueError: Where it is none, or of a protocol without a name here.
        """
        return cls._of(envelope.Envelope.unpack(data))

    @classmethod
    def of(cls, data: bytes) -> Envelope:
        """Reads an envelope; what is none, or of another protocol, becomes the payload of one of `Protocol.RAW`."""
        found = envelope.Envelope.of(data)
        try:
            return cls._of(found)
        except ValueError:
            return cls(Protocol.RAW, found.content_type, data)

    @classmethod
    def _of(cls, found: envelope.Envelope) -> Envelope:
        return cls(Protocol(found.protocol), found.content_type, found.payload, dict(found.metadata) or None)
