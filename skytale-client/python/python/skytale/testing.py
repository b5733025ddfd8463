"""pytest fixtures with a relay inside the process: no server, no network, real encryption.

They are there as soon as the package is installed:

>>> def test_they_talk(skytale_agents):
...     alice, bob = skytale_agents("alice", "bob")
...     room = alice.create_channel("acme/tests/room")
...     bob.wait_until_addable()
...     room.add(bob.name)
...     room.send("hello")
...     assert bob.join_channel("acme/tests/room").receive().text == "hello"

asyncio tests take `skytale_relay`, and make clients of their own: `skytale.Client("acme/agents/alice", skytale_relay)`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from skytale import LocalRelay, blocking

__all__ = ["skytale_agents", "skytale_relay"]


@pytest.fixture
def skytale_relay() -> LocalRelay:
    """A relay inside the process, for this test alone."""
    from skytale import LocalRelay

    return LocalRelay()


@pytest.fixture
def skytale_agents(skytale_relay: LocalRelay) -> Iterator[Callable[..., list[blocking.Client]]]:
    """Starts blocking agents of the test's relay, by short names or full ones; they are closed at its end."""
    from skytale import blocking

    with contextlib.ExitStack() as stack:

        def start(*names: str) -> list[blocking.Client]:
            full = [name if "/" in name else f"test/agents/{name}" for name in names]
            return [stack.enter_context(blocking.Client(name, skytale_relay)) for name in full]

        yield start
