"""What the package keeps for the whole process: the log, open agents, what happens at a fork and at the end."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref

from skytale import _bridge, _native

CLOSING_SECONDS = 2.0
"""How long agents that were left open have to close at the interpreter's end."""

_open: weakref.WeakSet[_native.Client] = weakref.WeakSet()
_log_started = threading.Lock()
_log_thread: threading.Thread | None = None


def opened(client: _native.Client) -> None:
    """Remembers an agent, to close it at the interpreter's end."""
    _open.add(client)


def closed(client: _native.Client) -> None:
    """Forgets an agent that was closed."""
    _open.discard(client)


def forward_log() -> None:
    """Hands native log records over to `logging`, from the level of the logger `skytale` on."""
    global _log_thread
    _native.set_log_level(min(logging.getLogger("skytale").getEffectiveLevel(), 255))
    with _log_started:
        if _log_thread is None:
            descriptor = _native.log_descriptor()
            _log_thread = threading.Thread(target=_forward, args=(descriptor,), name="skytale-log", daemon=True)
            _log_thread.start()


def _forward(descriptor: int) -> None:
    while os.read(descriptor, 64):
        for level, name, message in _native.take_logs():
            logger = logging.getLogger(name.replace("skytale_", "skytale.", 1))
            if logger.isEnabledFor(level):
                logger.log(level, "%s", message)
        _native.set_log_level(min(logging.getLogger("skytale").getEffectiveLevel(), 255))


def _at_exit() -> None:
    _bridge.end()
    _native.shut_down(list(_open), CLOSING_SECONDS)


def _after_fork() -> None:
    global _log_thread, _open
    _native.forget()
    _bridge.forget()
    _open, _log_thread = weakref.WeakSet(), None


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
