"""Tools for LangChain and LangGraph.

>>> from langgraph.prebuilt import create_react_agent
>>> agent = create_react_agent(model, tools(Toolbox(client)))
"""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from skytale.errors import SkytaleError
from skytale.tools import Tool, Toolbox, ToolInputError

__all__ = ["tools"]


def tools(toolbox: Toolbox, *names: str) -> list[BaseTool]:
    """Returns LangChain's tools, for `ainvoke` and `invoke`; without names, all."""
    return [_made(tool) for tool in toolbox.tools(*names)]


def _made(tool: Tool) -> BaseTool:
    async def call(**arguments: Any) -> str:
        try:
            return await tool.call_text(arguments)
        except (SkytaleError, ToolInputError) as error:
            raise ToolException(str(error)) from error

    def call_blocking(**arguments: Any) -> str:
        try:
            return tool.call_blocking(arguments)
        except (SkytaleError, ToolInputError) as error:
            raise ToolException(str(error)) from error

    return StructuredTool(
        name=f"skytale_{tool.name}",
        description=tool.description,
        args_schema=tool.parameters,
        func=call_blocking,
        coroutine=call,
        handle_tool_error=True,
    )
