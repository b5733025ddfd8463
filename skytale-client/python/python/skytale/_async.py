"""The asyncio face."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, cast

from skytale._agent import Agent, Conversation, encode
from skytale._bridge import run
from skytale.errors import ClosedError, NotAMemberError
from skytale.events import Event, Evicted, Message, from_native

if TYPE_CHECKING:
    from typing_extensions import Self

    from skytale.events import EventTuple

__all__ = ["Channel", "Client"]


class Client(Agent):
    """An agent, for asyncio.

    >>> async with Client("acme/agents/alice", "quic://relay.example.org") as alice:
    ...     room = await alice.create_channel("acme/research/room")
    ...     await room.send("hello")

    All its methods may be cancelled and timed out. The relay need not be reachable at the start: agents connect by
    themselves, again and again.
    """

    async def start(self) -> Self:
        """Opens the agent's state and starts its work.

        Raises:
            ConfigurationError: Where a setting cannot be used.
            StateInUseError: Where another process has the state open.
            StateError: Where it cannot be read.
        """
        self._started(await run(self._starting()))
        return self

    async def close(self) -> None:
        """Ends all work, and closes the state, so that another process can open it. Closing again does nothing."""
        native = self._closing()
        if native is not None:
            await run(native.close)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def create_channel(self, name: str) -> Channel:
        """Creates a channel, with this agent as its only member; waits until the relay has it.

        Given up meanwhile, it is founded all the same as soon as the relay is there: `open_channel` opens it.

        Raises:
            ChannelExistsError: Where another group has the name.
            NotAuthorizedError: Where it belongs to another account.
        """
        native = self._running()
        return Channel(native, await run(lambda done: native.create_channel(done, name)))

    async def open_channel(self, name: str) -> Channel:
        """Opens a channel that the agent is a member of, as after a restart.

        Raises:
            NotAMemberError: Where the state knows no such channel.
        """
        native = self._running()
        return Channel(native, await run(lambda done: native.open_channel(done, name)))

    async def join_channel(self, name: str) -> Channel:
        """Joins a channel that this agent was added to; waits until it is.

        Raises:
            MlsError: Where the Welcome is of no use; then a member has to add the agent again.
        """
        native = self._running()
        return Channel(native, await run(lambda done: native.join_channel(done, name)))

    async def join(self, name: str, invite: str) -> Channel:
        """Joins a channel by an invite; waits until a member has let this agent in. Needs an API key.

        Called again after a crash it goes on where it was: the invite is used once.

        Raises:
            ApiRefusedError: Where the invite is not for this channel, used up or expired.
            ConfigurationError: Where the client has no API key.
        """
        native = self._running()
        return Channel(native, await run(lambda done: native.join(done, name, invite)))

    async def invitations(self) -> list[str]:
        """Returns the channels that this agent was added to and has not joined."""
        return cast("list[str]", await run(self._running().invitations))

    async def channels(self) -> list[str]:
        """Returns the channels that the state knows."""
        return cast("list[str]", await run(self._running().channels))

    async def wait_until_addable(self) -> None:
        """Waits until others can add this agent while it is away: until it has left key packages at the relay."""
        await run(self._running().wait_until_addable)


class Channel(Conversation):
    """An end-to-end-encrypted channel that the agent is a member of.

    >>> async for event in channel:
    ...     match event:
    ...         case Message(sender=sender, text=text):
    ...             print(sender, text)
    ...         case Joined(agent=agent):
    ...             print(agent, "is there")

    An event counts as dealt with when the next one is asked for, and comes again after a crash before that. Several
    readers of one channel share its events.
    """

    async def send(self, body: str | bytes | bytearray | memoryview) -> int:
        """Says something to all other members, and returns its number once it is archived.

        It is encrypted and kept before anything is sent. Cancelled meanwhile, it is sent all the same.

        Raises:
            TooLargeError: For more than 1 MiB; `skytale.files` sends more.
            NotAMemberError: Where the agent was removed.
            RefusedError, NotAuthorizedError: Where the relay will not have it.
        """
        content = encode(body)
        return cast(int, await run(lambda done: self._native.send(done, content)))

    async def next(self) -> Event | None:
        """Waits for the next event; `None` once the channel is closed. Cancelling it loses nothing."""
        fields = await run(self._native.next)
        return None if fields is None else from_native(cast("EventTuple", fields))

    async def receive(self) -> Message:
        """Waits for the next message, passing over other events.

        Raises:
            ClosedError: Where the channel was closed.
            NotAMemberError: Where the agent was removed.
        """
        while (event := await self.next()) is not None:
            if isinstance(event, Message):
                return event
            if isinstance(event, Evicted):
                raise NotAMemberError(f"this agent was removed from {self.name}")
        raise ClosedError(f"{self.name} was closed")

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.events()

    async def events(self) -> AsyncIterator[Event]:
        """Iterates over what happens, until the channel is closed or the agent was removed (`Evicted`)."""
        while (event := await self.next()) is not None:
            yield event
            if isinstance(event, Evicted):
                return

    async def messages(self) -> AsyncIterator[Message]:
        """Iterates over messages, passing over other events, as long as `events` would."""
        async for event in self.events():
            if isinstance(event, Message):
                yield event

    async def add(self, agent: str) -> int:
        """Adds an agent, which may be away, by a key package that it has left at the relay. Returns the commit's number.

        Raises:
            NoKeyPackageError: Where it has left none.
            ConflictError: Where others' commits won too often.
        """
        return cast(int, await run(lambda done: self._native.add(done, agent)))

    async def remove(self, agent: str) -> int:
        """Removes an agent. Returns the commit's number: the agent can read nothing after it.

        Raises:
            ConflictError: Where others' commits won too often.
        """
        return cast(int, await run(lambda done: self._native.remove(done, agent)))

    async def rotate(self) -> int:
        """Gives this agent new keys, and with it the group. Returns the commit's number."""
        return cast(int, await run(self._native.rotate))

    async def leave(self) -> int:
        """Asks to be removed. The others do it as soon as one of them is there; then `Evicted` comes."""
        return cast(int, await run(self._native.leave))

    async def wait_for(self, sequence: int) -> None:
        """Waits until the channel was read up to a number."""
        await run(lambda done: self._native.wait_for(done, sequence))

    async def invite(self, *, uses: int = 1, seconds: int = 3600) -> str:
        """Makes an invite for `uses` agents and so many seconds, and lets them in as long as the channel is open.

        Whoever has the invite joins with `Client.join`. Needs an API key.

        Raises:
            ApiRefusedError: Where the account does not own the channel.
            ConfigurationError: Where the client has no API key.
        """
        return cast(str, await run(lambda done: self._native.invite(done, uses, seconds)))

    async def close(self) -> None:
        """Ends the channel's work; `Client.open_channel` goes on with it. What waits to be sent waits in the state."""
        await run(lambda done: self._client.close_channel(done, self.name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def admit_pending(self) -> int:
        """Lets in who asks to join now by an invite, and returns how many."""
        return cast(int, await run(self._native.admit_pending))
