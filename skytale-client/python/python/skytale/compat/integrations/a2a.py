"""A2A's contexts as channels. For A2A's own types see `skytale.a2a`."""

from __future__ import annotations

import uuid
from typing import Any

from skytale.compat.envelope import Protocol
from skytale.compat.integrations._adapter import Adapter

__all__ = ["SkytaleA2AAdapter"]


class SkytaleA2AAdapter(Adapter):
    """Contexts of A2A, on channels `org/a2a/{context_id}`."""

    protocol = Protocol.A2A

    def create_context(self, context_id: str) -> None:
        """Creates a context's channel."""
        self._create(context_id)

    def join_context(self, context_id: str, welcome: bytes) -> None:
        """Joins a context's channel."""
        self._join(context_id, welcome)

    def send_message(self, context_id: str, parts: list[dict[str, Any]]) -> None:
        """Says something in a context."""
        about = {"messageId": str(uuid.uuid4()), "contextId": context_id, "agentId": self._agent}
        self._say(context_id, about | {"parts": parts})
