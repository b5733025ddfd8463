"""Tools for smolagents.

>>> agent = smolagents.CodeAgent(tools=tools(Toolbox(client)), model=model)
"""

from __future__ import annotations

from typing import Any

import smolagents  # type: ignore[import-untyped]

from skytale.tools import Tool, Toolbox, ToolInputError

__all__ = ["tools"]


def tools(toolbox: Toolbox, *names: str) -> list[smolagents.Tool]:
    """Returns smolagents' tools; without names, all."""
    return [_made(tool) for tool in toolbox.tools(*names)]


def _made(tool: Tool) -> smolagents.Tool:
    class SkytaleTool(smolagents.Tool):  # type: ignore[misc]
        name = f"skytale_{tool.name}"
        description = tool.description
        inputs = _inputs(tool)
        output_type = "string"
        # The arguments are named by the schema, not by the method.
        skip_forward_signature_validation = True

        def forward(self, *ordered: Any, **named: Any) -> str:
            # What fails is raised: it ends an agent's code, and smolagents tells the model.
            return tool.call_blocking(_arguments(tool, ordered, named))

    return SkytaleTool()


def _inputs(tool: Tool) -> dict[str, dict[str, Any]]:
    required = tool.parameters["required"]
    return {
        name: about if name in required else about | {"nullable": True}
        for name, about in tool.parameters["properties"].items()
    }


def _arguments(tool: Tool, ordered: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Names the arguments that an agent's code gives in order; an optional one that is None is left out."""
    names = list(tool.parameters["properties"])
    if len(ordered) > len(names) or any(name in named for name in names[: len(ordered)]):
        raise ToolInputError(f"{tool.name}: it takes {', '.join(names) or 'no arguments'}, each once")
    given = dict(zip(names, ordered, strict=False)) | named
    return {name: value for name, value in given.items() if value is not None or name in tool.parameters["required"]}
