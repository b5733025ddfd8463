"""Tools for CrewAI.

>>> agent = crewai.Agent(role="Alice", goal="...", backstory="...", tools=tools(Toolbox(client)))
"""

from __future__ import annotations

from typing import Any

from crewai.tools import BaseTool
from pydantic import BaseModel, Field, create_model

from skytale.errors import SkytaleError
from skytale.tools import Tool, Toolbox, ToolInputError

__all__ = ["tools"]

_PYTHON: dict[str, type] = {"string": str, "integer": int, "number": float}


def tools(toolbox: Toolbox, *names: str) -> list[BaseTool]:
    """Returns CrewAI's tools; without names, all."""
    return [_made(tool) for tool in toolbox.tools(*names)]


def _made(tool: Tool) -> BaseTool:
    class SkytaleTool(BaseTool):
        def _run(self, **arguments: Any) -> str:
            try:
                return tool.call_blocking(arguments)
            except (SkytaleError, ToolInputError) as error:
                return f"error: {error}"

    return SkytaleTool(name=f"skytale_{tool.name}", description=tool.description, args_schema=_model(tool))


def _model(tool: Tool) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (_PYTHON[about["type"]], Field(about.get("default", ...), description=about["description"]))
        for name, about in tool.parameters["properties"].items()
    }
    return create_model(f"skytale_{tool.name}", **fields)
