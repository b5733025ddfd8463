"""NLIP's sessions as channels."""

from __future__ import annotations

from typing import Any

from skytale.compat.envelope import Protocol
from skytale.compat.integrations._adapter import Adapter

__all__ = ["SkytaleNLIPAdapter"]


class SkytaleNLIPAdapter(Adapter):
    """Sessions of NLIP, on channels `org/nlip/{session_id}`."""

    protocol = Protocol.NLIP

    def create_session(self, session_id: str) -> None:
        """Creates a session's channel."""
        self._create(session_id)

    def join_session(self, session_id: str, welcome: bytes) -> None:
        """Joins a session's channel."""
        self._join(session_id, welcome)

    def send_message(
        self, session_id: str, content: str, content_type: str = "text", control: dict[str, Any] | None = None
    ) -> None:
        """Says something in a session."""
        about = {"messageType": "message", "agentId": self._agent, "format": content_type, "content": content}
        self._say(session_id, about | ({"control": control} if control else {}))

    def send_multimodal(self, session_id: str, submessages: list[dict[str, Any]]) -> None:
        """Says something of several parts."""
        about = {"messageType": "message", "agentId": self._agent, "format": "multimodal"}
        self._say(session_id, about | {"submessages": submessages})
