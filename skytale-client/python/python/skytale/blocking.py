"""The blocking face: the same agents and channels, for programs without an event loop.

>>> from skytale.blocking import Client
>>> with Client("acme/agents/alice", "quic://relay.example.org") as alice:
...     room = alice.create_channel("acme/research/room")
...     room.send("hello")
...     for event in room:
...         print(event)

Nothing here holds the interpreter's lock while it waits; other threads go on, and Ctrl-C interrupts. Where `timeout`
is given, in seconds, `TimeoutError` is raised after it, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, cast

from skytale._agent import Agent, Conversation, LocalRelay, Member, encode
from skytale._bridge import wait
from skytale.errors import ClosedError, NotAMemberError
from skytale.events import Event, Evicted, Message, from_native

if TYPE_CHECKING:
    from typing_extensions import Self

    from skytale.events import EventTuple

__all__ = ["Channel", "Client", "LocalRelay", "Member"]


class Client(Agent):
    """An agent, for blocking programs. It may be used by several threads at once."""

    def start(self) -> Self:
        """Opens the agent's state and starts its work.

        Raises:
            ConfigurationError: Where a setting cannot be used.
            StateInUseError: Where another process has the state open.
            StateError: Where it cannot be read.
        """
        self._started(wait(self._starting()))
        return self

    def close(self) -> None:
        """Ends all work, and closes the state, so that another process can open it. Closing again does nothing."""
        native = self._closing()
        if native is not None:
            wait(native.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create_channel(self, name: str, *, timeout: float | None = None) -> Channel:
        """Creates a channel, with this agent as its only member; waits until the relay has it.

        Given up meanwhile, it is founded all the same as soon as the relay is there: `open_channel` opens it.

        Raises:
            ChannelExistsError: Where another group has the name.
            NotAuthorizedError: Where it belongs to another account.
        """
        native = self._running()
        return Channel(native, wait(lambda done: native.create_channel(done, name), timeout))

    def open_channel(self, name: str) -> Channel:
        """Opens a channel that the agent is a member of, as after a restart.

        Raises:
            NotAMemberError: Where the state knows no such channel.
        """
        native = self._running()
        return Channel(native, wait(lambda done: native.open_channel(done, name)))

    def join_channel(self, name: str, *, timeout: float | None = None) -> Channel:
        """Joins a channel that this agent was added to; waits until it is.

        Raises:
            MlsError: Where the Welcome is of no use; then a member has to add the agent again.
        """
        native = self._running()
        return Channel(native, wait(lambda done: native.join_channel(done, name), timeout))

    def join(self, name: str, invite: str, *, timeout: float | None = None) -> Channel:
        """Joins a channel by an invite; waits until a member has let this agent in. Needs an API key.

        Called again after a crash or a timeout it goes on where it was: the invite is used once.

        Raises:
            ApiRefusedError: Where the invite is not for this channel, used up or expired.
            ConfigurationError: Where the client has no API key.
        """
        native = self._running()
        return Channel(native, wait(lambda done: native.join(done, name, invite), timeout))

    def invitations(self, *, timeout: float | None = None) -> list[str]:
        """Returns the channels that this agent was added to and has not joined."""
        return cast("list[str]", wait(self._running().invitations, timeout))

    def channels(self) -> list[str]:
        """Returns the channels that the state knows."""
        return cast("list[str]", wait(self._running().channels))

    def wait_until_addable(self, *, timeout: float | None = None) -> None:
        """Waits until others can add this agent while it is away: until it has left key packages at the relay."""
        wait(self._running().wait_until_addable, timeout)


class Channel(Conversation):
    """An end-to-end-encrypted channel that the agent is a member of; iterating over it gives what happens.

    An event counts as dealt with when the next one is asked for, and comes again after a crash before that. Several
    readers of one channel share its events.
    """

    def send(self, body: str | bytes | bytearray | memoryview, *, timeout: float | None = None) -> int:
        """Says something to all other members, and returns its number once it is archived.

        It is encrypted and kept before anything is sent. After a timeout it is sent all the same.

        Raises:
            TooLargeError: For more than 1 MiB; `skytale.files` sends more.
            NotAMemberError: Where the agent was removed.
            RefusedError, NotAuthorizedError: Where the relay will not have it.
        """
        content = encode(body)
        return cast(int, wait(lambda done: self._native.send(done, content), timeout))

    def next(self, *, timeout: float | None = None) -> Event | None:
        """Waits for the next event; `None` once the channel is closed."""
        fields = wait(self._native.next, timeout)
        return None if fields is None else from_native(cast("EventTuple", fields))

    def receive(self, *, timeout: float | None = None) -> Message:
        """Waits for the next message, passing over other events; `timeout` is for each of them.

        Raises:
            ClosedError: Where the channel was closed.
            NotAMemberError: Where the agent was removed.
        """
        while (event := self.next(timeout=timeout)) is not None:
            if isinstance(event, Message):
                return event
            if isinstance(event, Evicted):
                raise NotAMemberError(f"this agent was removed from {self.name}")
        raise ClosedError(f"{self.name} was closed")

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def events(self) -> Iterator[Event]:
        """Iterates over what happens, until the channel is closed or the agent was removed (`Evicted`)."""
        while (event := self.next()) is not None:
            yield event
            if isinstance(event, Evicted):
                return

    def messages(self) -> Iterator[Message]:
        """Iterates over messages, passing over other events, as long as `events` would."""
        return (event for event in self.events() if isinstance(event, Message))

    def add(self, agent: str, *, timeout: float | None = None) -> int:
        """Adds an agent, which may be away, by a key package that it has left at the relay. Returns the commit's number.

        Raises:
            NoKeyPackageError: Where it has left none.
            ConflictError: Where others' commits won too often.
        """
        return cast(int, wait(lambda done: self._native.add(done, agent), timeout))

    def remove(self, agent: str, *, timeout: float | None = None) -> int:
        """Removes an agent. Returns the commit's number: the agent can read nothing after it.

        Raises:
            ConflictError: Where others' commits won too often.
        """
        return cast(int, wait(lambda done: self._native.remove(done, agent), timeout))

    def rotate(self, *, timeout: float | None = None) -> int:
        """Gives this agent new keys, and with it the group. Returns the commit's number."""
        return cast(int, wait(self._native.rotate, timeout))

    def leave(self, *, timeout: float | None = None) -> int:
        """Asks to be removed. The others do it as soon as one of them is there; then `Evicted` comes."""
        return cast(int, wait(self._native.leave, timeout))

    def wait_for(self, sequence: int, *, timeout: float | None = None) -> None:
        """Waits until the channel was read up to a number."""
        wait(lambda done: self._native.wait_for(done, sequence), timeout)

    def invite(self, *, uses: int = 1, seconds: int = 3600, timeout: float | None = None) -> str:
        """Makes an invite for `uses` agents and so many seconds, and lets them in as long as the channel is open.

        Whoever has the invite joins with `Client.join`. Needs an API key.

        Raises:
            ApiRefusedError: Where the account does not own the channel.
            ConfigurationError: Where the client has no API key.
        """
        return cast(str, wait(lambda done: self._native.invite(done, uses, seconds), timeout))

    def admit_pending(self, *, timeout: float | None = None) -> int:
        """Lets in who asks to join now by an invite, and returns how many."""
        return cast(int, wait(self._native.admit_pending, timeout))

    def close(self) -> None:
        """Ends the channel's work; `Client.open_channel` goes on with it. What waits to be sent waits in the state."""
        wait(lambda done: self._client.close_channel(done, self.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
