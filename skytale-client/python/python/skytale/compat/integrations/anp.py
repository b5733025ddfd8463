"""ANP's sessions as channels."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from skytale.compat.envelope import Protocol
from skytale.compat.integrations._adapter import Adapter

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["SkytaleANPAdapter"]


class SkytaleANPAdapter(Adapter):
    """Sessions of ANP with other DIDs, on channels `org/anp/{hash of the DID}`."""

    protocol = Protocol.ANP

    def __init__(self, manager: SkytaleChannelManager, did: str) -> None:
        super().__init__(manager, did)

    def create_session(self, peer_did: str) -> None:
        """Creates a session's channel."""
        self._create(peer_did)

    def join_session(self, peer_did: str, welcome: bytes) -> None:
        """Joins a session's channel."""
        self._join(peer_did, welcome)

    def send_message(self, peer_did: str, payload: dict[str, Any]) -> None:
        """Says something in a session."""
        self._say(peer_did, {"from": self._agent, "to": peer_did, "payload": payload})

    def send_rpc(self, peer_did: str, method: str, params: dict[str, Any]) -> None:
        """Calls a method by JSON-RPC."""
        call = {"jsonrpc": "2.0", "id": str(uuid.uuid4()), "method": method, "params": params}
        self.send_message(peer_did, call)
