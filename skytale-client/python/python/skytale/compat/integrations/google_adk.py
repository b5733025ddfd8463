"""Tools for Google's Agent Development Kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytale.integrations import google_adk

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["tools"]


def tools(manager: SkytaleChannelManager) -> list[Any]:
    """Returns the tools of a manager's agent."""
    return list(google_adk.tools(manager.toolbox()))
