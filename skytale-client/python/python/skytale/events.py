"""What happens on a channel, as an agent is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TypeAlias

__all__ = [
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
    "Message",
    "NotChanged",
    "NotSent",
    "Reconnected",
    "Rejoined",
    "StateFailed",
    "TokenRefused",
    "Undecryptable",
    "Unknown",
]


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class Message:
    """Another member said something. Its `repr` tells the length of the body, not the body."""

    channel: str
    """The channel's name."""
    sender: str
    """The name of the agent that sent it, which MLS has verified."""
    sequence: int
    """Its number in the channel, from 1, without holes among what is archived."""
    id: str
    """Its id, by which a repetition is recognised, in hexadecimal."""
    epoch: int
    """The epoch it was sent in."""
    body: bytes = field(repr=False)
    """What was said."""
    received_at: datetime = field(default_factory=_now, compare=False)
    """When this process received it, in UTC."""
    size: int = field(init=False)
    """How many bytes the body has."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.body))

    @property
    def text(self) -> str:
        """The body as text, with what is no UTF-8 replaced."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Joined:
    """An agent became a member."""

    agent: str
    sequence: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Left:
    """An agent is no longer a member."""

    agent: str
    sequence: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The group has new keys."""

    epoch: int
    sequence: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Evicted:
    """This agent was removed. Nothing follows."""

    sequence: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """Records are gone from the archive before this agent had read them: from `first` to `last`."""

    first: int
    last: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message of the group could not be read: it is no member's, or this agent's group is not the others'."""

    sequence: int
    reason: str
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class HistoryDiffers:
    """The sender of a message has read other records than this agent, or in another order, up to the number `through`.

    The relay shows its members different histories, or that member lies. Told once an epoch; messages go on as before.
    """

    sender: str
    sequence: int
    through: int
    own: bytes
    theirs: bytes
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Forked:
    """The group went on without this agent, whose state is of another history.

    It comes back by itself (`Rejoined`) where the relay permits external commits; else it has to be removed and added
    again.
    """

    sequence: int
    epoch: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Rejoined:
    """This agent is back in the group, after `Forked` or a gap. Messages between are lost to it."""

    epoch: int
    sequence: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """A message that `send` had taken before the agent was started anew will not be sent."""

    body: bytes = field(repr=False)
    reason: str
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class NotChanged:
    """An agent that was to be added or removed before this one was started anew will not be."""

    agent: str
    reason: str
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class StateFailed:
    """What happens cannot be stored, or the state not be read: nothing is sent or told until it can."""

    reason: str
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Lagging:
    """Events wait unread in the state; the agent reads more slowly than others write."""

    waiting: int
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The relay is gone; what is sent meanwhile waits."""

    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The relay is back, and what was missed comes."""

    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The relay does not accept the agent's credentials; it is asked again, later each time."""

    reason: str
    received_at: datetime = field(default_factory=_now, compare=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that this version of the package has no name for."""

    description: str
    received_at: datetime = field(default_factory=_now, compare=False)


Event: TypeAlias = (
    Message
    | Joined
    | Left
    | Epoch
    | Evicted
    | Gap
    | Undecryptable
    | HistoryDiffers
    | Forked
    | Rejoined
    | NotSent
    | NotChanged
    | StateFailed
    | Lagging
    | Disconnected
    | Reconnected
    | TokenRefused
    | Unknown
)

EventTuple: TypeAlias = "tuple[str, *tuple[str | int | bytes, ...]]"
"""A native event: its kind and its fields."""

_KINDS: dict[str, type[Event]] = {
    "message": Message,
    "joined": Joined,
    "left": Left,
    "epoch": Epoch,
    "evicted": Evicted,
    "gap": Gap,
    "undecryptable": Undecryptable,
    "history_differs": HistoryDiffers,
    "forked": Forked,
    "rejoined": Rejoined,
    "not_sent": NotSent,
    "not_changed": NotChanged,
    "state_failed": StateFailed,
    "lagging": Lagging,
    "disconnected": Disconnected,
    "reconnected": Reconnected,
    "token_refused": TokenRefused,
    "unknown": Unknown,
}


def from_native(fields: EventTuple) -> Event:
    """Makes the event of a native tuple."""
    kind, *rest = fields
    return _KINDS[kind](*rest)  # type: ignore[arg-type]
