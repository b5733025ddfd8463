"""What an agent's model may do with channels: one definition, for every framework and for MCP.

>>> async with skytale.Client("acme/agents/alice", "quic://relay.example.org") as client:
...     toolbox = Toolbox(client)
...     await toolbox.call("send", channel="acme/research/room", text="hello")

`skytale.integrations` makes tools of LangChain, the OpenAI Agents SDK, Pydantic AI, CrewAI, smolagents, Agno and Google
ADK of it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from skytale import Channel, Client
from skytale.errors import NotAMemberError
from skytale.events import Event, Evicted, Message

__all__ = ["Tool", "ToolInputError", "Toolbox"]

HISTORY = 1000
"""How many messages of a channel are remembered."""

LONGEST_WAIT = 60.0
"""How many seconds `receive` waits at most, and `join`."""

_AT_ONCE = 100
_BETWEEN_SECONDS = 0.02

Result: TypeAlias = "dict[str, Any]"


class ToolInputError(ValueError):
    """A tool was called with arguments that it does not take."""


@dataclass(frozen=True)
class Tool:
    """A tool, as every framework describes one."""

    name: str
    description: str
    parameters: dict[str, Any]
    """The JSON schema of the arguments."""
    function: Callable[..., Awaitable[Result]]

    async def call(self, arguments: dict[str, Any]) -> Result:
        """Calls the tool.

        Raises:
            ToolInputError: Where the arguments are not those of its schema.
            SkytaleError: Where the channel or the relay will not have it.
        """
        return await self.function(**_checked(self, arguments))

    async def call_text(self, arguments: dict[str, Any]) -> str:
        """Calls the tool; returns its result as JSON."""
        return json.dumps(await self.call(arguments), ensure_ascii=False)

    def call_blocking(self, arguments: dict[str, Any]) -> str:
        """Calls the tool from a program without an event loop, or from a thread of one; returns its result as JSON."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.call_text(arguments))
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(asyncio.run(self.call_text(arguments)))
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=work, name=f"skytale-{self.name}")
        thread.start()
        thread.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return str(outcome[0])


class Toolbox:
    """The tools of one agent, and what it has said and heard since the toolbox was made."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._channels: dict[str, Channel] = {}
        self._history: dict[str, deque[Result]] = {}

    def tools(self, *names: str) -> list[Tool]:
        """Returns the tools with these names; without names, all."""
        every = {tool.name: tool for tool in map(self._tool, _ARGUMENTS)}
        return [every[name] for name in names or every]

    async def call(self, name: str, /, **arguments: Any) -> Result:
        """Calls a tool by its name."""
        (tool,) = self.tools(name)
        return await tool.call(arguments)

    async def create(self, channel: str) -> Result:
        """Creates an end-to-end-encrypted channel, with this agent as its only member."""
        found = self._channels[channel] = await self.client.create_channel(channel)
        return {"channel": channel, "members": _names(found)}

    async def invite(self, channel: str, uses: int = 1, lifetime_seconds: int = 3600) -> Result:
        """Makes an invite, which another agent joins the channel with. Give it to nobody else."""
        found = await self._channel(channel)
        return {"channel": channel, "invite": await found.invite(uses=uses, seconds=lifetime_seconds)}

    async def add(self, channel: str, agent: str) -> Result:
        """Adds an agent to a channel by its name; it may be away."""
        found = await self._channel(channel)
        await found.add(agent)
        return {"channel": channel, "members": _names(found)}

    async def join(self, channel: str, invite: str = "", wait_seconds: float = 30) -> Result:
        """Joins a channel, by an invite, or because a member has added this agent."""
        joining = self.client.join(channel, invite) if invite else self.client.join_channel(channel)
        limit = min(wait_seconds, LONGEST_WAIT)
        try:
            found = self._channels[channel] = await asyncio.wait_for(joining, limit)
        except asyncio.TimeoutError:
            raise NotAMemberError(f"no member has let this agent into {channel} within {limit:g} s") from None
        return {"channel": channel, "members": _names(found)}

    async def send(self, channel: str, text: str) -> Result:
        """Says something to all other members of a channel; returns its sequence number once it is archived."""
        sequence = await (await self._channel(channel)).send(text)
        self._remember(channel, {"sequence": sequence, "sender": self.client.name, "text": text})
        return {"channel": channel, "sequence": sequence}

    async def receive(self, channel: str, wait_seconds: float = 5) -> Result:
        """Returns the messages of other members that were not returned before, at most 100; waits for the first one."""
        found = await self._channel(channel)
        messages: list[Result] = []
        loop = asyncio.get_running_loop()
        until = loop.time() + min(max(wait_seconds, 0), LONGEST_WAIT)
        while len(messages) < _AT_ONCE:
            left = _BETWEEN_SECONDS if messages else max(until - loop.time(), _BETWEEN_SECONDS)
            try:
                event = await asyncio.wait_for(found.next(), left)
            except asyncio.TimeoutError:
                break
            if event is None or isinstance(event, Evicted):
                self._channels.pop(channel, None)
                break
            messages += self._hear(event)
        return {"channel": channel, "messages": messages}

    async def members(self, channel: str) -> Result:
        """Returns the names of a channel's members."""
        return {"channel": channel, "members": _names(await self._channel(channel))}

    async def history(self, channel: str, limit: int = 50) -> Result:
        """Returns what this agent has said and received on a channel, in the channel's order."""
        await self._channel(channel)
        known = sorted(self._history.get(channel, ()), key=lambda message: int(message["sequence"]))
        return {"channel": channel, "messages": known[-limit:] if limit > 0 else []}

    async def channels(self) -> Result:
        """Returns the channels that this agent is a member of, and those it was added to."""
        member, invited = await self.client.channels(), await self.client.invitations()
        return {"member_of": sorted(member), "invited_to": sorted(set(invited) - set(member))}

    def _hear(self, event: Event) -> list[Result]:
        if not isinstance(event, Message):
            return []
        about = {"sequence": event.sequence, "sender": event.sender, "text": event.text}
        about["time"] = event.received_at.isoformat(timespec="milliseconds")
        self._remember(event.channel, about)
        return [about]

    def _remember(self, channel: str, message: Result) -> None:
        self._history.setdefault(channel, deque(maxlen=HISTORY)).append(message)

    async def _channel(self, name: str) -> Channel:
        if name not in self._channels:
            channel = self._channels[name] = await self.client.open_channel(name)
            channel.auto_admit()
        return self._channels[name]

    def _tool(self, name: str) -> Tool:
        function: Callable[..., Awaitable[Result]] = getattr(self, name)
        return Tool(name, inspect.getdoc(function) or "", _schema(function, _ARGUMENTS[name]), function)


_CHANNEL = "The channel's name: three parts, like acme/research/room."

# What the arguments of the tools are; what the tools do is said by their methods.
_ARGUMENTS: dict[str, dict[str, str]] = {
    "create": {"channel": _CHANNEL},
    "invite": {
        "channel": _CHANNEL,
        "uses": "How many agents it lets in.",
        "lifetime_seconds": "For how long it is good.",
    },
    "add": {"channel": _CHANNEL, "agent": "The agent's name: three parts, like acme/agents/bob."},
    "join": {
        "channel": _CHANNEL,
        "invite": "The invite; empty where a member has added this agent.",
        "wait_seconds": "How long to wait until a member has let this agent in; at most 60.",
    },
    "send": {"channel": _CHANNEL, "text": "What to say."},
    "receive": {"channel": _CHANNEL, "wait_seconds": "How long to wait while there is none; at most 60."},
    "members": {"channel": _CHANNEL},
    "history": {"channel": _CHANNEL, "limit": "How many messages at most, the newest."},
    "channels": {},
}

_TYPES = {"str": "string", "int": "integer", "float": "number"}


def _schema(function: Callable[..., Any], described: dict[str, str]) -> dict[str, Any]:
    """Makes the JSON schema of a tool's arguments from its signature."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        properties[name] = {"type": _TYPES[parameter.annotation], "description": described[name]}
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        else:
            properties[name]["default"] = parameter.default
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_PYTHON: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float)}


def _checked(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments if they are those of the schema."""
    properties = tool.parameters["properties"]
    unknown, missing = arguments.keys() - properties.keys(), set(tool.parameters["required"]) - arguments.keys()
    if unknown or missing:
        what = [f"`{name}` is unknown" for name in sorted(unknown)] + [f"`{name}` is missing" for name in sorted(missing)]
        raise ToolInputError(f"{tool.name}: {', '.join(what)}")
    for name, value in arguments.items():
        kind = properties[name]["type"]
        if not isinstance(value, _PYTHON[kind]) or isinstance(value, bool):
            raise ToolInputError(f"{tool.name}: `{name}` has to be of type {kind}")
    return arguments


def _names(channel: Channel) -> list[str]:
    return [member.agent for member in channel.members]
