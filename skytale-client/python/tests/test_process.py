"""The package as a part of a process: its end, signals, forks, logging, and other threads."""

import logging

import signal
import subprocess
import sys
import textwrap
import time

import pytest
import skytale
from conftest import QUIET, Place
from skytale import blocking


def python(code: str, settings: dict, *, seconds: float = 20, send: int = 0) -> subprocess.CompletedProcess:
    """Runs a program under `-X dev -W error` that finds an agent's settings in `settings`."""
    # Whoever runs the tests in the background has its children ignore the signal.
    source = QUIET + "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    source += f"settings = {{k: v for k, v in {settings!r}.items() if v}}\n" + textwrap.dedent(code)
    source = source.replace("PosixPath(", "str(")
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", source]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        if send:
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.2)
            process.send_signal(send)
        began = time.monotonic()
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        process.seconds = time.monotonic() - began  # type: ignore[attr-defined]
    result = subprocess.CompletedProcess(command, process.returncode, out, err)
    result.seconds = process.seconds  # type: ignore[attr-defined]
    return result


ENDS = {
    "nothing open": "with Client(**settings) as c: c.create_channel(name).send('x')",
    "in the middle of a wait, in a daemon thread": """
        import threading, time
        c = Client(**settings).start()
        room = c.create_channel(name)
        threading.Thread(target=room.next, daemon=True).start()
        threading.Thread(target=lambda: [room.send('x') for _ in range(10**6)], daemon=True).start()
        time.sleep(0.3)
    """,
    "asyncio tasks pending": """
        import asyncio, skytale
        async def main():
            c = await skytale.Client(**settings).start()
            room = await c.create_channel(name)
            tasks = [asyncio.create_task(room.send('x')) for _ in range(100)] + [asyncio.create_task(room.next())]
            await asyncio.sleep(0)
        asyncio.run(main())
    """,
    "an agent that no relay answers": """
        c = Client('a/b/c', 'quic://127.0.0.1:9').start()
    """,
    "an error": "with Client(**settings) as c: c.create_channel(name); raise SystemExit(0)",
}


@pytest.mark.parametrize("how", ENDS)
def test_the_interpreter_ends_in_time(server: Place, channel_name: str, how: str) -> None:
    begin = f"from skytale.blocking import Client\nname = {channel_name!r}\n"
    if "start()" in ENDS[how]:
        begin += "import warnings; warnings.simplefilter('ignore', ResourceWarning)\n"
    ended = python(begin + textwrap.dedent(ENDS[how]), server.agent("alice"))
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert ended.seconds < 15


def test_ctrl_c_interrupts_what_waits(server: Place, channel_name: str) -> None:
    code = f"""
        from skytale.blocking import Client
        with Client(**settings) as c:
            room = c.create_channel({channel_name!r})
            try:
                print("waiting", flush=True)
                while True:
                    room.next()
            except KeyboardInterrupt:
                print("interrupted", room.send("and it goes on"))
    """
    ended = python(code, server.agent("alice"), send=signal.SIGINT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted 2\n", "")
    assert ended.seconds < 15


def test_ctrl_c_ends_asyncio(server: Place, channel_name: str) -> None:
    code = f"""
        import asyncio, skytale
        async def main():
            async with skytale.Client(**settings) as c:
                room = await c.create_channel({channel_name!r})
                print("waiting", flush=True)
                async for _ in room:
                    pass
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """
    ended = python(code, server.agent("alice"), send=signal.SIGINT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")


def test_a_forked_child_has_agents_of_its_own(server: Place, channel_name: str) -> None:
    code = f"""
        import os
        from skytale.blocking import Client
        with Client(**settings) as parent:
            room = parent.create_channel({channel_name!r})
            child = os.fork()
            if child == 0:
                try:
                    room.send("as the parent")
                except RuntimeError as error:
                    assert "after the fork" in str(error)
                settings["name"] += "-child"
                with Client(**settings) as c:
                    os._exit(c.create_channel({channel_name + "-child"!r}).send("from the child") - 2)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), room.send("from the parent"))
    """
    ended = python(code, server.agent("alice"))
    assert (ended.returncode, ended.stdout) == (0, "0 2\n"), ended.stderr


def test_an_agent_that_is_forgotten_warns() -> None:
    client = blocking.Client("a/b/c", "quic://127.0.0.1:9").start()
    native = client._native
    with pytest.warns(ResourceWarning, match="a/b/c"):
        del client
    assert native is not None
    from skytale import _bridge

    _bridge.wait(native.close)


def test_the_log_is_pythons(caplog: pytest.LogCaptureFixture) -> None:
    """Records of the native half come to the loggers below `skytale`, from their level on."""
    caplog.set_level(logging.DEBUG, logger="skytale")
    with blocking.Client("a/b/c", "grpc://127.0.0.1:9") as client:
        with pytest.raises(TimeoutError):
            client.create_channel("a/b/room", timeout=0.2)
        deadline = time.monotonic() + 20
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.02)
    record = caplog.records[0]
    assert record.name.startswith("skytale.client") and record.levelno == logging.DEBUG
    assert "127.0.0.1:9" in record.getMessage()


def test_a_running_loop_as_in_a_notebook(server: Place, channel_name: str) -> None:
    """Cells are run one after the other in one loop, which was there before."""
    import asyncio

    cells = [
        "import skytale",
        "alice = await skytale.Client(**settings).start()",
        "room = await alice.create_channel(name)",
        "number = await room.send('from a cell')",
        "await alice.close()",
    ]
    names: dict = {"settings": server.agent("alice"), "name": channel_name}
    loop = asyncio.new_event_loop()
    for cell in cells:
        code = compile(cell, "<cell>", "exec", flags=__import__("ast").PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if waiting is not None:
            loop.run_until_complete(waiting)
    loop.close()
    assert names["number"] == 2


def test_idle_channels_leave_the_interpreter_alone(server: Place) -> None:
    """Eight threads that wait for messages take next to nothing from one that computes."""
    import threading

    with blocking.Client(**server.agent("alice")) as alice:
        channels = [alice.create_channel(server.agent("room")["name"]) for _ in range(8)]
        threads = [threading.Thread(target=lambda c=c: list(c)) for c in channels]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        began, ours, all_threads = time.perf_counter(), time.thread_time(), time.process_time()
        while time.perf_counter() - began < 1:
            sum(range(1000))
        others = (time.process_time() - all_threads) - (time.thread_time() - ours)
        assert others < 0.2, f"{others:.3f} s of the processor within a second"
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_the_version_is_known() -> None:
    assert skytale.__version__.count(".") == 2
