#!/usr/bin/env python3
"""Measures relays that act as one, over one PostgreSQL and over three NATS servers, and prints the tables of
docs/scaling.md.

Every relay has one publisher, and its subscriber is at the next relay, so that every message goes through the engine.
Everything shares this machine's processors, the load generators too: the figures show what a message costs, not what
machines of their own would do.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import programs
from stand import harness
import engines

RATE, P50, P99, FLAWS = "deliveries_per_second", "p50", "p99", ("lost", "duplicates")
PROCESSES = {"postgres": "postgres", "nats": "nats-server"}
# The bytes of a frame whose payload has 256.
FRAME = "512"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long each time")
    parser.add_argument("--most", type=int, default=3, help="up to how many relays")
    arguments = parser.parse_args()
    harness.end_cleanly()
    built = programs.build([programs.LOAD, programs.SERVER])
    bench, server = built[programs.LOAD], built[programs.SERVER]
    print("| engine | relays | a channel at each relay: deliveries/s | at 500/s each: p50, p99, ms "
          "| one channel, subscribers everywhere: deliveries/s | 1,000 channels: deliveries/s | at 1,000/s: p50, p99, ms "
          "| processor µs per delivery, all relays | the engine |")
    print("|---|---|---|---|---|---|---|---|---|")
    for engine, process in PROCESSES.items():
        if reason := engines.have(engine):
            print(f"SKIPPED {engine}: {reason}", file=sys.stderr)
            continue
        for count in range(1, arguments.most + 1):
            with engines.relays(server, engine, count, "--allow-anonymous") as relays:
                print(row(bench, engine, process, relays, arguments.seconds), flush=True)
    if not engines.have("nats"):
        alone(bench, arguments.seconds)


def row(bench: str, engine: str, process: str, relays: list, seconds: float) -> str:
    timed = ["--seconds", str(seconds)]
    pids = [relay.process.pid for relay in relays]
    before, before_engine = processor_seconds(pids), processor_seconds(running(process))
    each = at_each(bench, relays, ["window", "--window", "64", *timed])
    used, used_engine = processor_seconds(pids) - before, processor_seconds(running(process)) - before_engine
    total = sum(run[RATE] for run in each) * (seconds + 1)
    paced = at_each(bench, relays, ["rate", "--rate", "500", *timed])
    everywhere, other = [relay.grpc for relay in relays], relays[1 % len(relays)].grpc
    hot = one(bench, relays, everywhere, ["window", "--window", "64", "--subscribers", "3", *timed])
    many = one(bench, relays, [other], ["window", "--window", "1024", "--channels", "1000", *timed])
    many_paced = one(bench, relays, [other], ["rate", "--rate", "1000", "--channels", "1000", *timed])
    flawed = [run for run in [*each, *paced, hot, many, many_paced] if any(run[flaw] for flaw in FLAWS)]
    note = " (lost or twice!)" if flawed else ""
    median, tail = (max(run[key] for run in paced) for key in (P50, P99))
    return (f"| {engine}{note} | {len(relays)} | {sum(run[RATE] for run in each):,.0f} | {median:.2f}, {tail:.1f} "
            f"| {hot[RATE]:,.0f} | {many[RATE]:,.0f} | {many_paced[P50]:.2f}, {many_paced[P99]:.1f} "
            f"| {used * 1e6 / max(total, 1):.1f} | {used_engine * 1e6 / max(total, 1):.1f} |")


def alone(bench: str, seconds: float) -> None:
    """Prints what NATS does without relays, with messages as long as the frames of the others."""
    loads = {"plain publish, one listener": [], "publish to a stream with 3 replicas, acknowledged": ["--kept", "3"]}
    print("\n| NATS alone | messages/s, 64 on their way | processor µs per message, the servers |")
    print("|---|---|---|")
    with engines.NatsServers(3) as servers:
        first, other, _ = (url.removeprefix("nats://") for url in servers.urls.split(","))
        for name, flags in loads.items():
            before = processor_seconds(running(PROCESSES["nats"]))
            load = ["nats", "--window", "64", "--bytes", FRAME, "--seconds", str(seconds), *flags]
            run = wait(start(bench, first, [other], load))
            used = processor_seconds(running(PROCESSES["nats"])) - before
            print(f"| {name} | {run[RATE]:,.0f} | {used * 1e6 / (run[RATE] * (seconds + 1)):.1f} |", flush=True)


def one(bench: str, relays: list, subscribers: list, load: list) -> dict:
    return wait(start(bench, relays[0].grpc, subscribers, load))


def at_each(bench: str, relays: list, load: list) -> list:
    """Runs a load at every relay at once, its subscriber at the next one; returns what each measured."""
    started = []
    for place, relay in enumerate(relays):
        started.append(start(bench, relay.grpc, [relays[(place + 1) % len(relays)].grpc], load))
    return [wait(process) for process in started]


def start(bench: str, endpoint: str, subscribers: list, load: list) -> subprocess.Popen:
    at = [flag for subscriber in subscribers for flag in ("--subscribe-at", subscriber)]
    command = [bench, "--endpoint", endpoint, *at, "--json", *load]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait(process: subprocess.Popen) -> dict:
    output, _ = process.communicate()
    return json.loads(output)


def running(name: str) -> list:
    """Returns the processes of a program."""
    return [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/comm") if read(path).startswith(name)]


def processor_seconds(pids: list) -> float:
    ticks = 0
    for pid in pids:
        fields = read(pathlib.Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def read(path: pathlib.Path) -> str:
    """Reads a file about a process, which may have ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


if __name__ == "__main__":
    main()
