"""Tools for Google's Agent Development Kit.

>>> agent = google.adk.Agent(model=model, name="alice", tools=tools(Toolbox(client)))
"""

from __future__ import annotations

from typing import Any

from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from skytale.errors import SkytaleError
from skytale.tools import Result, Tool, Toolbox, ToolInputError

__all__ = ["tools"]


def tools(toolbox: Toolbox, *names: str) -> list[BaseTool]:
    """Returns the kit's tools; without names, all."""
    return [_made(tool) for tool in toolbox.tools(*names)]


def _made(tool: Tool) -> BaseTool:
    class SkytaleTool(BaseTool):
        def _get_declaration(self) -> types.FunctionDeclaration:
            return types.FunctionDeclaration(
                name=self.name, description=self.description, parameters_json_schema=tool.parameters
            )

        async def run_async(self, *, args: dict[str, Any], tool_context: ToolContext) -> Result:
            try:
                return await tool.call(args)
            except (SkytaleError, ToolInputError) as error:
                return {"error": str(error)}

    return SkytaleTool(name=f"skytale_{tool.name}", description=tool.description)
