"""Agents and channels by the names of `skytale-sdk`."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import secrets
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from skytale import LocalRelay, blocking
from skytale._agent import encode
from skytale._bridge import Pipeline
from skytale.compat.errors import ChannelError, MlsError, translated
from skytale.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Channel", "MessageIterator", "MockGroup", "SkytaleClient", "mock_group"]

PATIENCE = 30.0
"""How many seconds a relay has to answer, where the interface has no timeout."""

AT_ONCE = 64
"""How many messages of a channel wait to be archived at once."""

_KEY_PACKAGE, _WELCOME = b"skytale-key-package:", b"skytale-welcome:"


class MockGroup:
    """What agents share that were made with `mock=True`: a relay inside the process, and its invites."""

    def __init__(self) -> None:
        self.relay: LocalRelay = LocalRelay()
        self.invites: dict[str, tuple[blocking.Channel, int]] = {}


_groups: dict[str, MockGroup] = {}


def mock_group(name: str | None) -> MockGroup:
    """Returns the group of this name, which is made if it is not there yet."""
    return _groups.setdefault(name or "", MockGroup())


class SkytaleClient:
    """An agent.

    Args:
        endpoint: The relay: `http://`, `https://`, `grpc://`, `grpcs://` or `quic://`, and its host.
        data_dir: A directory of the agent's own; the agent is the same again when it comes back to it. Empty: memory.
        identity: What others call the agent: the last part of its name.
        api_key: An API key, with the API server's address in `api_url`.
        mock: Whether to use a relay inside the process, which agents with the same `mock_group` share.
        trust: A PEM file: trusted to sign the relay's certificate.
    """

    def __init__(
        self,
        endpoint: str = "",
        data_dir: str = "",
        identity: bytes | str = b"agent",
        api_key: str | None = None,
        api_url: str | None = None,
        mock: bool = False,
        mock_group: str | None = None,
        *,
        trust: str | os.PathLike[str] | None = None,
    ) -> None:
        with translated():
            if not mock and not endpoint:
                raise ConfigurationError("`endpoint` is empty: give the relay's address, or `mock=True`")
            name, state = _place(identity, data_dir)
            relay = _groups_relay(mock_group) if mock else _relay(endpoint)
            has_key = bool(api_key) and not mock
            api, key = (api_url, api_key) if has_key else (None, None)
            agent = blocking.Client(name, relay, state=state, trust=trust, api=api, api_key=key)
            self.agent: blocking.Client = agent.start()
        self._channels: dict[str, Channel] = {}
        _open.add(self)

    @property
    def name(self) -> str:
        """The agent's full name."""
        return self.agent.name

    def create_channel(self, name: str) -> Channel:
        """Creates a channel; one that this agent has created before is opened."""
        with translated():
            if name in self.agent.channels():
                return self.hold(self.agent.open_channel(name))
            return self.hold(self.agent.create_channel(name, timeout=PATIENCE))

    def hold(self, channel: blocking.Channel) -> Channel:
        """Returns a channel of this agent as one of this module; `close` waits for what is said on it."""
        return self._channels.setdefault(channel.name, Channel(channel))

    def generate_key_package(self) -> bytes:
        """Returns what another agent adds this one by, as often as it likes."""
        with translated():
            self.agent.wait_until_addable(timeout=PATIENCE)
        return _KEY_PACKAGE + self.agent.name.encode()

    def join_channel(self, name: str, welcome_bytes: bytes) -> Channel:
        """Joins a channel that this agent was added to."""
        if bytes(welcome_bytes) != _WELCOME + name.encode():
            raise MlsError(f"this Welcome is not for {name}")
        with translated():
            return self.hold(self.agent.join_channel(name, timeout=PATIENCE))

    def rotate_key(self, name: str) -> bytes:
        """Gives this agent, and with it the channel's group, new keys. Returns the number of the commit, as 8 bytes."""
        with translated():
            return self.agent.open_channel(name).rotate(timeout=PATIENCE).to_bytes(8, "big")

    def close(self) -> None:
        """Ends the agent's work, once everything that was said is archived. Closing again does nothing."""
        channels, self._channels = list(self._channels.values()), {}
        try:
            for channel in channels:
                channel.flush()
        finally:
            self.agent.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # The published package's programs close nothing.
        if getattr(self, "agent", None) is not None:
            with contextlib.suppress(Exception):
                self.close()

    def __repr__(self) -> str:
        return f"<SkytaleClient {self.name}>"


class Channel:
    """An end-to-end-encrypted channel."""

    def __init__(self, channel: blocking.Channel) -> None:
        self.channel = channel
        self._sending = Pipeline(AT_ONCE)

    def add_member(self, key_package: bytes) -> bytes:
        """Adds an agent; returns the Welcome that it joins with."""
        text = bytes(key_package)
        if not text.startswith(_KEY_PACKAGE):
            raise MlsError("this is no key package: make one with `generate_key_package()`")
        with translated():
            self.channel.add(text.removeprefix(_KEY_PACKAGE).decode("utf-8", "replace"), timeout=PATIENCE)
        return _WELCOME + self.channel.name.encode()

    def send(self, payload: bytes | str) -> None:
        """Says something to all other members.

        Returns before it is archived, as long as fewer than 64 messages wait for that; `flush` waits for all. What went
        wrong with one is raised by a later call.
        """
        content = encode(payload)
        with translated():
            self._sending.begin(lambda done: self.channel._native.send(done, content), PATIENCE)

    def flush(self) -> None:
        """Waits until everything that was said is archived."""
        with translated():
            self._sending.finish(PATIENCE)

    def messages(self) -> MessageIterator:
        """Returns an iterator over what others say, which waits for it."""
        return MessageIterator(self.channel)

    def __repr__(self) -> str:
        return f"<Channel {self.channel.name}>"


class MessageIterator:
    """What others say on a channel, as bytes; ends when the agent is closed or removed."""

    def __init__(self, channel: blocking.Channel) -> None:
        self._messages: Iterator[bytes] = (message.body for message in channel.messages())

    def __iter__(self) -> MessageIterator:
        return self

    def __next__(self) -> bytes:
        with translated():
            return next(self._messages)


_open: weakref.WeakSet[SkytaleClient] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for client in list(_open):
        with contextlib.suppress(Exception):
            client.close()


def _groups_relay(group: str | None) -> LocalRelay:
    return mock_group(group).relay


def _relay(endpoint: str) -> str:
    for theirs, ours in (("http://", "grpc://"), ("https://", "grpcs://")):
        if endpoint.startswith(theirs):
            return ours + endpoint.removeprefix(theirs).rstrip("/")
    return endpoint


def _place(identity: bytes | str, data_dir: str) -> tuple[str, str | None]:
    """Returns the agent's name, which is its own in the world, and where its state is."""
    raw = identity.encode() if isinstance(identity, str) else bytes(identity)
    text = raw.decode("ascii", "replace")
    last = text if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text) else hashlib.sha256(raw).hexdigest()[:32]
    if not data_dir:
        return f"sdk/{secrets.token_hex(8)}/{last}", None
    directory = Path(data_dir)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "agent-name"
    with contextlib.suppress(FileExistsError):
        with open(file, "x") as made:
            made.write(f"sdk/{secrets.token_hex(8)}/{last}")
    name = file.read_text()
    if name.rpartition("/")[2] != last:
        raise ChannelError(f"{data_dir} is of another identity: give each agent a directory of its own")
    return name, str(directory / "state")
