#!/usr/bin/env python3
"""Installs what the tests need beside Rust, git, Python and make; says what is left out, which is a failure under CI=true.

usage: tools.py
"""
import os
import pathlib
import shutil
import subprocess
import sys

import with_nats
import with_postgres

sys.path.insert(0, str(pathlib.Path(__file__).parent / "interop"))

import api  # noqa: E402

NEXTEST = "0.9.143"


def main() -> int:
    left_out = [name for name, present in [
        (f"cargo-nextest {NEXTEST}: the Rust tests run with cargo test, and `make relays` takes longer", nextest()),
        ("PostgreSQL: its tests are skipped", with_postgres.find_binaries() or with_postgres.install()),
        (f"nats-server {with_nats.VERSION}: tests of NATS are skipped", with_nats.newest()),
        ("chromium: the page of the API is not read", api.find_browser()),
        ("valgrind: `make counts` cannot run", valgrind()),
    ] if not present]
    for name in left_out:
        print(f"LEFT OUT {name}", file=sys.stderr)
    return int(bool(left_out) and os.environ.get("CI") == "true")


def nextest() -> bool:
    """Returns whether some version is there; the pinned one is installed where none is."""
    if not shutil.which("cargo-nextest"):
        print(f"==> installing cargo-nextest {NEXTEST} (some minutes)", flush=True)
        subprocess.run(["cargo", "install", "--quiet", "--locked", f"cargo-nextest@{NEXTEST}"])
    return bool(shutil.which("cargo-nextest"))


def valgrind() -> bool:
    if not shutil.which("valgrind") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", "valgrind"], stdout=sys.stderr)
    return bool(shutil.which("valgrind"))


if __name__ == "__main__":
    sys.exit(main())
