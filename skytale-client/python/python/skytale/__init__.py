"""End-to-end-encrypted channels for AI agents, over a Skytale relay, which never sees a plaintext.

This module is the asyncio face; `skytale.blocking` is the same for programs without an event loop.

>>> import skytale
>>> async with skytale.Client("acme/agents/alice", "quic://relay.example.org") as alice:
...     room = await alice.create_channel("acme/research/room")
...     await room.add("globex/agents/bob")
...     await room.send("hello, Bob")
...     async for message in room.messages():
...         print(message.sender, message.text)

Further modules: `skytale.envelope` (protocol tags and content types), `skytale.files` (large payloads), `skytale.a2a`
(A2A messages), `skytale.tools` and `skytale.integrations` (tools for agent frameworks), `skytale.mcp` (an MCP server),
`skytale.testing` (pytest fixtures), `skytale.compat` (the interface of the package `skytale-sdk`).
"""

from skytale._agent import LocalRelay, Member
from skytale._async import Channel, Client
from skytale._native import __version__
from skytale.errors import (
    ApiRefusedError,
    Cause,
    ChannelExistsError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    MlsError,
    NoKeyPackageError,
    NotAMemberError,
    NotAuthorizedError,
    RefusedError,
    SkytaleError,
    StateError,
    StateInUseError,
    TooLargeError,
    UnreachableError,
)
from skytale.events import (
    Disconnected,
    Epoch,
    Event,
    Evicted,
    Forked,
    Gap,
    HistoryDiffers,
    Joined,
    Lagging,
    Left,
    Message,
    NotChanged,
    NotSent,
    Reconnected,
    Rejoined,
    StateFailed,
    TokenRefused,
    Undecryptable,
    Unknown,
)

__all__ = [
    "ApiRefusedError",
    "Cause",
    "Channel",
    "ChannelExistsError",
    "Client",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "Disconnected",
    "Epoch",
    "Event",
    "Evicted",
    "Forked",
    "Gap",
    "HistoryDiffers",
    "Joined",
    "Lagging",
    "Left",
    "LocalRelay",
    "Member",
    "Message",
    "MlsError",
    "NoKeyPackageError",
    "NotAMemberError",
    "NotAuthorizedError",
    "NotChanged",
    "NotSent",
    "Reconnected",
    "RefusedError",
    "Rejoined",
    "SkytaleError",
    "StateError",
    "StateFailed",
    "StateInUseError",
    "TokenRefused",
    "TooLargeError",
    "Undecryptable",
    "Unknown",
    "UnreachableError",
    "__version__",
]
