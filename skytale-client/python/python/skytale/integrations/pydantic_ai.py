"""Tools for Pydantic AI.

>>> agent = pydantic_ai.Agent(model, tools=tools(Toolbox(client)))
"""

from __future__ import annotations

from typing import Any

import pydantic_ai

from skytale.errors import SkytaleError
from skytale.tools import Result, Tool, Toolbox, ToolInputError

__all__ = ["tools"]


def tools(toolbox: Toolbox, *names: str) -> list[pydantic_ai.Tool[None]]:
    """Returns Pydantic AI's tools; without names, all."""
    return [_made(tool) for tool in toolbox.tools(*names)]


def _made(tool: Tool) -> pydantic_ai.Tool[None]:
    async def call(**arguments: Any) -> Result:
        try:
            return await tool.call(arguments)
        except (SkytaleError, ToolInputError) as error:
            raise pydantic_ai.ModelRetry(str(error)) from error

    return pydantic_ai.Tool.from_schema(call, f"skytale_{tool.name}", tool.description, tool.parameters)
