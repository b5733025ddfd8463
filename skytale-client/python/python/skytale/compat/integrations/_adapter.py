"""What the adapters have in common: JSON in envelopes, on a channel for each conversation."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

from skytale.compat.envelope import Envelope, Protocol

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager


class Adapter:
    """Conversations of one protocol, on channels like `org/a2a/session`."""

    protocol: ClassVar[Protocol]

    def __init__(self, manager: SkytaleChannelManager, agent_id: str) -> None:
        self._manager, self._agent = manager, agent_id

    def channel_name(self, conversation: str) -> str:
        """Returns the channel of a conversation."""
        fits = re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", conversation)
        last = conversation if fits else hashlib.sha256(conversation.encode()).hexdigest()[:32]
        return f"org/{self.protocol.value}/{last}"

    def receive_messages(self, conversation: str, timeout: float = 5.0) -> list[dict[str, Any]]:
        """Returns what others have said in this protocol."""
        found = self._manager.receive_envelopes(self.channel_name(conversation), timeout)
        return [json.loads(envelope.payload) for envelope in found if envelope.protocol == self.protocol]

    def _create(self, conversation: str) -> None:
        self._manager.create(self.channel_name(conversation))

    def _join(self, conversation: str, welcome: bytes) -> None:
        self._manager.join(self.channel_name(conversation), welcome)

    def _say(self, conversation: str, content: dict[str, Any]) -> None:
        payload = json.dumps(content, ensure_ascii=False).encode()
        envelope = Envelope(self.protocol, "application/json", payload)
        self._manager.send_envelope(self.channel_name(conversation), envelope)
