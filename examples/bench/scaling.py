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

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/server/tests/interop"))
import compare  # noqa: E402
import engines  # noqa: E402
import harness  # noqa: E402

RATE, P50, P99, FLAWS = "deliveries_per_second", "p50", "p99", ("lost", "duplicates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="how long each time")
    parser.add_argument("--most", type=int, default=3, help="up to how many relays")
    arguments = parser.parse_args()
    harness.end_cleanly()
    bench, server = compare.build()
    print("| engine | relays | a channel at each relay: deliveries/s | at 500/s each: p50, p99, ms "
          "| one channel, subscribers everywhere: deliveries/s | processor µs per delivery, all relays |")
    print("|---|---|---|---|---|---|")
    for engine in ("postgres", "nats"):
        if reason := engines.have(engine):
            print(f"SKIPPED {engine}: {reason}", file=sys.stderr)
            continue
        for count in range(1, arguments.most + 1):
            with engines.relays(server, engine, count, "--allow-anonymous") as relays:
                print(row(bench, engine, relays, arguments.seconds), flush=True)


def row(bench: str, engine: str, relays: list, seconds: float) -> str:
    timed = ["--seconds", str(seconds)]
    before = processor_seconds(relays)
    each = at_each(bench, relays, ["window", "--window", "64", *timed])
    used = processor_seconds(relays) - before
    total = sum(run[RATE] for run in each) * (seconds + 1)
    paced = at_each(bench, relays, ["rate", "--rate", "500", *timed])
    everywhere = [relay.grpc for relay in relays]
    hot = wait(start(bench, relays[0].grpc, everywhere, ["window", "--window", "64", "--subscribers", "3", *timed]))
    flawed = [run for run in [*each, *paced, hot] if any(run[flaw] for flaw in FLAWS)]
    note = " (lost or twice!)" if flawed else ""
    median, tail = (max(run[key] for run in paced) for key in (P50, P99))
    return (f"| {engine}{note} | {len(relays)} | {sum(run[RATE] for run in each):,.0f} | {median:.2f}, {tail:.1f} "
            f"| {hot[RATE]:,.0f} | {used * 1e6 / max(total, 1):.1f} |")


def at_each(bench: str, relays: list, load: list) -> list:
    """Runs a load at every relay at once, its subscriber at the next one; returns what each measured."""
    running = []
    for place, relay in enumerate(relays):
        running.append(start(bench, relay.grpc, [relays[(place + 1) % len(relays)].grpc], load))
    return [wait(process) for process in running]


def start(bench: str, endpoint: str, subscribers: list, load: list) -> subprocess.Popen:
    at = [flag for subscriber in subscribers for flag in ("--subscribe-at", subscriber)]
    command = [bench, "--endpoint", endpoint, *at, "--json", *load]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait(process: subprocess.Popen) -> dict:
    output, _ = process.communicate()
    return json.loads(output)


def processor_seconds(relays: list) -> float:
    ticks = 0
    for relay in relays:
        fields = pathlib.Path(f"/proc/{relay.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
