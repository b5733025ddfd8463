"""The relays and nodes that are measured, each started for one run, and the load generator beside them."""
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/server/tests/interop"))
import harness  # noqa: E402

FLAWS = ("lost", "duplicates", "disorder", "untrue", "ended")


def prepare() -> None:
    """Allows what a run needs of the system."""
    harness.end_cleanly()
    allow_many_files()
    # Not on a file system in memory, where a sync costs nothing.
    harness.CACHE.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(harness.CACHE)


def allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def relay(server: str, store: str, harness=harness):
    """Returns a server that is not started yet; `harness` is that of the server's own sources."""
    return harness.Server(server, "--allow-anonymous", "--store", store)


def run(*command) -> dict:
    """Runs a program that measures; returns what it prints."""
    output = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output)


class Stand:
    """Starts the nodes, each for one run."""

    def __init__(self, server: str, python: pathlib.Path, scratch: pathlib.Path):
        self.server, self.python = server, python
        self.shim = harness.shim(pathlib.Path(__file__).with_name("nodelay.c"), scratch)

    def can_start(self, node: str) -> bool:
        return node != "nodelay" or self.shim is not None

    @contextlib.contextmanager
    def node(self, node: str):
        """Yields the address and the process id of a node."""
        if node in ("memory", "sqlite"):
            with relay(self.server, node) as server:
                yield server.grpc, server.process.pid
            return
        address = f"127.0.0.1:{free_port()}"
        environment = dict(os.environ, **({"LD_PRELOAD": str(self.shim)} if node == "nodelay" else {}))
        command = [self.python, pathlib.Path(__file__).with_name("node.py"), address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            if not process.stdout.readline().startswith("listening"):
                sys.exit("the SLIM node did not start")
            yield address, process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
