"""The MCP server: an agent's tools as MCP's, over stdio or streamable HTTP."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from skytale import __version__
from skytale.errors import SkytaleError
from skytale.tools import Toolbox, ToolInputError

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["BearerAuthentication", "http_app", "make_server", "serve_stdio"]

_INSTRUCTIONS = (
    "Channels are end-to-end encrypted and keep their order: `receive` returns each message once, `history` again. "
    "To talk to an agent, create a channel and give it an invite, or add it by its name."
)
_READ_ONLY = {"members", "history", "channels"}


def make_server(toolbox: Toolbox) -> Server[Any]:
    """Makes the MCP server of a toolbox."""
    known = {tool.name: tool for tool in toolbox.tools()}

    async def list_tools(
        _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool.name, toolbox) for tool in known.values()])

    async def call_tool(_: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = known.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")
        try:
            result = await tool.call(params.arguments or {})
        except (SkytaleError, ToolInputError) as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        text = json.dumps(result, ensure_ascii=False)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=result)

    return Server(
        "skytale",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _described(name: str, toolbox: Toolbox) -> types.Tool:
    (tool,) = toolbox.tools(name)
    hints = types.ToolAnnotations(read_only_hint=name in _READ_ONLY, open_world_hint=True)
    return types.Tool(name=name, description=tool.description, input_schema=tool.parameters, annotations=hints)


async def serve_stdio(toolbox: Toolbox) -> None:
    """Serves one client on standard input and output, until it leaves."""
    server = make_server(toolbox)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def http_app(toolbox: Toolbox, token: str, *, path: str = "/mcp", host: str = "127.0.0.1") -> ASGIApp:
    """Makes the ASGI application of streamable HTTP, for clients that show `token` as a bearer.

    With a `host` of this machine alone, requests for other hosts are refused (DNS rebinding).

    Raises:
        ValueError: Where the token has less than 16 characters.
    """
    app = make_server(toolbox).streamable_http_app(streamable_http_path=path, host=host)
    return BearerAuthentication(app, token)


class BearerAuthentication:
    """Lets only requests through that show a token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        if len(token) < 16:
            raise ValueError("the token has to have at least 16 characters, as of secrets.token_urlsafe()")
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_authorized(scope):
            headers = [(b"www-authenticate", b'Bearer realm="skytale"'), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"error":"unauthorized"}'})
        elif scope["type"] != "websocket":
            await self._app(scope, receive, send)

    def _is_authorized(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, shown = value.partition(b" ")
                return scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), self._token)
        return False
