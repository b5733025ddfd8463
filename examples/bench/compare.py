#!/usr/bin/env python3
"""Measures this relay beside a SLIM node, with the same loads in turn, and prints the table of docs/performance.md.

Absolute figures depend on the machine, and drift: nodes are measured alternately, and a ratio is the median of the
rounds' ratios. Nothing else should run meanwhile.
"""
import argparse
import pathlib
import sys
import tempfile

import programs
from stand import FLAWS, Stand, harness, prepare, run
from tables import CPU, MEMORY, P50, P99, RATE, UNITS, ratio, span, values

SLIM_BINDINGS = "3.3.8"
NODES = {"slim": "SLIM node", "nodelay": "SLIM node, TCP_NODELAY", "memory": "memory store", "sqlite": "SQLite"}
USUAL = ["slim", "memory", "sqlite"]
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


def main() -> None:
    arguments = parse()
    prepare()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        built = programs.build([programs.LOAD, programs.SERVER])
        bench = built[programs.LOAD]
        stand = Stand(built[programs.SERVER], harness.venv("slim-bindings", SLIM_BINDINGS), pathlib.Path(scratch))
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


def compare(stand: Stand, bench: str, load: str, arguments: argparse.Namespace) -> dict:
    """Returns each node's runs of a load."""
    title, flags, nodes, _ = LOADS[load]
    timed = [] if flags[0] == "idle" else ["--seconds", str(arguments.seconds)]
    runs = {node: [] for node in nodes if stand.can_start(node)}
    for number in range(arguments.rounds):
        for node, done in runs.items():
            with stand.node(node) as (address, pid):
                done.append(run(bench, "--endpoint", address, "--pid", pid, "--json", *flags, *timed))
            print(f"==> {title}, round {number + 1}, {NODES[node]}: {done[-1]}", file=sys.stderr, flush=True)
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
