"""The MCP server, as the official client sees it: over stdio, and over streamable HTTP with a bearer token."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx2
import mcp
import pytest
from conftest import Place, run
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from test_tools import NAMES

TOKEN = "a token of thirty-two characters"


def command(settings: dict, *more: str) -> list[str]:
    return ["-m", "skytale.mcp", "--agent", settings["name"], "--trust", str(settings["trust"]), *more]


def environment(settings: dict) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKYTALE_")}
    given = {"SKYTALE_RELAY": settings["relay"], "SKYTALE_API_URL": settings["api"], "SKYTALE_API_KEY": settings["api_key"]}
    return kept | given


@contextlib.asynccontextmanager
async def over_stdio(settings: dict) -> AsyncIterator[ClientSession]:
    parameters = StdioServerParameters(command=sys.executable, args=command(settings), env=environment(settings))
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        yield session


@contextlib.contextmanager
def http_server(settings: dict):
    arguments = [sys.executable, *command(settings, "--http", "127.0.0.1:0")]
    env = environment(settings) | {"SKYTALE_MCP_TOKEN": TOKEN}
    with subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found is not None, line + process.stderr.read()
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)


@contextlib.asynccontextmanager
async def over_http(url: str, token: str = TOKEN) -> AsyncIterator[ClientSession]:
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=60) as http,
        streamable_http_client(url, http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        yield session


async def call(session: ClientSession, name: str, **arguments: object) -> dict:
    result = await session.call_tool(name, arguments)
    assert not result.is_error, result
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def talk(alice: ClientSession, bob: ClientSession, channel: str) -> None:
    """Initializes, lists, calls every tool, and makes every kind of mistake."""
    for session in (alice, bob):
        about = await session.initialize()
        assert about.server_info.name == "skytale" and "encrypted" in about.instructions
        listed = await session.list_tools()
        assert [tool.name for tool in listed.tools] == NAMES
        assert all(tool.input_schema["type"] == "object" and tool.description for tool in listed.tools)
    await call(alice, "create", channel=channel)
    invite = (await call(alice, "invite", channel=channel, uses=1))["invite"]
    members = (await call(bob, "join", channel=channel, invite=invite))["members"]
    assert len(members) == 2
    number = (await call(bob, "send", channel=channel, text="hello from MCP"))["sequence"]
    (message,) = (await call(alice, "receive", channel=channel, wait_seconds=20))["messages"]
    assert (message["text"], message["sequence"]) == ("hello from MCP", number)
    assert (await call(alice, "history", channel=channel))["messages"] == [message]
    assert sorted((await call(alice, "members", channel=channel))["members"]) == sorted(members)
    assert (await call(alice, "channels"))["member_of"] == [channel]
    for name, arguments, said in (
        ("send", {"channel": channel}, "`text` is missing"),
        ("send", {"channel": "a/b/nowhere", "text": "x"}, "not_a_member"),
        ("create", {"channel": channel}, "channel_exists"),
        ("create", {"channel": "no channel"}, "configuration"),
        ("add", {"channel": channel, "agent": "acme/agents/nobody"}, "not_authorized"),
        ("join", {"channel": "a/b/elsewhere", "invite": "skt_inv_wrong"}, "api_refused"),
    ):
        result = await alice.call_tool(name, arguments)
        assert result.is_error and said in result.content[0].text, result
    with pytest.raises(mcp.MCPError, match="no tool"):
        await alice.call_tool("nothing", {})


def test_over_stdio(closed_server: Place, channel_name: str) -> None:
    async def main() -> None:
        async with (
            over_stdio(closed_server.keyed("alice")) as alice,
            over_stdio(closed_server.keyed("bob")) as bob,
        ):
            await talk(alice, bob, channel_name)

    run(main())


def test_over_streamable_http(closed_server: Place, channel_name: str) -> None:
    async def main(first: str, second: str) -> None:
        async with over_http(first) as alice, over_http(second) as bob:
            await talk(alice, bob, channel_name)

    with http_server(closed_server.keyed("alice")) as first, http_server(closed_server.keyed("bob")) as second:
        run(main(first, second))


def test_http_clients_without_the_token_are_refused(closed_server: Place) -> None:
    with http_server(closed_server.keyed("alice")) as url:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            answer = httpx2.post(url, headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, timeout=60)
            assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")

        async def main() -> None:
            async with over_http(url, "wrong token of thirty-two letters") as session:
                await session.initialize()

        with pytest.raises(BaseException) as raised:  # noqa: PT011
            run(main())
        assert "MCPError" in repr(raised.value)


def test_what_is_missing_is_said(closed_server: Place) -> None:
    settings = closed_server.keyed("alice")
    env = {name: value for name, value in environment(settings).items() if not name.startswith("SKYTALE_")}
    cases = [
        (command(settings), env, "SKYTALE_RELAY"),
        (command(settings, "--http", "127.0.0.1:0"), environment(settings), "SKYTALE_MCP_TOKEN"),
        (command(settings, "--http", "nowhere"), environment(settings) | {"SKYTALE_MCP_TOKEN": TOKEN}, "HOST:PORT"),
        (command(settings, "--http", "127.0.0.1:0"), environment(settings) | {"SKYTALE_MCP_TOKEN": "x"}, "16"),
    ]
    for arguments, given, said in cases:
        ended = subprocess.run([sys.executable, *arguments], env=given, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1 and said in ended.stderr and "Traceback" not in ended.stderr
