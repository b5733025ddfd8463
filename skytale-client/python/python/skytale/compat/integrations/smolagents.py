"""Tools for smolagents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytale.integrations import smolagents

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["tools"]


def tools(manager: SkytaleChannelManager) -> list[Any]:
    """Returns the tools of a manager's agent."""
    return list(smolagents.tools(manager.toolbox()))
