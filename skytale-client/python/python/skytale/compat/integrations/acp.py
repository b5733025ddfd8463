"""ACP's tasks as channels."""

from __future__ import annotations

from typing import Any

from skytale.compat.envelope import Protocol
from skytale.compat.integrations._adapter import Adapter

__all__ = ["SkytaleACPAdapter"]


class SkytaleACPAdapter(Adapter):
    """Tasks of ACP, on channels `org/acp/{task_id}`."""

    protocol = Protocol.ACP

    def create_task(self, task_id: str) -> None:
        """Creates a task's channel."""
        self._create(task_id)

    def join_task(self, task_id: str, welcome: bytes) -> None:
        """Joins a task's channel."""
        self._join(task_id, welcome)

    def send_message(self, task_id: str, payload: dict[str, Any]) -> None:
        """Says something about a task."""
        self._say(task_id, {"taskId": task_id, "agentId": self._agent, "payload": payload})
