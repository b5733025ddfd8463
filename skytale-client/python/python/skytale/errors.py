"""What can go wrong, by what the caller can do about it."""

from __future__ import annotations

from typing import ClassVar

from skytale import _native

__all__ = [
    "ApiRefusedError",
    "Cause",
    "ChannelExistsError",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "MlsError",
    "NoKeyPackageError",
    "NotAMemberError",
    "NotAuthorizedError",
    "RefusedError",
    "SkytaleError",
    "StateError",
    "StateInUseError",
    "TooLargeError",
    "UnreachableError",
]


class Cause(Exception):
    """Why an error happened: the `__cause__` of a `SkytaleError`, or of another cause."""


class SkytaleError(Exception):
    """The base of all errors of this package.

    `code` is a word that never changes, `help` says what to do next, and `__cause__` is why it happened. `retryable`
    tells whether the same call may succeed later, `retry_after` after how many seconds, if the relay said so.
    """

    code: ClassVar[str] = "unknown"
    help: ClassVar[str] = "See the message and its cause."

    def __init__(self, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} [{self.code}] {self.help}"

    def __reduce__(self) -> tuple[type[SkytaleError], tuple[str], dict[str, object]]:
        return type(self), (self.message,), self.__dict__


class ConfigurationError(SkytaleError, ValueError):
    """Something that the caller gave cannot be used."""

    code = "configuration"
    help = "Correct the argument that the message names."


class StateInUseError(SkytaleError):
    """Another process has the agent's state open."""

    code = "state_in_use"
    help = "Give each agent a directory of its own, or end the other process."


class StateError(SkytaleError):
    """The agent's state could not be read or written."""

    code = "state"
    help = "Check the directory, its permissions, the space on its disk, and the key it was encrypted with."


class UnreachableError(SkytaleError, ConnectionError):
    """The relay or the API server cannot be reached."""

    code = "unreachable"
    help = "Check the address and the network; agents reconnect by themselves, so the same call may succeed later."


class NotAuthorizedError(SkytaleError, PermissionError):
    """The credentials were not accepted, or do not permit what was asked."""

    code = "not_authorized"
    help = "Check that the API key or token is current, and that it permits this channel."


class ApiRefusedError(SkytaleError):
    """The API server refused a request; `status` is the HTTP status."""

    code = "api_refused"
    help = "Do what the message says; an invite that is used up or expired is made anew by a member."
    status: int | None = None


class RefusedError(SkytaleError):
    """The relay refused a request; `relay_code` is its reason as a word."""

    code = "refused"
    help = "Do what the message says; where `retryable` is true, try again after `retry_after` seconds."
    relay_code: str | None = None


class ChannelExistsError(SkytaleError):
    """The channel has a group already."""

    code = "channel_exists"
    help = "Join it (`join`, `join_channel`), open it (`open_channel`) where the agent is a member, or choose another name."


class NotAMemberError(SkytaleError):
    """The agent is not, or no longer, a member of the channel."""

    code = "not_a_member"
    help = "Ask a member to add this agent, then `join_channel`; or `join` with an invite."


class NoKeyPackageError(SkytaleError):
    """An agent that is to be added has left no usable key package."""

    code = "no_key_package"
    help = "That agent has to connect once (`await client.wait_until_addable()`); then add it again."


class TooLargeError(SkytaleError, ValueError):
    """A message is too long."""

    code = "too_large"
    help = "Send large payloads with `skytale.files`, which sends them in pieces."


class ConflictError(SkytaleError):
    """A change of the group lost against others' changes too often."""

    code = "conflict"
    help = "Try again a little later."


class MlsError(SkytaleError):
    """A key package, Welcome or group cannot be used."""

    code = "mls"
    help = "Have a member remove this agent and add it again."


class ClosedError(SkytaleError):
    """The client or channel was closed, or was never started."""

    code = "closed"
    help = "Use the client inside its `with` block, or between `start()` and `close()`."


_BY_CODE: dict[str, type[SkytaleError]] = {
    kind.code: kind
    for kind in (
        ConfigurationError,
        StateInUseError,
        StateError,
        UnreachableError,
        NotAuthorizedError,
        ApiRefusedError,
        RefusedError,
        ChannelExistsError,
        NotAMemberError,
        NoKeyPackageError,
        TooLargeError,
        ConflictError,
        MlsError,
        ClosedError,
    )
}


def from_failure(failure: _native.Failure) -> SkytaleError:
    """Makes the exception of a native failure, with its chain of causes."""
    kind = _BY_CODE.get(failure.code, SkytaleError)
    error = kind(failure.message, retryable=failure.retryable, retry_after=failure.retry_after)
    if isinstance(error, ApiRefusedError):
        error.status = failure.status
    if isinstance(error, RefusedError):
        error.relay_code = failure.relay_code
    below: BaseException = error
    for text in failure.causes:
        cause = Cause(text)
        below.__cause__ = cause
        below = cause
    return error
