"""Tools for Agno."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytale.integrations import agno

if TYPE_CHECKING:
    from skytale.compat.channels import SkytaleChannelManager

__all__ = ["toolkit"]


def toolkit(manager: SkytaleChannelManager) -> Any:
    """Returns the tools of a manager's agent."""
    return agno.toolkit(manager.toolbox())
