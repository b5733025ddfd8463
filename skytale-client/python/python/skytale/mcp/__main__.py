"""`python -m skytale.mcp`: an agent whose channels an MCP client uses."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import skytale
from skytale.mcp.server import http_app, serve_stdio
from skytale.tools import Toolbox


def main() -> None:
    """Runs the command."""
    options = _arguments()
    try:
        asyncio.run(_serve(options))
    except KeyboardInterrupt:
        pass
    except (skytale.SkytaleError, ValueError, OSError) as error:
        sys.exit(f"skytale.mcp: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m skytale.mcp", description="An MCP server for Skytale's channels.")
    parser.add_argument("--agent", required=True, help="the agent's name, like acme/agents/alice")
    parser.add_argument("--relay", help="quic://host, grpcs://host or grpc://host; default: $SKYTALE_RELAY")
    parser.add_argument("--api", help="the API server; default: $SKYTALE_API_URL")
    parser.add_argument("--trust", help="a PEM file: trusted to sign the relay's certificate")
    parser.add_argument("--state", help="the agent's own directory; default: memory")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve streamable HTTP there, in place of stdio")
    parser.add_argument("--http-token-file", help="the bearer token of HTTP clients; default: $SKYTALE_MCP_TOKEN")
    parser.epilog = "The API key is read from $SKYTALE_API_KEY, and never from the command line, which others can see."
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    relay = options.relay or os.environ.get("SKYTALE_RELAY")
    if not relay:
        raise ValueError("say --relay, or set SKYTALE_RELAY")
    key = os.environ.get("SKYTALE_API_KEY")
    api = options.api or os.environ.get("SKYTALE_API_URL")
    client = skytale.Client(
        options.agent, relay, api=api if key else None, api_key=key, trust=options.trust, state=options.state
    )
    token = _token(options) if options.http else ""
    async with client:
        toolbox = Toolbox(client)
        if options.http:
            await _serve_http(toolbox, options.http, token)
        else:
            await serve_stdio(toolbox)


def _token(options: argparse.Namespace) -> str:
    if options.http_token_file:
        return Path(options.http_token_file).read_text().strip()
    token = os.environ.get("SKYTALE_MCP_TOKEN", "")
    if not token:
        raise ValueError("HTTP needs a bearer token: say --http-token-file, or set SKYTALE_MCP_TOKEN")
    return token


async def _serve_http(toolbox: Toolbox, address: str, token: str) -> None:
    import uvicorn

    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address} is no HOST:PORT")
    config = uvicorn.Config(http_app(toolbox, token, host=host), host=host, port=int(port), log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    for listener in server.servers if server.started else ():
        for socket in listener.sockets:
            bound = socket.getsockname()
            print(f"mcp listening on http://{bound[0]}:{bound[1]}/mcp", file=sys.stderr, flush=True)
    await serving


if __name__ == "__main__":
    main()
