#!/usr/bin/env python3
"""Judges a change: measures this tree beside an earlier commit, in turn, and says for each load whether it is slower.

The base's server and agents are built from its own sources; the load generator is this tree's. A ratio is this tree's
figure by the base's, of runs that follow each other in the order base, this, this, base; what counts is the median of the
ratios, with its 95 % interval. How far two runs of the base differ from each other shows what the machine is worth.
"""
import argparse
import importlib.util
import pathlib
import sys
import tempfile

import loads
import machine
import programs
import stand
from base import Base
from loads import STORES, TRANSPORTS, Load
from stand import FLAWS, harness
from verdict import HEADER, judge


class Side:
    """The base or this tree: its server and its agents, and how that server is started."""

    def __init__(self, name: str, binaries: dict, harness):
        self.name, self.harness = name, harness
        self.server, self.agents = binaries[programs.SERVER], binaries[programs.AGENTS]

    def run(self, bench: str, load: Load) -> dict:
        """Runs a load against a server of this side, which is started for it."""
        with stand.relay(self.server, load.store, self.harness) as server:
            certificate = server.data / "quic_cert.pem"
            if not load.of_agents:
                address = server.quic if load.transport == "quic" else server.grpc
                return stand.run(bench, "--endpoint", address, "--transport", load.transport, "--certificate",
                                 certificate, "--pid", server.process.pid, "--json", *load.flags)
            port = server.quic.rpartition(":")[2]
            address = f"quic://localhost:{port}" if load.transport == "quic" else f"grpc://{server.grpc}"
            with tempfile.TemporaryDirectory(prefix="agents-") as state:
                return stand.run(self.agents, "--relay", address, "--certificate", certificate, "--state", state,
                                 "--pid", server.process.pid, *load.flags)


def main() -> None:
    arguments = parse()
    stand.prepare()
    with tempfile.TemporaryDirectory(prefix="compare-") as scratch:
        bench, sides = build(arguments, pathlib.Path(scratch))
        verdicts, flaws = [], []
        print(HEADER, flush=True)
        for load in arguments.loads:
            doubt = " (measure again: the machine was busy)" if machine.warn() else ""
            runs = measure(sides, bench, load, arguments.pairs)
            for judged in load.judged:
                verdict = judge(load, judged, runs)
                print(verdict.row, flush=True)
                verdicts.append(f"{verdict.title}: {verdict.text}{doubt}")
            flaws += found_flaws(load, runs)
    print("\n" + "\n".join(verdicts))
    print("\n".join(flaws) or "No message was lost, duplicated, out of order or wrongly tagged.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="the commit to compare with")
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"what to measure, of {', '.join(loads.NAMES)}; by default all")
    parser.add_argument("--pairs", type=int, default=6, help="how many pairs of runs, six at least for a verdict")
    parser.add_argument("--seconds", type=float, default=5, help="how long each run")
    parser.add_argument("--transport", choices=TRANSPORTS, help="measure this one alone")
    parser.add_argument("--store", choices=STORES, help="measure the relay with this one alone; agents have SQLite")
    parser.add_argument("--profile", default="release", help="cargo's profile; figures of any other mean little")
    arguments = parser.parse_intermixed_args()
    if not arguments.base:
        parser.error("BASE is missing: make compare BASE=<commit>")
    unknown = [load for load in arguments.loads if load not in loads.NAMES]
    if unknown:
        parser.error(f"no such load: {', '.join(unknown)}")
    chosen = [load for name in arguments.loads or loads.NAMES for load in loads.variants(name, arguments.seconds)]
    arguments.loads = [load for load in chosen if is_chosen(load, arguments)]
    if not arguments.loads:
        parser.error("no such load is measured over that transport and store")
    return arguments


def is_chosen(load: Load, arguments: argparse.Namespace) -> bool:
    has_store = load.of_agents or load.store == (arguments.store or load.store)
    return has_store and load.transport == (arguments.transport or load.transport)


def build(arguments: argparse.Namespace, scratch: pathlib.Path) -> tuple:
    """Returns the load generator, and the two sides."""
    earlier = Base(arguments.base, harness.CACHE)
    names = [programs.SERVER, programs.AGENTS]
    binaries = programs.copied(earlier.build(names, arguments.profile), scratch / "base")
    built = programs.copied(programs.build([programs.LOAD, *names], arguments.profile), scratch / "this")
    sides = [Side("base", binaries, harness_of(earlier.source)), Side("this", built, harness)]
    return built[programs.LOAD], sides


def harness_of(source: pathlib.Path):
    """Loads the module by which a source tree starts its own server."""
    path = source / "examples/server/tests/interop/harness.py"
    spec = importlib.util.spec_from_file_location("harness_of_base", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(sides: list, bench: str, load: Load, pairs: int) -> dict:
    """Returns each side's runs, which were made in turn: base, this, this, base, and so on."""
    runs = {side.name: [] for side in sides}
    for number in range(pairs):
        for side in sides if number % 2 == 0 else reversed(sides):
            runs[side.name].append(side.run(bench, load))
            print(f"==> {load.title}, pair {number + 1}, {side.name}: {runs[side.name][-1]}", file=sys.stderr, flush=True)
    return runs


def found_flaws(load: Load, runs: dict) -> list:
    """Names what went wrong in any run."""
    found = []
    for side, done in runs.items():
        for flaw in FLAWS:
            worst = max(run.get(flaw, 0) for run in done)
            if worst:
                found.append(f"{load.title}, {side}: {flaw} {worst}")
    return found


if __name__ == "__main__":
    main()
