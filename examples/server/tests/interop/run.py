#!/usr/bin/env python3
"""Runs unmodified SLIM agents and the published SDK against the server, and counts what passed."""
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile
import time

import harness

HERE = pathlib.Path(__file__).parent
MODERN, CLASSIC = ("3.3.8", "2.2.0"), ("1.4.1", "1.0.0")
IDLE = "40"


def agents(version: str, endpoint: str, *flags: str):
    python = harness.venv("slim-bindings", version)
    return subprocess.run([python, HERE / "slim_agents.py", endpoint, *flags], capture_output=True, text=True, timeout=200)


def sdk(endpoint: str):
    python = harness.venv("skytale-sdk", "0.5.2")
    return subprocess.run([python, HERE / "published_sdk.py", endpoint], capture_output=True, text=True, timeout=200)


def succeeds(result) -> str:
    return "" if result.returncode == 0 else (result.stderr or result.stdout)[-2000:]


def refused(result) -> str:
    said = result.stderr + result.stdout
    if result.returncode == 0:
        return "it was let in"
    return "" if "token" in said or "credentials" in said or "uthenticat" in said else said[-2000:]


def cases(open_, closed, secure, certificate):
    """Yields what each case is called, what runs it, and what judges it."""
    plain, strict, tls = (f"http://{server.grpc}" for server in (open_, closed, secure))
    tls = tls.replace("http://127.0.0.1", "https://localhost")
    token, secure_token = closed.token(), secure.token()
    for version in MODERN + CLASSIC:
        name = f"slim-bindings {version}"
        yield f"{name}: pair, group, removal, no token, {IDLE} s idle", lambda v=version: agents(v, plain, "--idle", IDLE), succeeds
        yield f"{name}: pair, group, removal, token", lambda v=version: agents(v, strict, "--token", token), succeeds
        yield (f"{name}: pair, group, removal, token, TLS",
               lambda v=version: agents(v, tls, "--token", secure_token, "--ca", str(certificate)), succeeds)
        yield f"{name}: refused without a token", lambda v=version: agents(v, strict), refused
        yield f"{name}: refused with a wrong token", lambda v=version: agents(v, strict, "--token", token[:-8]), refused
    yield "skytale-sdk 0.5.2: two members, then three, 50 messages each", lambda: sdk(plain), succeeds


def run(case) -> tuple:
    name, act, judge = case
    start = time.monotonic()
    try:
        fault = judge(act())
    except subprocess.TimeoutExpired:
        fault = "it did not end in time"
    return name, fault, time.monotonic() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        certificate, key = harness.certificate(pathlib.Path(scratch))
        tls = ("--grpc-tls-cert", str(certificate), "--grpc-tls-key", str(key))
        with harness.Server("--allow-anonymous") as open_, harness.Server() as closed, harness.Server(*tls) as secure:
            for version in MODERN + CLASSIC:
                harness.venv("slim-bindings", version)
            harness.venv("skytale-sdk", "0.5.2")
            failed = 0
            todo = list(cases(open_, closed, secure, certificate))
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                for name, fault, took in pool.map(run, todo):
                    print(f"{'FAILED' if fault else 'ok    '} {name}  ({took:.1f} s)\n{fault}".rstrip(), flush=True)
                    failed += bool(fault)
        print(f"{len(todo) - failed} passed, {failed} failed")
        return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
