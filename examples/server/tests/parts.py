#!/usr/bin/env python3
"""Runs make's targets one after another, ends at the first that fails, and prints how long each took.

usage: parts.py TARGET [TARGET ...]
"""
import os
import signal
import subprocess
import sys
import time

# Once the Rust tests are built, no later part has a third-party crate to compile: see harness.build_server.
BUILDS_EVERYTHING = "rust-test"


def main(targets: list) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    times, code = [], 0
    for target in targets:
        started = time.monotonic()
        code = run(target)
        times.append((target, time.monotonic() - started))
        if code != 0:
            break
        if target == BUILDS_EVERYTHING:
            os.environ["SKYTALE_TEST_BUILT"] = "true"
    print(table(times, code), flush=True)
    return code


def run(target: str) -> int:
    with subprocess.Popen([os.environ.get("MAKE", "make"), "--no-print-directory", target]) as running:
        signal.signal(signal.SIGTERM, lambda *_: running.terminate())
        return running.wait()


def table(times: list, code: int) -> str:
    rows = [f"{target:<12}{seconds:>7.0f} s" for target, seconds in times]
    if code != 0:
        rows[-1] += "  failed"
    return "\n".join(["", "==> how long each part took", *rows, f"{'all':<12}{sum(s for _, s in times):>7.0f} s"])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
