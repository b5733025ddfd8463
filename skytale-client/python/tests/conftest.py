"""A real server for the whole run, and agents with names of their own for each test."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import sys
import urllib.request
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "examples/server/tests/interop"))

import harness  # noqa: E402

# Sessions of processes that tests have killed are not waited for.
os.environ["SKYTALE_DRAIN_SECONDS"] = "1"

T = TypeVar("T")
SECONDS = 60

# Asyncio's debug mode complains of a busy machine.
QUIET = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--programs", required=True, help="the directory with `skytale-server` and `skytale`")
    parser.addoption("--plain-python", default=sys.executable, help="a Python with this package and no other")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that is skipped is not run: continuous integration has everything that tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> pathlib.Path:
    return pathlib.Path(request.config.getoption("--programs"))


@pytest.fixture(scope="session")
def plain_python(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--plain-python"))


@dataclass
class Place:
    """A server, as agents and accounts reach it."""

    grpc: str
    quic: str
    api: str
    trust: pathlib.Path

    def agent(self, who: str, transport: str = "quic", **more: Any) -> dict[str, Any]:
        """Returns the arguments of an agent with a name of its own."""
        name = f"acme/{uuid.uuid4().hex[:8]}/{who}"
        relay = self.quic if transport == "quic" else self.grpc
        return {"name": name, "relay": relay, "trust": self.trust if transport == "quic" else None, **more}

    def account(self) -> str:
        """Makes an account, and returns its API key."""
        body = json.dumps({"email": f"{uuid.uuid4().hex}@example.org"}).encode()
        request = urllib.request.Request(f"{self.api}/v1/accounts", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return str(json.load(answer)["api_key"])

    def keyed(self, who: str, transport: str = "quic", **more: Any) -> dict[str, Any]:
        """Returns the arguments of an agent of an account of its own."""
        return self.agent(who, transport, api=self.api, api_key=self.account(), **more)


def place(server: harness.Server) -> Place:
    trust = server.data / "quic_cert.pem"
    return Place(f"grpc://{server.grpc}", f"quic://{server.quic}", f"http://{server.http}", trust)


@pytest.fixture(scope="session")
def server(programs: pathlib.Path) -> Iterator[Place]:
    """A server that also lets agents in that show nothing."""
    with harness.Server(programs / "skytale-server", "--allow-anonymous") as running:
        yield place(running)


@pytest.fixture(scope="session")
def closed_server(programs: pathlib.Path) -> Iterator[Place]:
    """A server that lets only agents with a token in."""
    with harness.Server(programs / "skytale-server") as running:
        yield place(running)


@pytest.fixture(params=["quic", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def channel_name() -> str:
    return f"acme/{uuid.uuid4().hex[:8]}/room"


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine with a limit."""
    return asyncio.run(asyncio.wait_for(main, SECONDS))
