"""The loads by which a change is judged: those of `make bench`, over each transport and store, and agents end to end."""
import dataclasses

import compare
from tables import CPU, MEMORY

RELAY, AGENTS = "relay_us_per_delivery", "agents_us_per_delivery"
STORES, TRANSPORTS = {"memory": "memory store", "sqlite": "SQLite"}, {"grpc": "gRPC", "quic": "QUIC"}
TALKS = {
    "agents": ("agents, 256 B, 2 members", ["talk"], ["grpc", "quic"]),
    "agents-4k": ("agents, 4 KiB, 2 members", ["talk", "--bytes", "4096"], ["grpc", "quic"]),
    "agents-50": ("agents, 256 B, 50 members", ["talk", "--members", "50", "--window", "16"], ["quic"]),
    "catch-up": ("an agent catches up, 200 B", ["catch-up"], ["quic"]),
}
# How many messages an agent misses for each second of a run.
MISSED = 3000
NAMES = [*compare.LOADS, *TALKS]


@dataclasses.dataclass
class Load:
    title: str
    transport: str
    store: str
    flags: list
    of_agents: bool
    # The measures that decide, of which less is better.
    judged: list


def variants(name: str, seconds: float) -> list:
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
