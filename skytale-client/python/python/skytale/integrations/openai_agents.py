"""Tools for the OpenAI Agents SDK.

>>> agent = agents.Agent(name="Alice", tools=tools(Toolbox(client)))
"""

from __future__ import annotations

import json
from typing import Any, cast

import agents
from agents.tool_context import ToolContext

from skytale.errors import SkytaleError
from skytale.tools import Tool, Toolbox, ToolInputError

__all__ = ["tools"]


def tools(toolbox: Toolbox, *names: str) -> list[agents.Tool]:
    """Returns the SDK's function tools; without names, all."""
    return [_made(tool) for tool in toolbox.tools(*names)]


def _made(tool: Tool) -> agents.Tool:
    async def call(_: ToolContext[Any], arguments: str) -> str:
        try:
            given: Any = json.loads(arguments or "{}")
            if not isinstance(given, dict):
                raise ToolInputError(f"{tool.name}: the arguments have to be an object")
            return await tool.call_text(cast("dict[str, Any]", given))
        except (SkytaleError, ValueError) as error:
            return f"error: {error}"

    return agents.FunctionTool(
        name=f"skytale_{tool.name}",
        description=tool.description,
        params_json_schema=tool.parameters,
        on_invoke_tool=call,
        strict_json_schema=False,
    )
