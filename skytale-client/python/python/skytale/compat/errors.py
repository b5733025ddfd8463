"""The errors of `skytale-sdk`; the cause of each is the error of this package that says more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from skytale import errors

__all__ = [
    "AuthError",
    "ChannelError",
    "MlsError",
    "QuotaExceededError",
    "SkytaleError",
    "TransportError",
    "translated",
]

_DOCS = "https://github.com/skytale/skytale/blob/main/docs/python.md#errors"


class SkytaleError(RuntimeError):
    """The base of all errors."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "unknown_error",
        http_status: int | None = None,
        doc_url: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code: str = code
        self.http_status: int | None = http_status
        self.doc_url: str = doc_url or _DOCS


class AuthError(SkytaleError):
    """The credentials were not accepted, or do not permit what was asked."""

    def __init__(
        self, message: str, *, code: str = "auth_failed", http_status: int | None = None, doc_url: str | None = None
    ) -> None:
        super().__init__(message, code=code, http_status=http_status, doc_url=doc_url)


class TransportError(SkytaleError):
    """The relay or the API server cannot be reached, or does not answer."""

    def __init__(
        self, message: str, *, code: str = "transport_error", http_status: int | None = None, doc_url: str | None = None
    ) -> None:
        super().__init__(message, code=code, http_status=http_status, doc_url=doc_url)


class ChannelError(SkytaleError):
    """There is no such channel, or it does not permit what was asked."""

    def __init__(
        self, message: str, *, code: str = "channel_error", http_status: int | None = None, doc_url: str | None = None
    ) -> None:
        super().__init__(message, code=code, http_status=http_status, doc_url=doc_url)


class MlsError(SkytaleError):
    """A key package, Welcome or change of a group is of no use."""

    def __init__(
        self, message: str, *, code: str = "mls_error", http_status: int | None = None, doc_url: str | None = None
    ) -> None:
        super().__init__(message, code=code, http_status=http_status, doc_url=doc_url)


class QuotaExceededError(SkytaleError):
    """The account's plan permits no more."""

    def __init__(
        self, message: str, *, code: str = "quota_exceeded", http_status: int | None = None, doc_url: str | None = None
    ) -> None:
        super().__init__(message, code=code, http_status=http_status, doc_url=doc_url)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises what happens inside as the errors of this module."""
    try:
        yield
    except errors.SkytaleError as error:
        raise _translation(error) from error
    except TimeoutError as error:
        raise TransportError(f"the relay did not answer in time: {error}", code="timeout") from error


def _translation(error: errors.SkytaleError) -> SkytaleError:
    status = error.status if isinstance(error, errors.ApiRefusedError) else None
    message = str(error)
    if isinstance(error, errors.NotAuthorizedError) or status in (401, 403):
        return AuthError(message, http_status=status or 401)
    if status == 429 or isinstance(error, errors.RefusedError) and error.relay_code == "QUOTA":
        return QuotaExceededError(message, http_status=status)
    if isinstance(error, errors.UnreachableError) or status is not None and status >= 500:
        return TransportError(message, http_status=status)
    if isinstance(error, (errors.MlsError, errors.ConflictError, errors.NoKeyPackageError)):
        return MlsError(message)
    if isinstance(error, errors.StateError):
        return SkytaleError(message, code=error.code)
    return ChannelError(message, code=error.code, http_status=status)
