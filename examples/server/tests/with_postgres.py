#!/usr/bin/env python3
"""Runs a command with SKYTALE_TEST_POSTGRES set: to what is given, to the server on this machine, or to a throwaway one.

usage: with_postgres.py COMMAND [ARGUMENT ...]
"""
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

USUAL_PORT = 5432
INSTALL = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "postgresql"]


def main(command: list) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with postgres() as url, subprocess.Popen(command, env=os.environ | url) as running:
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        return running.wait()


@contextlib.contextmanager
def postgres():
    """Yields the variable that says where PostgreSQL is."""
    if os.environ.get("SKYTALE_TEST_POSTGRES"):
        yield {}
    elif lets_anyone_in(USUAL_PORT):
        yield address(USUAL_PORT)
    elif binaries := find_binaries() or install():
        with throwaway(binaries) as port:
            yield address(port)
    else:
        reason = "no initdb and pg_ctl found; install PostgreSQL, or set SKYTALE_TEST_POSTGRES"
        print(f"SKIPPED postgres: {reason}", file=sys.stderr, flush=True)
        if os.environ.get("CI") == "true":
            sys.exit("continuous integration skips nothing")
        yield {}


def address(port: int) -> dict:
    return {"SKYTALE_TEST_POSTGRES": f"postgres://postgres@127.0.0.1:{port}/postgres"}


def lets_anyone_in(port: int) -> bool:
    """Says whether PostgreSQL listens there and admits the user postgres without a password."""
    parameters = struct.pack("!I", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(struct.pack("!I", 4 + len(parameters)) + parameters)
            return connection.recv(9, socket.MSG_WAITALL) == b"R" + struct.pack("!II", 8, 0)
    except OSError:
        return False


def find_binaries() -> pathlib.Path | None:
    beside_initdb = pathlib.Path(shutil.which("initdb") or "/").resolve().parent
    newest_first = sorted(map(pathlib.Path, glob.glob("/usr/lib/postgresql/*/bin")), reverse=True)
    complete = (path for path in [beside_initdb, *newest_first] if (path / "initdb").exists() and (path / "pg_ctl").exists())
    return next(complete, None)


def install() -> pathlib.Path | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    print("==> installing PostgreSQL for the tests", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=sys.stderr)
    subprocess.run(INSTALL, env=environment, stdout=sys.stderr)
    return find_binaries()


@contextlib.contextmanager
def throwaway(binaries: pathlib.Path):
    """Runs a server of our own on a free port for as long as the `with` lasts."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="skytale-postgres-"))
    owner = {} if os.geteuid() else unprivileged()
    port = free_port()
    control = [binaries / "pg_ctl", "-D", directory / "data", "-w"]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -F"

    def run(*command) -> None:
        done = subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL, **owner)
        if done.returncode != 0:
            sys.exit(f"{command[0]} failed, see above: PostgreSQL for the tests could not be run")

    try:
        if owner:
            os.chown(directory, owner["user"], owner["group"])
        run(binaries / "initdb", "-D", directory / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        run(*control, "-o", options, "-l", directory / "log", "start")
        print(f"==> started PostgreSQL for the tests on port {port}", flush=True)
        try:
            yield port
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def unprivileged() -> dict:
    """Returns whom PostgreSQL, which refuses to run as root, runs as."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
