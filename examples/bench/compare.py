#!/usr/bin/env python3
"""Measures this relay beside a SLIM node, with the same loads in turn, and prints the table of docs/performance.md.

Absolute figures depend on the machine, and drift: nodes are measured alternately, and a ratio is the median of the
rounds' ratios. Nothing else should run meanwhile.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/server/tests/interop"))
import harness  # noqa: E402

SLIM_BINDINGS = "3.3.8"
NODES = {"slim": "SLIM node", "nodelay": "SLIM node, TCP_NODELAY", "memory": "memory store", "sqlite": "SQLite"}
USUAL = ["slim", "memory", "sqlite"]
RATE, CPU, P50, P99 = "deliveries_per_second", "processor_us_per_delivery", "p50", "p99"
MEMORY = "kib_per_connection"
LOADS = {
    "1-1": ("256 B 1 to 1, closed window", ["window"], USUAL, [RATE, CPU]),
    "1-10": ("256 B 1 to 10, closed window", ["window", "--subscribers", "10"], USUAL, [RATE, CPU]),
    "1-100": ("256 B 1 to 100, closed window", ["window", "--subscribers", "100"], USUAL, [RATE, CPU]),
    "4k": ("4 KiB 1 to 1, closed window", ["window", "--bytes", "4096"], USUAL, [RATE, CPU]),
    "paced": ("256 B 1 to 1, 2,000/s", ["rate", "--rate", "2000"], [*USUAL, "nodelay"], [P50, P99, CPU]),
    "stuck": ("256 B 1 to 99 and one stuck, 500/s",
              ["rate", "--rate", "500", "--subscribers", "99", "--stuck", "1"], ["memory", "sqlite"], [P50, P99]),
    "idle": ("1,000 idle connections", ["idle", "--connections", "1000"], USUAL, [MEMORY]),
}
UNITS = {RATE: "deliveries/s", CPU: "processor µs per delivery", P50: "p50, ms", P99: "p99, ms",
         MEMORY: "KiB per connection"}
FLAWS = ("lost", "duplicates", "disorder", "untrue", "ended")


def main() -> None:
    arguments = parse()
    harness.end_cleanly()
    allow_many_files()
    with tempfile.TemporaryDirectory(prefix="skytale-bench-") as scratch:
        bench, server = build()
        stand = Stand(server, harness.venv("slim-bindings", SLIM_BINDINGS), pathlib.Path(scratch))
        results = {}
        for load in arguments.loads:
            results[load] = compare(stand, bench, load, arguments)
        print(table(results))
        print(flaws(results))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"what to measure, of {', '.join(LOADS)}; by default all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each node is measured")
    parser.add_argument("--seconds", type=float, default=5, help="how long each time")
    arguments = parser.parse_args()
    arguments.loads = arguments.loads or list(LOADS)
    unknown = [load for load in arguments.loads if load not in LOADS]
    if unknown:
        parser.error(f"no such load: {', '.join(unknown)}")
    return arguments


def allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def build() -> tuple:
    """Builds the load generator and the server; returns their binaries."""
    if not shutil.which("cargo"):
        sys.exit("cargo is missing: install Rust from https://rustup.rs, then try again")
    print("==> building (some minutes the first time)", file=sys.stderr, flush=True)
    command = ["cargo", "build", "--release", "-p", "skytale-bench", "-p", "skytale-server",
               "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the build failed; see above")
    artifacts = [json.loads(line) for line in built.stdout.splitlines()]
    binaries = {artifact["target"]["name"]: artifact["executable"]
                for artifact in artifacts if artifact.get("executable")}
    return binaries["skytale-bench"], binaries["skytale-server"]


class Stand:
    """Starts the nodes, each for one run."""

    def __init__(self, server: str, python: pathlib.Path, scratch: pathlib.Path):
        self.server, self.python = server, python
        # Not on a file system in memory, where a sync costs nothing.
        tempfile.tempdir = str(harness.CACHE)
        self.shim = harness.shim(pathlib.Path(__file__).with_name("nodelay.c"), scratch)

    def can_start(self, node: str) -> bool:
        return node != "nodelay" or self.shim is not None

    @contextlib.contextmanager
    def node(self, node: str):
        """Yields the address and the process id of a node."""
        if node in ("memory", "sqlite"):
            with harness.Server(self.server, "--allow-anonymous", "--store", node) as server:
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


def compare(stand: Stand, bench: str, load: str, arguments: argparse.Namespace) -> dict:
    """Returns each node's runs of a load."""
    title, flags, nodes, _ = LOADS[load]
    timed = [] if flags[0] == "idle" else ["--seconds", str(arguments.seconds)]
    runs = {node: [] for node in nodes if stand.can_start(node)}
    for number in range(arguments.rounds):
        for node, done in runs.items():
            with stand.node(node) as (address, pid):
                command = [bench, "--endpoint", address, "--pid", str(pid), "--json", *flags, *timed]
                output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            done.append(json.loads(output))
            print(f"==> {title}, round {number + 1}, {NODES[node]}: {output.strip()}", file=sys.stderr, flush=True)
    return runs


def table(results: dict) -> str:
    lines = ["| | SLIM node | memory store | ratio | SQLite, synced | ratio |", "|---|---|---|---|---|---|"]
    for load, runs in results.items():
        title, _, _, measures = LOADS[load]
        for measure in measures:
            slim, memory, sqlite = (values(runs, node, measure) for node in USUAL)
            cells = [span(slim), span(memory), ratio(memory, slim), span(sqlite), ratio(sqlite, slim)]
            lines.append(f"| {title}: {UNITS[measure]} | " + " | ".join(cells) + " |")
            forced = values(runs, "nodelay", measure)
            if forced:
                cells = [span(forced), "", ratio(memory, forced), "", ratio(sqlite, forced)]
                lines.append(f"| the same, node with TCP_NODELAY: {UNITS[measure]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def values(runs: dict, node: str, measure: str) -> list:
    return [run[measure] for run in runs.get(node, [])]


def span(found: list) -> str:
    if not found:
        return ""
    lowest, highest = shown(min(found)), shown(max(found))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def shown(value: float) -> str:
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def ratio(ours: list, theirs: list) -> str:
    if not ours or not theirs:
        return ""
    return f"{statistics.median(own / other for own, other in zip(ours, theirs)):.2g}"


def flaws(results: dict) -> str:
    """Names what went wrong in any run."""
    found = []
    for load, runs in results.items():
        for node, done in runs.items():
            for flaw in FLAWS:
                worst = max((run.get(flaw, 0) for run in done), default=0)
                if worst:
                    found.append(f"{LOADS[load][0]}, {NODES[node]}: {flaw} {worst}")
    return "\n".join(found) or "No message was lost, duplicated, out of order or wrongly tagged."


if __name__ == "__main__":
    main()
