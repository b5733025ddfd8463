"""Tools for Agno.

>>> agent = agno.agent.Agent(model=model, tools=[toolkit(Toolbox(client))])
"""

from __future__ import annotations

from typing import Any

from agno.tools import Function, Toolkit

from skytale.errors import SkytaleError
from skytale.tools import Tool, Toolbox, ToolInputError

__all__ = ["toolkit"]


def toolkit(toolbox: Toolbox, *names: str) -> Toolkit:
    """Returns Agno's toolkit, for `arun` and `run`; without names, of all tools."""
    functions = [function for tool in toolbox.tools(*names) for function in _made(tool)]
    return Toolkit(name="skytale", tools=functions)


def _made(tool: Tool) -> list[Function]:
    async def call(**arguments: Any) -> str:
        try:
            return await tool.call_text(arguments)
        except (SkytaleError, ToolInputError) as error:
            return f"error: {error}"

    def call_blocking(**arguments: Any) -> str:
        try:
            return tool.call_blocking(arguments)
        except (SkytaleError, ToolInputError) as error:
            return f"error: {error}"

    return [
        Function(
            name=f"skytale_{tool.name}",
            description=tool.description,
            parameters=tool.parameters,
            entrypoint=entrypoint,
            skip_entrypoint_processing=True,
        )
        for entrypoint in (call, call_blocking)
    ]
