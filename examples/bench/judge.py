#!/usr/bin/env python3
"""Judges a change: measures this tree beside an earlier commit, in turn, and says for each load whether it is slower.

The base's server and agents are built from its own sources; the load generator is this tree's. A ratio is this tree's
figure by the base's, of runs that follow each other in the order base, this, this, base; what counts is the median of the
ratios, with its 95 % interval. How far two runs of the base differ from each other shows what the machine is worth.
"""
import argparse
import dataclasses
import importlib.util
import pathlib
import statistics
import sys
import tempfile

import compare
import machine
import programs
import stand
from base import Base
from stand import FLAWS, harness
from tables import CPU, MEMORY, P99, RATE, UNITS, interval, shown

RELAY, AGENTS = "relay_us_per_delivery", "agents_us_per_delivery"
NAMES = UNITS | {RELAY: "processor µs per delivery, relay", AGENTS: "processor µs per delivery, agents"}
STORES, TRANSPORTS = {"memory": "memory store", "sqlite": "SQLite"}, {"grpc": "gRPC", "quic": "QUIC"}
TALKS = {
    "agents": ("agents, 256 B, 2 members", ["talk"], ["grpc", "quic"]),
    "agents-4k": ("agents, 4 KiB, 2 members", ["talk", "--bytes", "4096"], ["grpc", "quic"]),
    "agents-50": ("agents, 256 B, 50 members", ["talk", "--members", "50", "--window", "16"], ["quic"]),
    "catch-up": ("an agent catches up, 200 B", ["catch-up"], ["quic"]),
}
# How many messages an agent misses for each second of a run.
MISSED = 3000
LIMIT, WIDE, FEWEST = 1.03, 0.06, 6
TOO_WIDE = "too wide: decide by counts"


@dataclasses.dataclass
class Load:
    title: str
    transport: str
    store: str
    flags: list
    of_agents: bool
    judged: list


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
        warnings, verdicts, flaws = [], [], []
        print(HEADER, flush=True)
        for load in arguments.loads:
            warnings.append(machine.warn())
            runs = measure(sides, bench, load, arguments.pairs)
            for judged in load.judged:
                verdicts.append(judge(load, judged, runs))
                print(verdicts[-1].row, flush=True)
            flaws += found_flaws(load, runs)
        print("\n" + "\n".join(f"{verdict.title}: {verdict.text}" for verdict in verdicts))
        print("\n".join(flaws) or "No message was lost, duplicated, out of order or wrongly tagged.")
        if any(warnings):
            print(f"Measure again: before {sum(map(bool, warnings))} of {len(warnings)} loads {next(filter(None, warnings))}.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    loads = [*compare.LOADS, *TALKS]
    parser.add_argument("base", metavar="BASE", help="the commit to compare with")
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"what to measure, of {', '.join(loads)}; by default all")
    parser.add_argument("--pairs", type=int, default=6, help="how many pairs of runs, six at least for a verdict")
    parser.add_argument("--seconds", type=float, default=5, help="how long each run")
    parser.add_argument("--transport", choices=TRANSPORTS, help="measure this one alone")
    parser.add_argument("--store", choices=STORES, help="measure the relay with this one alone; agents have SQLite")
    parser.add_argument("--profile", default="release", help="cargo's profile; figures of any other mean little")
    arguments = parser.parse_intermixed_args()
    if not arguments.base:
        parser.error("BASE is missing: make compare BASE=<commit>")
    unknown = [load for load in arguments.loads if load not in loads]
    if unknown:
        parser.error(f"no such load: {', '.join(unknown)}")
    chosen = [load for name in arguments.loads or loads for load in loads_of(name, arguments.seconds)]
    arguments.loads = [load for load in chosen if is_chosen(load, arguments)]
    return arguments


def loads_of(name: str, seconds: float) -> list:
    """Returns a load over each transport and store."""
    timed = ["--seconds", str(seconds)]
    if name in TALKS:
        title, flags, transports = TALKS[name]
        flags = [*flags, *(["--messages", str(int(seconds * MISSED))] if name == "catch-up" else timed)]
        return [Load(f"{title}; {TRANSPORTS[transport]}", transport, "sqlite", flags, True, [AGENTS, RELAY])
                for transport in transports]
    title, flags, _, _ = compare.LOADS[name]
    is_idle = flags[0] == "idle"
    flags, judged = [*flags, *([] if is_idle else timed)], [MEMORY if is_idle else CPU]
    return [Load(f"{title}; {TRANSPORTS[transport]}, {STORES[store]}", transport, store, flags, False, judged)
            for transport in TRANSPORTS for store in STORES]


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


HEADER = """| load | measure | base | this | ratio | its 95 % interval | base by itself | rate | base by itself | p99 | base by itself | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|"""


@dataclasses.dataclass
class Verdict:
    title: str
    row: str
    text: str


def judge(load: Load, judged: str, runs: dict) -> Verdict:
    """Says what the runs of a load say of one measure, for which less is better."""
    base, this = ([run[judged] for run in runs[side]] for side in ("base", "this"))
    ratios = [own / other for own, other in zip(this, base)]
    text = verdict(ratios, "larger" if judged == MEMORY else "slower")
    low, high = interval(ratios)
    cells = [load.title, NAMES[judged], shown(statistics.median(base)), shown(statistics.median(this)),
             f"{statistics.median(ratios):.3f}", f"{low:.3f} to {high:.3f}", by_itself(base),
             *beside(runs, RATE), *beside(runs, P99), text]
    return Verdict(f"{load.title}, {NAMES[judged]}", "| " + " | ".join(cells) + " |", text)


def verdict(ratios: list, worse: str) -> str:
    """Decides by the interval where that is on one side of the limit, and by the median where it is narrow."""
    low, high = interval(ratios)
    if len(ratios) < FEWEST or low <= LIMIT < high and high - low > WIDE:
        return TOO_WIDE
    return f"no {worse}" if statistics.median(ratios) <= LIMIT else worse


def beside(runs: dict, measure: str) -> list:
    """Returns the ratio of a measure that is not judged, and how far the base's runs differ from each other."""
    base, this = ([run[measure] for run in runs[side] if measure in run] for side in ("base", "this"))
    if not base or not all(base):
        return ["", ""]
    return [f"{statistics.median(own / other for own, other in zip(this, base)):.2f}", by_itself(base)]


def by_itself(found: list) -> str:
    """Returns the range of the ratios of runs that follow each other."""
    ratios = [later / earlier for earlier, later in zip(found, found[1:])]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""


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
