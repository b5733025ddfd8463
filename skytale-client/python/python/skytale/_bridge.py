"""How Python waits for native work: an event loop or a thread is told by a descriptor, and nothing else blocks."""

from __future__ import annotations

import asyncio
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from skytale import _native
from skytale.errors import from_failure

Start: TypeAlias = Callable[[_native.Completions], _native.Operation]
"""Begins native work that reports to these completions."""


async def run(start: Start) -> object:
    """Does native work, and waits for it in the running event loop. Cancelling gives the work up where it is safe."""
    loop = asyncio.get_running_loop()
    bridge = _bridges.get(loop)
    if bridge is None:
        bridge = _bridges[loop] = _Bridge(loop)
    operation = start(bridge.completions)
    if not operation.done():
        await bridge.finished(operation, loop.create_future())
    return _result(operation)


def wait(start: Start, timeout: float | None = None) -> object:
    """Does native work, and waits for it in this thread, at most `timeout` seconds. Signals interrupt it."""
    try:
        waiter = _waiters.waiter
        operation = start(waiter.completions)
        if not operation.done():
            waiter.finished(operation, timeout)
        return _result(operation)
    finally:
        if _ending.is_set() and threading.current_thread().daemon:
            # The interpreter ends, and daemon threads with it: they get no errors of that any more.
            threading.Event().wait()


def _result(operation: _native.Operation) -> object:
    result = operation.result()
    if isinstance(result, _native.Failure):
        raise from_failure(result)
    return result


class _Bridge:
    """Tells one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.completions = _native.Completions()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        loop.add_reader(self.completions.fileno(), self._wake)

    async def finished(self, operation: _native.Operation, future: asyncio.Future[None]) -> None:
        self._waiting[operation.id] = future
        try:
            await future
        except BaseException:
            operation.cancel()
            raise
        finally:
            self._waiting.pop(operation.id, None)

    def _wake(self) -> None:
        for done in self.completions.take():
            future = self._waiting.pop(done, None)
            if future is not None and not future.done():
                future.set_result(None)


_bridges: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bridge] = weakref.WeakKeyDictionary()


class _Waiter:
    """Tells one thread."""

    def __init__(self) -> None:
        self.completions = _native.Completions()
        self._poll = select.poll()
        self._poll.register(self.completions.fileno(), select.POLLIN)

    def finished(self, operation: _native.Operation, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not operation.done():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"nothing came within {timeout} s")
                self._poll.poll(None if left is None else left * 1000)
                self.completions.take()
        except BaseException:
            operation.cancel()
            raise


class Pipeline:
    """Work that is begun one after the other, and waited for later: at most so much at once, and all before the end."""

    def __init__(self, most: int) -> None:
        self._most, self._running = most, deque[_native.Operation]()
        self._waiter, self._turn = _Waiter(), threading.Lock()

    def begin(self, start: Start, timeout: float) -> None:
        """Begins work. Raises what went wrong with work before."""
        with self._turn:
            self._await_fewer_than(self._most, timeout)
            self._running.append(start(self._waiter.completions))

    def finish(self, timeout: float) -> None:
        """Waits until all is done. Raises what went wrong first."""
        with self._turn:
            self._await_fewer_than(1, timeout)

    def _await_fewer_than(self, most: int, timeout: float) -> None:
        while self._running and (len(self._running) >= most or self._running[0].done()):
            if not self._running[0].done():
                self._waiter.finished(self._running[0], timeout)
            _result(self._running.popleft())


class _Waiters(threading.local):
    def __init__(self) -> None:
        self.waiter = _Waiter()


_waiters = _Waiters()
_ending = threading.Event()


def end() -> None:
    """Lets daemon threads that wait do so until the interpreter is gone."""
    _ending.set()


def forget() -> None:
    """Forgets whom to tell, in a process that was forked."""
    global _waiters
    _bridges.clear()
    _waiters = _Waiters()
