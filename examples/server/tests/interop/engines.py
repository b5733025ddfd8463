"""Engines that several relays share: a database of PostgreSQL, and NATS servers, each for as long as a `with` lasts."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

import harness

POSTGRES, NATS = "SKYTALE_TEST_POSTGRES", "SKYTALE_TEST_NATS_SERVER"
READY_SECONDS = 60


@contextlib.contextmanager
def relays(binary: pathlib.Path, engine: str, count: int, *flags: str):
    """Yields relays that act as one, over `postgres`, or over `nats` with PostgreSQL beside it."""
    with contextlib.ExitStack() as stack:
        shared = ["--relays", "several", "--store", stack.enter_context(database())]
        if engine == "nats":
            servers = stack.enter_context(NatsServers(3))
            shared += ["--nats-url", servers.urls, "--nats-replicas", "3", "--accept-relaxed-sync"]
        # The signing secret and the certificate are the same at all of them.
        data = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield [stack.enter_context(harness.Server(binary, *shared, *flags, data=data)) for _ in range(count)]


def have(engine: str) -> str:
    """Says why there is no such engine; nothing if there is."""
    if not os.environ.get(POSTGRES):
        return f"no PostgreSQL: set {POSTGRES}, or run this by `make`"
    if engine == "nats" and not os.environ.get(NATS):
        return f"no nats-server: set {NATS}, or run this by `make`"
    return ""


@contextlib.contextmanager
def database():
    """Yields the URL of a database of its own."""
    server, name = urllib.parse.urlsplit(os.environ[POSTGRES]), f"skytale_test_{uuid.uuid4().hex}"
    ask(server, f"CREATE DATABASE {name}")
    try:
        yield server._replace(path=f"/{name}").geturl()
    finally:
        ask(server, f"DROP DATABASE {name} WITH (FORCE)")


def ask(server: urllib.parse.SplitResult, statement: str) -> None:
    """Has a PostgreSQL that wants no password execute a statement."""
    user, kept = server.username or "postgres", server.path.lstrip("/") or "postgres"
    startup = struct.pack("!I", 3 << 16) + f"user\0{user}\0database\0{kept}\0\0".encode()
    query = statement.encode() + b"\0"
    with socket.create_connection((server.hostname, server.port or 5432), timeout=30) as connection:
        connection.sendall(struct.pack("!I", 4 + len(startup)) + startup)
        await_answer(connection)
        connection.sendall(b"Q" + struct.pack("!I", 4 + len(query)) + query)
        await_answer(connection)


def await_answer(connection: socket.socket) -> None:
    while True:
        kind, length = struct.unpack("!cI", connection.recv(5, socket.MSG_WAITALL))
        body = connection.recv(length - 4, socket.MSG_WAITALL)
        if kind == b"E":
            sys.exit(f"PostgreSQL refuses: {body.decode(errors='replace')}")
        if kind == b"Z":
            return


class NatsServers:
    """NATS servers that are one, with JetStream. `at` says for each where it listens, and what runs it."""

    def __init__(self, count: int, at=lambda place: ("127.0.0.1", [])):
        self.hosts = [at(place) for place in range(count)]

    def __enter__(self) -> "NatsServers":
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="skytale-nats-"))
        clients, routes = self.addresses(), self.addresses()
        self.urls = ",".join(f"nats://{client}" for client in clients)
        self.processes = [None] * len(self.hosts)
        others = ", ".join(f"nats://{route}" for route in routes)
        for place, (client, route) in enumerate(zip(clients, routes)):
            self.config(place).write_text(
                f"listen: {client}\nserver_name: nats-{place + 1}\nmax_payload: 8MB\n"
                f'jetstream {{ store_dir: "{self.scratch}/{place}" }}\n'
                f"cluster {{ name: skytale, listen: {route}, routes: [{others}] }}\n")
        try:
            for place in range(len(self.hosts)):
                self.start(place)
            for client in clients:
                await_listener(client)
        except BaseException:
            self.__exit__()
            raise
        return self

    def addresses(self) -> list:
        return [f"{address}:{port}" for (address, _), port in zip(self.hosts, free_ports(len(self.hosts)))]

    def config(self, place: int) -> pathlib.Path:
        return self.scratch / f"{place}.conf"

    def start(self, place: int) -> None:
        _, before = self.hosts[place]
        command = [*before, os.environ[NATS], "-c", self.config(place), "-l", self.scratch / f"{place}.log"]
        self.processes[place] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, place: int) -> None:
        self.signal(place, signal.SIGKILL)
        self.processes[place].wait()

    def signal(self, place: int, number: int) -> None:
        self.processes[place].send_signal(number)

    def __exit__(self, *_) -> None:
        for place, process in enumerate(self.processes):
            if process is not None:
                self.kill(place)
        shutil.rmtree(self.scratch, ignore_errors=True)


def await_listener(address: str) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"nothing listens on {address}")
            time.sleep(0.05)


def free_ports(count: int) -> list:
    """Returns ports that nobody uses, below those that the system gives to whoever does not care."""
    found: set = set()
    while len(found) < count:
        port = random.randrange(16_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)
