#!/usr/bin/env python3
"""Runs the relay's tests over the wire with two relays that act as one, over every engine that relays can share."""
import os
import pathlib
import shutil
import subprocess
import sys

NEXTEST = str(pathlib.Path(__file__).resolve().parents[2] / ".ci/nextest.toml")
TESTS = ["cluster", "delivery", "grpc_services", "message_table", "native"]
# What has to be set for an engine, beside itself.
ENGINES = {"memory": None, "postgres": "SKYTALE_TEST_POSTGRES", "nats": "SKYTALE_TEST_NATS_SERVER"}


def main() -> int:
    failed = []
    for engine, needs in ENGINES.items():
        if needs and not os.environ.get(needs):
            print(f"SKIPPED relays over {engine}: set {needs}, or run this by `make`", file=sys.stderr, flush=True)
            failed += [engine] if os.environ.get("CI") == "true" else []
            continue
        print(f"==> two relays over {engine}", flush=True)
        if subprocess.run(command(), env=os.environ | {"SKYTALE_TEST_RELAYS": engine}).returncode != 0:
            failed.append(engine)
    print(f"{len(ENGINES) - len(failed)} engines passed, {len(failed)} failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


def command() -> list:
    # The whole workspace, or what is built has other features.
    if shutil.which("cargo-nextest"):
        chosen = " + ".join(f"binary({test})" for test in TESTS)
        run = ["cargo", "nextest", "run", "--config-file", NEXTEST, "--profile", "ci", "--workspace", "--no-fail-fast"]
        return [*run, "-E", f"package(skytale-relay) & ({chosen})"]
    tests = [flag for test in TESTS for flag in ("--test", test)]
    return ["cargo", "test", "--workspace", "--no-fail-fast", *tests]


if __name__ == "__main__":
    sys.exit(main())
