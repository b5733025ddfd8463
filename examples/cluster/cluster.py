#!/usr/bin/env python3
"""Three relays over three NATS servers: agents talk at all of them while relays and servers are killed and stopped.

Without flags it kills one of each and says what happened. With --nemesis it goes on until the end of the time, with
faults that a seed decides. With --rolling it ends one relay after the other, gently, again and again. The status is 0
only if nothing that was acknowledged got lost, came twice or out of order, and all agents end in the same group.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "server/tests/interop"))
import engines  # noqa: E402
import harness  # noqa: E402

RELAYS = 3


def main() -> int:
    arguments = parse()
    for engine in ("postgres", "nats"):
        if reason := engines.have(engine):
            sys.exit(reason)
    harness.end_cleanly()
    server = harness.build_server("cluster")
    with Cluster(server, arguments.engine) as cluster:
        tell(f"{RELAYS} relays run over {cluster.engine_text}.")
        load = Load(server.with_name("cluster"), cluster, arguments)
        plan = nemesis if arguments.nemesis else rolling if arguments.rolling else story
        plan(cluster, load, arguments)
        verdict = load.end()
        cluster.everything_up()
    return judge(verdict, load.status, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["nats", "postgres"], default="nats", help="what the relays share")
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30, help="how long the agents talk")
    parser.add_argument("--nemesis", action="store_true", help="faults until the end, as the seed decides")
    parser.add_argument("--rolling", type=int, default=0, metavar="TIMES", help="restart every relay this often")
    parser.add_argument("--seed", type=int, default=None, help="what the faults begin with [default: any]")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.randrange(1_000_000)
    return arguments


def tell(text: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)


class Cluster:
    """The engine, and the relays over it, which keep their addresses when they start again."""

    def __init__(self, binary: pathlib.Path, engine: str):
        self.binary, self.engine = binary, engine
        self.engine_text = "3 NATS servers with JetStream" if engine == "nats" else "one PostgreSQL"
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> "Cluster":
        with contextlib.ExitStack() as stack:
            shared = ["--relays", "several", "--store", stack.enter_context(engines.database()), "--allow-anonymous"]
            self.nats = None
            if self.engine == "nats":
                self.nats = stack.enter_context(engines.NatsServers(3))
                shared += ["--nats-url", self.nats.urls, "--nats-replicas", "3", "--accept-relaxed-sync"]
            self.data = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.relays = [self.relay(shared) for _ in range(RELAYS)]
            for relay in self.relays:
                stack.push(relay.__exit__)
                relay.__enter__()
            self.stack = stack.pop_all()
        return self

    def relay(self, shared: list) -> harness.Server:
        ports = engines.free_ports(len(harness.LISTENERS))
        flags = [part for flag, port in zip(harness.LISTENERS, ports) for part in (flag, f"127.0.0.1:{port}")]
        return harness.Server(self.binary, *shared, *flags, data=self.data)

    def addresses(self) -> list:
        """Returns where agents connect: by QUIC and by gRPC, as they are in the world."""
        schemes = ["quic", "grpc", "quic"]
        return [f"{scheme}://{getattr(relay, scheme)}" for scheme, relay in zip(schemes, self.relays)]

    def kill_relay(self, place: int) -> None:
        self.relays[place].process.kill()
        self.relays[place].process.wait()

    def start_relay(self, place: int) -> None:
        self.relays[place].__enter__()

    def everything_up(self) -> None:
        """Starts what a fault has left behind, so that it can be ended in order."""
        for relay in self.relays:
            relay.process.send_signal(signal.SIGCONT)

    def __exit__(self, *gone) -> None:
        self.stack.__exit__(*gone)


class Load:
    """The agents, in a process of their own."""

    def __init__(self, binary: pathlib.Path, cluster: Cluster, arguments: argparse.Namespace):
        command = [binary, "--agents", str(arguments.agents), "--seconds", str(arguments.seconds),
                   "--seed", str(arguments.seed), "--trust", cluster.data / "quic_cert.pem"]
        command += [part for address in cluster.addresses() for part in ("--relay", address)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.latest, self.status, self.longest = {}, None, 0
        first = json.loads(self.process.stdout.readline() or "null")
        if first is None:
            sys.exit("the agents did not start")
        tell(f"{first['agents']} agents are at the relays, in one encrypted channel.")
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        for line in self.process.stdout:
            self.latest = json.loads(line)
            self.longest = max(self.longest, self.latest.get("waiting_ms", 0))

    def talks(self) -> bool:
        return self.process.poll() is None and "faults" not in self.latest

    def failover(self) -> str:
        """Waits until every agent's messages are acknowledged again, and says how long the longest one waited."""
        self.longest = 0
        time.sleep(2.5)
        while self.talks() and self.latest.get("waiting_ms", 0) > 500:
            time.sleep(0.2)
        return f"no agent waited longer than {self.longest / 1000:.1f} s for its acknowledgement"

    def end(self) -> dict:
        self.reader.join()
        self.status = self.process.wait()
        return self.latest


def story(cluster: Cluster, load: Load, arguments: argparse.Namespace) -> None:
    """Kills one of each, and starts them again."""
    time.sleep(3)
    tell(f"They talk: {load.latest['acked']} messages acknowledged, {load.latest['heard']} read by others.")
    cluster.kill_relay(0)
    tell("Relay 1 is killed (SIGKILL). Its agents go to another one.")
    tell(f"... {load.failover()}.")
    cluster.start_relay(0)
    tell("Relay 1 is back.")
    if cluster.nats:
        cluster.nats.kill(1)
        tell("NATS server 2 is killed.")
        tell(f"... {load.failover()}.")
        cluster.nats.start(1)
        tell("NATS server 2 is back.")


def rolling(cluster: Cluster, load: Load, arguments: argparse.Namespace) -> None:
    for number in range(arguments.rolling):
        for place, relay in enumerate(cluster.relays):
            relay.__exit__()
            cluster.start_relay(place)
            time.sleep(1)
            if not load.talks():
                sys.exit("the agents stopped talking before all relays were restarted: give them more --seconds")
        tell(f"All relays were restarted one after the other, {number + 1} times; {load.latest['acked']} acknowledged.")


def nemesis(cluster: Cluster, load: Load, arguments: argparse.Namespace) -> None:
    """Kills and pauses relays and servers, one or two at a time, as the seed decides."""
    chance = random.Random(arguments.seed)
    tell(f"Seed {arguments.seed}: --seed repeats these faults.")
    end = time.monotonic() + arguments.seconds - 12
    while time.monotonic() < end and load.talks():
        faults = [relay_fault, nats_fault] if cluster.nats else [relay_fault]
        fault = chance.choice([*faults, both]) if cluster.nats else relay_fault
        fault(cluster, chance)
        time.sleep(chance.uniform(1, 5))
        tell(f"    {load.latest['acked']} acknowledged, the longest wait now {load.latest.get('waiting_ms', 0)} ms")


def both(cluster: Cluster, chance: random.Random) -> None:
    threads = [threading.Thread(target=fault, args=(cluster, random.Random(chance.random())))
               for fault in (relay_fault, nats_fault)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def relay_fault(cluster: Cluster, chance: random.Random) -> None:
    place, seconds = chance.randrange(RELAYS), chance.uniform(0.5, 6)
    if chance.random() < 0.5:
        tell(f"relay {place + 1} is killed, for {seconds:.1f} s")
        cluster.kill_relay(place)
        time.sleep(seconds)
        cluster.start_relay(place)
    else:
        tell(f"relay {place + 1} is stopped, for {seconds:.1f} s")
        process = cluster.relays[place].process
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)


def nats_fault(cluster: Cluster, chance: random.Random) -> None:
    place, seconds = chance.randrange(3), chance.uniform(0.5, 6)
    if chance.random() < 0.5:
        tell(f"NATS server {place + 1} is killed, for {seconds:.1f} s")
        cluster.nats.kill(place)
        time.sleep(seconds)
        cluster.nats.start(place)
    else:
        tell(f"NATS server {place + 1} is stopped, for {seconds:.1f} s")
        cluster.nats.signal(place, signal.SIGSTOP)
        time.sleep(seconds)
        cluster.nats.signal(place, signal.SIGCONT)


def judge(verdict: dict, status: int, arguments: argparse.Namespace) -> int:
    if "faults" not in verdict:
        print(f"the agents ended with status {status} and without a verdict")
        return 1
    print(f"\n{verdict['acked']} messages acknowledged, {verdict['heard']} read by others; {verdict['commits']} changes "
          f"of keys, epoch {verdict['epoch']}; the longest wait for an acknowledgement {verdict['longest_wait_ms']} ms; "
          f"everybody had everything {verdict['settled_ms']} ms after the end.")
    print(f"Lost, twice, out of order or forked: {len(verdict['faults'])}. Sends that failed: {verdict['failed_sends']}.")
    for fault in verdict["faults"]:
        print(f"  {fault}")
    if status != 0:
        print(f"FAILED: repeat it with --seed {arguments.seed}")
    return int(status != 0)


BEGAN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
