"""What the asyncio and the blocking face have in common."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from skytale import _native, _process
from skytale.errors import ClosedError, ConfigurationError

if TYPE_CHECKING:
    from skytale._bridge import Start

__all__ = ["Agent", "Conversation", "LocalRelay", "Member", "encode"]


class LocalRelay:
    """A relay inside the process, for tests: it lets every agent of the process do everything, and forgets all at its end.

    Give it to agents in place of an address: `Client("acme/agents/alice", LocalRelay())`.
    """

    def __init__(self) -> None:
        self._native = _native.LocalRelay()

    def __repr__(self) -> str:
        return "LocalRelay()"


class Member(NamedTuple):
    """A member of a channel."""

    agent: str
    """The agent's name."""
    leaf: int
    """Its leaf's number; an agent that runs several times has several."""


def encode(body: str | bytes | bytearray | memoryview) -> bytes:
    """Returns the bytes of what is to be said; text is UTF-8."""
    return body.encode() if isinstance(body, str) else bytes(body)


class Agent:
    """An agent's settings, and its native half while it runs."""

    def __init__(
        self,
        name: str,
        relay: str | LocalRelay,
        *,
        api: str | None = None,
        api_key: str | None = None,
        token: str | None = None,
        trust: str | os.PathLike[str] | bytes | None = None,
        state: str | os.PathLike[str] | None = None,
        state_key: bytes | None = None,
        durable: bool = True,
        post_quantum: bool = False,
        padding: bool = True,
        cover_traffic: float | None = None,
        attempts: int | None = None,
        rotate_after: int | None = None,
        rejoin: bool = True,
        key_packages: int | None = None,
    ) -> None:
        """Sets an agent up; it starts in a `with` block, or with `start()`.

        Args:
            name: The agent's name, like `acme/agents/alice`.
            relay: The relay: `quic://host[:4433]`, `grpcs://host`, `grpc://host[:5000]`, or a `LocalRelay`.
            api: The API server's address, like `https://api.example.org`; goes with `api_key`.
            api_key: An API key (`sk_live_...`), which is exchanged for tokens, each before the last one expires.
            token: A token, in place of an API key. It is not renewed.
            trust: A PEM file, or its content: trusted to sign the relay's certificate, and no others. Default: the system's.
            state: A directory of the agent's own for its keys, groups and unsent messages. Default: memory; with the
                process, the agent is gone.
            state_key: 32 bytes, to encrypt the state with.
            durable: Whether the state survives a power failure, rather than only the end of the process.
            post_quantum: Whether the agent's channels use ML-KEM-768 with X25519; all their members have to.
            padding: Whether messages are padded to few sizes.
            cover_traffic: On average after how many seconds something is sent to hide behind on a quiet channel. Default:
                never.
            attempts: How often a change of a group is tried before `ConflictError`. Default: 16.
            rotate_after: After how many messages in one epoch the agent gives itself new keys. Default: 5,000.
            rejoin: Whether an agent that its group has left behind comes back by itself.
            key_packages: How many key packages are left at the relay, so that others can add this agent while it is away.
                Default: 50.
        """
        self._name = name
        self._relay = relay
        self._api, self._api_key, self._token = api, api_key, token
        self._trust = trust if isinstance(trust, bytes) or trust is None else _read(trust)
        self._state = None if state is None else os.fspath(state)
        self._state_key = state_key
        self._durable, self._post_quantum, self._padding, self._rejoin = durable, post_quantum, padding, rejoin
        self._cover_traffic, self._attempts = cover_traffic, attempts
        self._rotate_after, self._key_packages = rotate_after, key_packages
        self._native: _native.Client | None = None
        self._is_owner = True

    @property
    def name(self) -> str:
        """The agent's name."""
        return self._name

    @property
    def is_running(self) -> bool:
        """Whether the agent was started and not closed."""
        return self._native is not None

    def __repr__(self) -> str:
        relay = self._relay if isinstance(self._relay, str) else "local"
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._name} at {relay}>"

    def __del__(self) -> None:
        if getattr(self, "_native", None) is not None and self._is_owner:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)

    def _share(self, other: Agent) -> None:
        """Becomes another face of an agent that runs; it is the other's to close."""
        self._native, self._is_owner = other._running(), False

    def _starting(self) -> Start:
        if self._native is not None:
            raise ConfigurationError("the client runs already")
        _process.forward_log()
        return self._begin

    def _begin(self, completions: _native.Completions) -> _native.Operation:
        try:
            return _native.start(
                completions,
                self._name,
                self._relay if isinstance(self._relay, str) else self._relay._native,
                api=self._api,
                api_key=self._api_key,
                token=self._token,
                trust=self._trust,
                state=self._state,
                state_key=self._state_key,
                durable=self._durable,
                post_quantum=self._post_quantum,
                padding=self._padding,
                cover_traffic=self._cover_traffic,
                attempts=self._attempts,
                rotate_after=self._rotate_after,
                resync=self._rejoin,
                key_packages=self._key_packages,
            )
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def _started(self, native: object) -> None:
        assert isinstance(native, _native.Client)
        self._native = native
        _process.opened(native)

    def _running(self) -> _native.Client:
        if self._native is None:
            raise ClosedError("the client does not run")
        return self._native

    def _closing(self) -> _native.Client | None:
        native, self._native = self._native, None
        if native is not None:
            _process.closed(native)
        return native


class Conversation:
    """What is known of a channel at any time, without waiting."""

    def __init__(self, client: _native.Client, native: object) -> None:
        assert isinstance(native, _native.Channel)
        self._client, self._native = client, native

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._native.name

    @property
    def members(self) -> list[Member]:
        """The members, this agent among them."""
        return [Member(agent, leaf) for agent, leaf in self._native.members()]

    @property
    def epoch(self) -> int:
        """The group's epoch."""
        return self._native.epoch

    @property
    def epoch_authenticator(self) -> bytes:
        """What is equal for all members in the same epoch of the same history; compare it over the telephone."""
        return self._native.epoch_authenticator

    @property
    def last_applied(self) -> int:
        """The number up to which the channel was read."""
        return self._native.last_applied

    @property
    def sent_count(self) -> int:
        """How many messages this agent has said here in its life, those that still wait to be sent included."""
        return self._native.sent_count

    @property
    def durability(self) -> Literal["memory", "process", "disk"] | None:
        """What messages survive once the relay has acknowledged them, as it said last; `None` before it was reached.

        `"disk"`: the end of its machine; `"process"`: the end of its process; `"memory"`: neither.
        """
        return self._native.durability

    @property
    def is_member(self) -> bool:
        """Whether the agent is a member, as far as it knows."""
        return self._native.is_member

    @property
    def is_connected(self) -> bool:
        """Whether the relay is connected."""
        return self._native.is_connected

    def auto_admit(self) -> None:
        """Lets agents in that ask to join by an invite, for as long as the channel is open; `invite` does it, too."""
        self._native.auto_admit()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self.name} epoch={self.epoch} last_applied={self.last_applied}>"


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"`trust` cannot be read: {error}") from error
