#!/usr/bin/env python3
"""Starts and closes agents again and again, and shows what the process holds.

usage: cycles.py RELAY [COUNT] [TRUSTED_PEM]
"""
import gc
import os
import resource
import sys
import threading
import time
import uuid

from skytale.blocking import Client


def main(relay: str, count: int = 10_000, trust: str | None = None) -> None:
    namespace = uuid.uuid4().hex[:8]
    began = time.monotonic()
    print(f"{'cycles':>8} {'MiB resident':>14} {'descriptors':>12} {'threads':>8} {'objects':>9} {'seconds':>8}", flush=True)
    for number in range(count + 1):
        if number % max(count // 10, 1) == 0:
            gc.collect()
            held = (resident(), len(os.listdir("/proc/self/fd")), threads(), len(gc.get_objects()))
            print(f"{number:>8} {held[0]:>14.1f} {held[1]:>12} {held[2]:>8} {held[3]:>9} {time.monotonic() - began:>8.0f}", flush=True)
        with Client(f"cycles/{namespace}/agent", relay, trust=trust, key_packages=0) as client:
            client.create_channel(f"cycles/{namespace}/{number}").send("x")
    assert threading.active_count() < 5
    print(f"peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB")


def resident() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:3]), *sys.argv[3:4])
