"""Publishing and subscribing, as SLIM's agents call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skytale.compat.envelope import Envelope, Protocol

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["SLIMAdapter"]


class SLIMAdapter:
    """Payloads tagged as SLIM's."""

    def __init__(self, manager: SkytaleChannelManager) -> None:
        self._manager = manager

    def subscribe(self, channel: str) -> None:
        """Creates a channel, if the manager has not got it open."""
        if channel not in self._manager.list_channels():
            self._manager.create(channel)

    def publish(self, destination: str, payload: bytes, content_type: str = "application/octet-stream") -> None:
        """Says something."""
        self._manager.send_envelope(destination, Envelope(Protocol.SLIM, content_type, payload))

    def receive(self, channel: str, timeout: float = 5.0) -> list[bytes]:
        """Returns what others have said."""
        return [envelope.payload for envelope in self._manager.receive_envelopes(channel, timeout)]
