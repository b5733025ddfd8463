"""The interface of the package `skytale-sdk`, for programs that were written for it: import `skytale.compat` in its place.

| there | here |
|---|---|
| `from skytale_sdk import SkytaleChannelManager, SkytaleClient` | `from skytale.compat import SkytaleChannelManager, SkytaleClient` |
| `from skytale_sdk.errors import AuthError` | `from skytale.compat.errors import AuthError` |
| `from skytale_sdk.envelope import Envelope, Protocol` | `from skytale.compat.envelope import Envelope, Protocol` |
| `from skytale_sdk.integrations.a2a import SkytaleA2AAdapter` | `from skytale.compat.integrations.a2a import SkytaleA2AAdapter` |

Key packages and Welcomes travel over the relay here; the bytes that pass through a program's hands name them. New
programs use `skytale` and `skytale.blocking`, which tell who said what, and when.
"""

from skytale.compat.channels import SkytaleChannelManager
from skytale.compat.client import Channel, MessageIterator, SkytaleClient
from skytale.compat.envelope import Envelope, Protocol
from skytale.compat.errors import (
    AuthError,
    ChannelError,
    MlsError,
    QuotaExceededError,
    SkytaleError,
    TransportError,
)

__all__ = [
    "AuthError",
    "Channel",
    "ChannelError",
    "Envelope",
    "MessageIterator",
    "MlsError",
    "Protocol",
    "QuotaExceededError",
    "SkytaleChannelManager",
    "SkytaleClient",
    "SkytaleError",
    "TransportError",
]
