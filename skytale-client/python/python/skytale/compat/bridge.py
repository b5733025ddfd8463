"""Carries messages from one channel to another, with another protocol's tag."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from skytale.compat.envelope import Envelope, Protocol
from skytale.compat.errors import ChannelError

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["ProtocolBridge"]

_ORIGIN = "bridged_from"
_PAUSE = 0.2


class ProtocolBridge:
    """Links between channels of one manager, each with a thread of its own."""

    def __init__(self, manager: SkytaleChannelManager) -> None:
        self._manager = manager
        self._ended = threading.Event()
        self._links: list[threading.Thread] = []

    def bridge(
        self, source_channel: str, target_channel: str, source_protocol: Protocol, target_protocol: Protocol
    ) -> None:
        """Begins to carry what is said in one protocol on a channel over to another; payloads stay as they are.

        What a bridge has carried is not carried again.

        Raises:
            ChannelError: Where the manager has not both channels open.
        """
        for name in (source_channel, target_channel):
            if name not in self._manager.list_channels():
                raise ChannelError(f"{name} is not open: create it, or join it")
        work = (source_channel, target_channel, source_protocol, target_protocol)
        link = threading.Thread(target=self._carry, args=work, name="skytale-bridge", daemon=True)
        link.start()
        self._links.append(link)

    def stop(self) -> None:
        """Ends all links, and waits for them."""
        self._ended.set()
        for link in self._links:
            link.join()
        self._links.clear()

    def _carry(self, source: str, target: str, spoken: Protocol, wanted: Protocol) -> None:
        while not self._ended.is_set():
            try:
                found = self._manager.receive_envelopes(source, timeout=_PAUSE)
            except ChannelError:
                return
            for envelope in found:
                about = envelope.metadata or {}
                if envelope.protocol == spoken and _ORIGIN not in about:
                    about = about | {_ORIGIN: spoken.value}
                    carried = Envelope(wanted, envelope.content_type, envelope.payload, about)
                    self._manager.send_envelope(target, carried)
