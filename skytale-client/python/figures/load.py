"""One load for both packages, which have one interface: `skytale_sdk`, or `skytale.compat` in its place.

usage: load.py MODULE ENDPOINT
"""
import importlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid

BODY = b"x" * 248
# The published package drops what exceeds its queue of 64.
BURST, BURSTS = 32, 40
ONE_BY_ONE = 200
IDLE_CHANNELS = 8
PATIENCE = 30


class Pair:
    """Two agents on one channel; the second one's thread puts down when what came."""

    def __init__(self, sdk, endpoint: str, home: str) -> None:
        one, two = (sdk.SkytaleClient(endpoint, os.path.join(home, who), who.encode()) for who in ("one", "two"))
        name = f"figures/{uuid.uuid4().hex[:8]}/room"
        self.clients = (one, two)
        self.sender = one.create_channel(name)
        receiver = two.join_channel(name, self.sender.add_member(two.generate_key_package()))
        self.came: dict[int, float] = {}
        self.arrived = threading.Condition()
        threading.Thread(target=self.read, args=(receiver,), daemon=True).start()
        self.numbered = 0
        self.await_all()

    def read(self, receiver) -> None:
        for message in receiver.messages():
            with self.arrived:
                self.came[int.from_bytes(bytes(message)[:8], "big")] = time.perf_counter()
                self.arrived.notify()

    def send(self) -> float:
        self.numbered += 1
        began = time.perf_counter()
        self.sender.send(self.numbered.to_bytes(8, "big") + BODY)
        return began

    def await_all(self) -> None:
        """Waits until everything that was sent has come; at first until a message comes at all."""
        until = time.monotonic() + PATIENCE
        while self.numbered == 0 or len(self.came) < self.numbered:
            if self.numbered == 0:
                self.send()
            with self.arrived:
                self.arrived.wait_for(lambda: len(self.came) >= self.numbered, 1)
            if time.monotonic() > until:
                raise TimeoutError(f"{self.numbered - len(self.came)} of {self.numbered} messages were lost")


def rate(pair: Pair) -> float:
    began = time.perf_counter()
    for _ in range(BURSTS):
        for _ in range(BURST):
            pair.send()
        pair.await_all()
    return BURST * BURSTS / (time.perf_counter() - began)


def latencies(pair: Pair) -> list:
    found = []
    for _ in range(ONE_BY_ONE):
        began = pair.send()
        pair.await_all()
        found.append((pair.came[pair.numbered] - began) * 1000)
    return sorted(found)


def speed() -> float:
    """Returns how many rounds of pure Python a second has."""
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < 3:
        sum(range(1000))
        rounds += 1
    return rounds / (time.perf_counter() - began)


def idle_channels(sdk, endpoint: str, home: str) -> float:
    """Returns which part of its speed a thread keeps beside idle channels that others wait on."""
    alone = speed()
    client = sdk.SkytaleClient(endpoint, os.path.join(home, "idle"), b"idle")
    for _ in range(IDLE_CHANNELS):
        channel = client.create_channel(f"figures/{uuid.uuid4().hex[:8]}/idle")
        threading.Thread(target=lambda c=channel: list(c.messages()), daemon=True).start()
    time.sleep(0.5)
    return speed() / alone


def main(module: str, endpoint: str) -> None:
    sdk = importlib.import_module(module)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        pair = Pair(sdk, endpoint, home)
        rates = [rate(pair) for _ in range(3)]
        waits = latencies(pair)
        kept = idle_channels(sdk, endpoint, home)
    figures = {
        "messages_per_second": statistics.median(rates),
        "latency_ms_median": waits[len(waits) // 2],
        "latency_ms_99": waits[len(waits) * 99 // 100],
        "speed_beside_idle_channels": kept,
    }
    print(json.dumps(figures), flush=True)
    # The published package's reading threads do not end by themselves.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
