#!/usr/bin/env python3
"""Runs unmodified SLIM agents and the published SDK against the server, and counts what passed.

usage: run.py [WORD ...]    runs the cases whose line holds every word
"""
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import engines
import harness

HERE = pathlib.Path(__file__).parent
SLIM_VERSIONS = ("3.3.8", "2.2.0", "1.4.1", "1.0.0")
SDK_VERSION = "0.5.2"
# Heartbeats come every 10 s, and three that are missed end a membership.
IDLE_SECONDS = 40
LIMIT_SECONDS = 200
# The idle cases need no processor, the others keep two busy.
AT_ONCE = len(SLIM_VERSIONS) + 2


@dataclasses.dataclass
class Case:
    client: str
    what: str
    credentials: str
    transport: str
    command: list

    def __str__(self) -> str:
        return f"{self.client:<20}  {self.what:<32}  {self.credentials:<13}  {self.transport:<5}"


def main(words: list) -> int:
    harness.end_cleanly()
    # With what the other tests need: another choice of packages would be built with other features.
    binary = harness.build_server(*harness.BESIDE)
    pythons = {version: harness.venv("slim-bindings", version) for version in SLIM_VERSIONS}
    sdk = harness.venv("skytale-sdk", SDK_VERSION)
    faults = []
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate, key = harness.certificate(scratch)
        flags = {"open": ["--allow-anonymous"], "closed": [],
                 "TLS": ["--grpc-tls-cert", certificate, "--grpc-tls-key", key]}
        servers = {name: stack.enter_context(harness.Server(binary, *given)) for name, given in flags.items()}
        cases = [*slim_cases(servers, pythons, scratch, certificate), sdk_case(servers["open"], sdk)]
        for engine in ("postgres", "nats"):
            if reason := engines.have(engine):
                skip(f"relays over {engine}", reason)
                continue
            relays = stack.enter_context(engines.relays(binary, engine, 3, "--allow-anonymous"))
            servers |= {f"relay {number + 1} over {engine}": relay for number, relay in enumerate(relays)}
            cases += relay_cases(engine, relays, pythons)
        cases = [case for case in cases if all(word in str(case) for word in words)]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for running in concurrent.futures.as_completed([pool.submit(run, case) for case in cases]):
                case, fault, seconds = running.result()
                faults.append(report(str(case), fault, seconds))
    for name, server in servers.items():
        faults.append(report(f"skytale-server, {name}: ran without an error, ended when told to", ending(server)))
    if not cases:
        sys.exit(f"no case has all of these words: {' '.join(words)}")
    failed = len(list(filter(None, faults)))
    print(f"{len(faults) - failed} passed, {failed} failed")
    return int(failed > 0)


def slim_cases(servers: dict, pythons: dict, scratch: pathlib.Path, certificate: pathlib.Path):
    """Yields every case of every release; those that idle come first, so that the others run meanwhile."""
    everything = "pair, group, removal"
    for version in SLIM_VERSIONS:
        command = agents(pythons[version], servers["open"], "--idle", str(IDLE_SECONDS))
        yield Case(f"slim-bindings {version}", f"{everything}, {IDLE_SECONDS} s idle", "no token", "plain", command)
    token = {name: write(scratch / f"{name}.jwt", server.token()) for name, server in servers.items()}
    for version in SLIM_VERSIONS:
        for name, transport, trust in (("closed", "plain", ()), ("TLS", "TLS", ("--ca", certificate))):
            command = agents(pythons[version], servers[name], "--token-file", token[name], *trust)
            yield Case(f"slim-bindings {version}", everything, "token", transport, command)
    for version in SLIM_VERSIONS:
        for credentials, reason, given in refusals(servers["closed"], scratch):
            command = agents(pythons[version], servers["closed"], "--refusal", reason, *given)
            yield Case(f"slim-bindings {version}", "refused at once", credentials, "plain", command)


def relay_cases(engine: str, relays: list, pythons: dict):
    """Yields every release's case with each agent at another relay."""
    others = [flag for relay in relays[1:] for flag in ("--also", f"http://{relay.grpc}")]
    for version in SLIM_VERSIONS:
        command = agents(pythons[version], relays[0], *others)
        yield Case(f"slim-bindings {version}", f"each at a relay over {engine}", "no token", "plain", command)


def skip(what: str, reason: str) -> None:
    print(f"SKIPPED {what}: {reason}", file=sys.stderr, flush=True)
    if os.environ.get("CI") == "true":
        sys.exit("continuous integration skips nothing")


def agents(python: pathlib.Path, server: harness.Server, *flags) -> list:
    host = server.grpc.replace("127.0.0.1", "localhost")
    endpoint = f"https://{host}" if "--grpc-tls-cert" in server.flags else f"http://{server.grpc}"
    return [python, HERE / "slim_agents.py", endpoint, *flags]


def refusals(server: harness.Server, scratch: pathlib.Path) -> list:
    """Returns what is presented, what the error must say, and the flags that present it."""
    good, secret, now = server.token(), server.secret(), int(time.time())
    assert harness.signed_again(good, secret) == good, "the signature would be refused whatever the claims are"
    expired = harness.signed_again(good, secret, iat=now - 7200, exp=now - 3600)
    forged = harness.signed_again(good, "a secret of 32 bytes or more, of somebody else")
    return [
        ("no token", "no credentials", ()),
        ("expired token", "the token has expired", ("--token-file", write(scratch / "expired.jwt", expired))),
        ("forged token", "the token is not valid", ("--token-file", write(scratch / "forged.jwt", forged))),
    ]


def write(path: pathlib.Path, token: str) -> pathlib.Path:
    # SLIM sends no credentials at all if the file ends with a newline.
    path.write_text(token)
    return path


def sdk_case(server: harness.Server, python: pathlib.Path) -> Case:
    command = [python, HERE / "published_sdk.py", f"http://{server.grpc}"]
    return Case(f"skytale-sdk {SDK_VERSION}", "two members, then three", "no key", "plain", command)


def run(case: Case) -> tuple:
    start = time.monotonic()
    try:
        ended = subprocess.run(case.command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        fault = "" if ended.returncode == 0 else f"status {ended.returncode}\n{(ended.stdout + ended.stderr)[-3000:]}"
    except subprocess.TimeoutExpired:
        fault = f"it did not end in {LIMIT_SECONDS} s"
    return case, fault, time.monotonic() - start


def ending(server: harness.Server) -> str:
    suspicious = [line for line in server.said.splitlines() if "ERROR" in line or "panicked" in line]
    if server.process.returncode != 0:
        suspicious.append(f"status {server.process.returncode}")
    return "\n".join(suspicious)


def report(line: str, fault: str, seconds: float | None = None) -> str:
    took = "" if seconds is None else f"{seconds:6.1f} s"
    print(f"{'FAILED' if fault else 'ok':<6}  {line}{took}\n{fault}".rstrip(), flush=True)
    return fault


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
