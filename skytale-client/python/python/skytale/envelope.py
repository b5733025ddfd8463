"""Messages with a protocol tag and a content type, so that several protocols share one channel.

>>> await channel.send(Envelope("acp", "application/json", b"{}").pack())
>>> envelope = Envelope.unpack(message.body)

The layout: `SKE1`, the length of the header (4 bytes, big endian), the header (a JSON object with `protocol`,
`content_type` and `metadata`), the payload.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, cast

__all__ = ["Envelope", "NotAnEnvelope"]


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


class NotAnEnvelope(ValueError):
    """A message is no envelope, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, and what it is. Its `repr` tells the payload's length, not the payload."""

    MAGIC: ClassVar[bytes] = b"SKE1"
    MAX_HEADER: ClassVar[int] = 64 * 1024
    RAW: ClassVar[str] = "raw"
    """The protocol of what was said without an envelope."""

    protocol: str
    """The protocol's tag, like `a2a`, `acp`, `mcp`, `slim`."""
    content_type: str
    """The payload's media type."""
    payload: bytes = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=_nothing)
    """More about the payload: a few short texts."""

    def pack(self) -> bytes:
        """Returns the bytes to send.

        Raises:
            ValueError: Where the header has more than 64 KiB.
        """
        header = {"protocol": self.protocol, "content_type": self.content_type, "metadata": dict(self.metadata)}
        encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(encoded) > self.MAX_HEADER:
            raise ValueError(f"an envelope's header has at most {self.MAX_HEADER} bytes; this one has {len(encoded)}")
        return self.MAGIC + len(encoded).to_bytes(4, "big") + encoded + self.payload

    @classmethod
    def unpack(cls, body: bytes) -> Envelope:
        """Reads an envelope.

        Raises:
            NotAnEnvelope: Where these bytes are none.
        """
        start = len(cls.MAGIC) + 4
        length = int.from_bytes(body[len(cls.MAGIC) : start], "big")
        if body[: len(cls.MAGIC)] != cls.MAGIC or length > min(cls.MAX_HEADER, len(body) - start):
            raise NotAnEnvelope("the message is not an envelope")
        try:
            header: Any = json.loads(body[start : start + length])
        except (ValueError, RecursionError) as error:
            raise NotAnEnvelope("the envelope's header is no JSON") from error
        if not isinstance(header, dict):
            raise NotAnEnvelope("the envelope's header is no JSON object")
        found = cast("dict[str, Any]", header)
        protocol, content_type, metadata = found.get("protocol"), found.get("content_type"), found.get("metadata", {})
        if not isinstance(protocol, str) or not isinstance(content_type, str) or not isinstance(metadata, dict):
            raise NotAnEnvelope("the envelope's header lacks `protocol` or `content_type`")
        texts = {str(key): str(value) for key, value in cast("dict[str, object]", metadata).items()}
        return cls(protocol, content_type, body[start + length :], MappingProxyType(texts))

    @classmethod
    def of(cls, body: bytes) -> Envelope:
        """Reads an envelope; what is none becomes the payload of one with the protocol `raw`."""
        try:
            return cls.unpack(body)
        except NotAnEnvelope:
            return cls(cls.RAW, "application/octet-stream", body)
