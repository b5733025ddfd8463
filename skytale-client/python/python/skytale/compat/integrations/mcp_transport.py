"""MCP's JSON-RPC over a channel. For an MCP server with the channels as tools see `skytale.mcp`."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from skytale.compat.envelope import Envelope, Protocol
from skytale.compat.errors import ChannelError

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["SkytaleTransport"]

_PAUSE = 0.25


class SkytaleTransport:
    """Messages of MCP on one channel, for asyncio."""

    def __init__(self, manager: SkytaleChannelManager, channel: str) -> None:
        self._manager, self._channel = manager, channel
        self._waiting: deque[dict[str, Any]] = deque()
        self._is_closed = False

    async def write(self, message: dict[str, Any]) -> None:
        """Says something."""
        envelope = Envelope(Protocol.MCP, "application/json", json.dumps(message, ensure_ascii=False).encode())
        await asyncio.to_thread(self._manager.send_envelope, self._channel, envelope)

    async def read(self) -> dict[str, Any]:
        """Waits for what is said next.

        Raises:
            ChannelError: Where the transport is closed.
        """
        while not self._waiting:
            if self._is_closed:
                raise ChannelError("the transport is closed")
            found = await asyncio.to_thread(self._manager.receive_envelopes, self._channel, _PAUSE)
            self._waiting += [json.loads(envelope.payload) for envelope in found if envelope.protocol == Protocol.MCP]
        return self._waiting.popleft()

    async def close(self) -> None:
        """Ends the transport; the channel stays open."""
        self._is_closed = True
