"""The channel manager of `skytale-sdk`: one agent, and its channels by their names."""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

import skytale
from skytale import blocking
from skytale.compat.client import PATIENCE, Channel, SkytaleClient, mock_group
from skytale.compat.envelope import Envelope
from skytale.compat.errors import AuthError, ChannelError, translated
from skytale.events import Evicted, Message
from skytale.tools import Toolbox

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SkytaleChannelManager"]


class SkytaleChannelManager:
    """An agent and its channels.

    Args:
        identity: What others call the agent.
        endpoint: The relay. Default: the environment's `SKYTALE_RELAY`.
        data_dir: A directory of the agent's own. Default: memory.
        api_key: An API key. Default: the environment's `SKYTALE_API_KEY`.
        api_url: The API server. Default: the environment's `SKYTALE_API_URL`.
        mock: Whether to use a relay inside the process.
        trust: A PEM file: trusted to sign the relay's certificate.
    """

    def __init__(
        self,
        identity: bytes | str,
        endpoint: str | None = None,
        data_dir: str | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        mock: bool = False,
        audit: bool = False,
        *,
        trust: str | os.PathLike[str] | None = None,
    ) -> None:
        if audit:
            raise ChannelError("`audit` is not carried over: the relay's archive is the record of what was said")
        self._client = SkytaleClient(
            endpoint or os.environ.get("SKYTALE_RELAY", ""),
            data_dir or "",
            identity,
            api_key or os.environ.get("SKYTALE_API_KEY"),
            api_url or os.environ.get("SKYTALE_API_URL"),
            mock,
            trust=trust,
        )
        self._has_key = bool(api_key or os.environ.get("SKYTALE_API_KEY"))
        self._mock = mock_group(None) if mock else None
        self._channels: dict[str, Channel] = {}
        self._to_itself: dict[str, deque[bytes]] = {}

    def create(self, channel_name: str) -> None:
        """Creates a channel; one that this agent has created before is opened."""
        self._channels[channel_name] = self._client.create_channel(channel_name)

    def invite(self, channel_name: str, max_uses: int = 1, ttl: int = 3600) -> str:
        """Makes an invite for so many agents and seconds, and lets them in as long as the manager is open."""
        channel = self._channel(channel_name).channel
        if self._mock is not None:
            token = f"skt_inv_{secrets.token_hex(16)}"
            self._mock.invites[token] = (channel, max_uses)
            return token
        if not self._has_key:
            raise AuthError("an invite needs an API key: give `api_key`, or set SKYTALE_API_KEY")
        with translated():
            return channel.invite(uses=max_uses, seconds=ttl, timeout=PATIENCE)

    def join_with_token(self, channel_name: str, token: str, timeout: float = 60.0) -> None:
        """Joins a channel by an invite; waits until a member has let this agent in."""
        with translated():
            if self._mock is not None:
                self._use_mock_invite(channel_name, token)
                channel = self._client.agent.join_channel(channel_name, timeout=timeout)
            else:
                channel = self._client.agent.join(channel_name, token, timeout=timeout)
        self._channels[channel_name] = self._client.hold(channel)

    def key_package(self) -> bytes:
        """Returns what another agent adds this one by."""
        return self._client.generate_key_package()

    def add_member(self, channel_name: str, key_package: bytes) -> bytes:
        """Adds an agent; returns the Welcome that it joins with."""
        return self._channel(channel_name).add_member(key_package)

    def join(self, channel_name: str, welcome: bytes) -> None:
        """Joins a channel that this agent was added to."""
        self._channels[channel_name] = self._client.join_channel(channel_name, welcome)

    def rotate_key(self, channel_name: str) -> bytes:
        """Gives this agent, and with it the channel's group, new keys."""
        self._channel(channel_name)
        return self._client.rotate_key(channel_name)

    def send(self, channel_name: str, message: str | bytes) -> None:
        """Says something to all other members, as `Channel.send` does."""
        channel = self._channel(channel_name)
        channel.send(message)
        if self._mock is not None and len(channel.channel.members) == 1:
            body = message.encode() if isinstance(message, str) else bytes(message)
            self._to_itself.setdefault(channel_name, deque(maxlen=1000)).append(body)

    def receive(self, channel_name: str, timeout: float = 5.0) -> list[str]:
        """Returns what others have said since the last call, as text; waits up to `timeout` seconds while that is nothing.

        With `mock`, an agent that is alone on a channel hears itself.
        """
        return [body.decode("utf-8", "replace") for body in self._bodies(channel_name, timeout)]

    def receive_latest(self, channel_name: str, timeout: float = 5.0) -> str | None:
        """Returns what was said last, and forgets what was said before it."""
        received = self.receive(channel_name, timeout)
        return received[-1] if received else None

    def send_envelope(self, channel_name: str, envelope: Envelope) -> None:
        """Says something with its protocol and content type."""
        self.send(channel_name, envelope.serialize())

    def receive_envelopes(self, channel_name: str, timeout: float = 5.0) -> list[Envelope]:
        """Returns what others have said, as envelopes; what has none is of `Protocol.RAW`."""
        return [Envelope.of(body) for body in self._bodies(channel_name, timeout)]

    def list_channels(self) -> list[str]:
        """Returns the names of the channels that this manager has open."""
        return list(self._channels)

    def toolbox(self) -> Toolbox:
        """Returns the agent's tools, for agent frameworks and MCP."""
        client = skytale.Client(self._client.name, "grpc://shared")
        client._share(self._client.agent)
        return Toolbox(client)

    def close(self) -> None:
        """Ends the agent's work, once everything that was said is archived. Closing again does nothing."""
        self._channels.clear()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SkytaleChannelManager {self._client.name}>"

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            raise ChannelError(f"{name} is not open: create it, or join it")
        return channel

    def _bodies(self, name: str, timeout: float) -> list[bytes]:
        channel = self._channel(name).channel
        own = self._to_itself.pop(name, ())
        bodies = list(own)
        until = time.monotonic() + timeout
        while True:
            left = 0.001 if bodies else max(until - time.monotonic(), 0.001)
            try:
                event = channel.next(timeout=left)
            except TimeoutError:
                return bodies
            if isinstance(event, Message):
                bodies.append(event.body)
            if event is None or isinstance(event, Evicted):
                return bodies

    def _use_mock_invite(self, channel_name: str, token: str) -> None:
        assert self._mock is not None
        channel, uses = self._mock.invites.get(token, (None, 0))
        if channel is None or uses < 1 or channel.name != channel_name:
            raise ChannelError("the invite is not for this channel, or used up")
        self._mock.invites[token] = (channel, uses - 1)
        self._client.agent.wait_until_addable(timeout=PATIENCE)
        channel.add(self._client.name, timeout=PATIENCE)
