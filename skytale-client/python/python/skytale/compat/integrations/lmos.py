"""Conversations of LMOS's things as channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytale.compat.envelope import Protocol
from skytale.compat.integrations._adapter import Adapter

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["SkytaleLMOSAdapter"]


class SkytaleLMOSAdapter(Adapter):
    """Conversations with other things, on channels `org/lmos/{thing_id}`."""

    protocol = Protocol.LMOS

    def __init__(self, manager: SkytaleChannelManager, thing_id: str) -> None:
        super().__init__(manager, thing_id)

    def create_channel(self, target_thing_id: str) -> None:
        """Creates the channel of a thing."""
        self._create(target_thing_id)

    def join_channel(self, target_thing_id: str, welcome: bytes) -> None:
        """Joins the channel of a thing."""
        self._join(target_thing_id, welcome)

    def invoke_action(self, target: str, action: str, input_data: dict[str, Any]) -> None:
        """Asks a thing to do something."""
        self._tell(target, {"messageType": "invokeAction", "action": action, "input": input_data})

    def send_action_status(self, target: str, action: str, status: str, output: dict[str, Any]) -> None:
        """Tells how an action goes."""
        self._tell(target, {"messageType": "actionStatus", "action": action, "status": status, "output": output})

    def send_event(self, target: str, event_name: str, data: dict[str, Any]) -> None:
        """Tells what has happened."""
        self._tell(target, {"messageType": "event", "event": event_name, "data": data})

    def _tell(self, target: str, content: dict[str, Any]) -> None:
        self._say(target, {"thingId": self._agent, **content})
