#!/usr/bin/env python3
"""Three relays over three NATS servers: agents talk at all of them while relays and servers are killed and stopped.

Without flags it kills one of each and says what happened. With --nemesis it goes on until the end of the time, with
faults that a seed decides; then every relay and server has a host of its own (a network namespace, for which it has to be
root), so that connections can be cut, and relays and agents have clocks that jump. With --rolling it ends one relay after the other, gently, again and again. The status is 0
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
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "server/tests/interop"))
import engines  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
import hosts  # noqa: E402

RELAYS = 3
AGENTS, DATABASE = "the agents", "the database"


def main() -> int:
    arguments = parse()
    for engine in ("postgres", "nats"):
        if reason := engines.have(engine):
            sys.exit(reason)
    harness.end_cleanly()
    server = harness.build_server(*harness.BESIDE)
    with Cluster(server, arguments) as cluster:
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
    # One write, as faults of two threads tell of themselves.
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}\n", end="", flush=True)


class Cluster:
    """The engine, and the relays over it, which keep their addresses when they start again."""

    def __init__(self, binary: pathlib.Path, arguments: argparse.Namespace):
        self.binary, self.engine, self.wants_faults = binary, arguments.engine, arguments.nemesis
        self.engine_text = "3 NATS servers with JetStream" if self.engine == "nats" else "one PostgreSQL"
        self.relay_names = [f"relay {place + 1}" for place in range(RELAYS)]
        self.nats_names = [f"NATS server {place + 1}" for place in range(3 if self.engine == "nats" else 0)]
        # Whose connections can be cut, and from whom.
        self.hosts_to_cut = [*self.relay_names, *self.nats_names]
        self.parties = [AGENTS, DATABASE, *self.hosts_to_cut]
        self.can_cut = self.wants_faults and not skipped("cut connections", hosts.have())
        self.stack, self.nats, self.clocks, self.shim = contextlib.ExitStack(), None, {}, None

    def __enter__(self) -> "Cluster":
        with contextlib.ExitStack() as stack:
            self.data = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            made = hosts.Hosts(self.hosts_to_cut, [AGENTS, DATABASE]) if self.can_cut else hosts.OneHost()
            self.hosts = stack.enter_context(made)
            if self.wants_faults:
                self.make_clocks()
            shared = ["--relays", "several", "--store", self.database(stack), "--allow-anonymous", *self.tls()]
            if self.engine == "nats":
                self.nats = stack.enter_context(engines.NatsServers(3, self.nats_host))
                shared += ["--nats-url", self.nats.urls, "--nats-replicas", "3", "--accept-relaxed-sync"]
            self.relays = [self.relay(name, shared) for name in self.relay_names]
            for relay in self.relays:
                stack.push(relay.__exit__)
                relay.__enter__()
            self.stack = stack.pop_all()
        return self

    def database(self, stack: contextlib.ExitStack) -> str:
        """Makes a database; returns its URL as the hosts have to say it."""
        url = urllib.parse.urlsplit(stack.enter_context(engines.database()))
        if not self.can_cut:
            return url.geturl()
        near = self.hosts.address(DATABASE)
        forwarder = stack.enter_context(hosts.Forwarder(near, (url.hostname, url.port or 5432)))
        user, at, _ = url.netloc.rpartition("@")
        return url._replace(netloc=f"{user}{at}{near}:{forwarder.port}").geturl()

    def tls(self) -> list:
        """Makes the certificate of hosts that are not this machine."""
        if not self.can_cut:
            self.trusted = self.data / "quic_cert.pem"
            return []
        self.trusted, key = harness.certificate(self.data, *(self.hosts.address(name) for name in self.relay_names))
        return ["--grpc-tls-cert", self.trusted, "--grpc-tls-key", key, "--insecure-listen"]

    def make_clocks(self) -> None:
        """Gives the agents and every relay a clock that can be moved."""
        self.shim = harness.shim(HERE / "clock.c", self.data)
        if skipped("jumping clocks", "" if self.shim else "there is no C compiler, or this is not Linux"):
            return
        for place, name in enumerate([AGENTS, *self.relay_names]):
            self.clocks[name] = self.data / f"clock-{place}"
            faults.set_clock(self.clocks[name], 0)

    def environment(self, name: str) -> dict:
        return {"LD_PRELOAD": str(self.shim), "CLOCK_OFFSET": str(self.clocks[name])} if name in self.clocks else {}

    def nats_host(self, place: int) -> tuple:
        name = self.nats_names[place]
        return self.hosts.address(name), self.hosts.at(name)

    def relay(self, name: str, shared: list) -> harness.Server:
        address, ports = self.hosts.address(name), engines.free_ports(len(harness.LISTENERS))
        flags = [part for flag, port in zip(harness.LISTENERS, ports) for part in (flag, f"{address}:{port}")]
        return harness.Server(self.binary, *shared, *flags, data=self.data, before=self.hosts.at(name),
                              environment=self.environment(name))

    def addresses(self) -> list:
        """Returns where agents connect: by QUIC and by gRPC, as they are in the world."""
        schemes = ["quic", "grpcs" if self.can_cut else "grpc", "quic"]
        return [f"{scheme}://{relay.quic if scheme == 'quic' else relay.grpc}"
                for scheme, relay in zip(schemes, self.relays)]

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
                   "--seed", str(arguments.seed), "--trust", cluster.trusted]
        command += [part for address in cluster.addresses() for part in ("--relay", address)]
        environment = os.environ | cluster.environment(AGENTS)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
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
    tell(f"Seed {arguments.seed}: --seed repeats these faults.")
    doing = faults.Nemesis(cluster, load, tell, arguments.seed)
    doing.go_on(arguments.seconds)
    tell(doing.summary())


def skipped(what: str, reason: str) -> bool:
    """Says that something is left out, if there is a reason; continuous integration leaves nothing out."""
    if reason:
        print(f"SKIPPED {what}: {reason}", file=sys.stderr, flush=True)
    if reason and os.environ.get("CI") == "true":
        sys.exit("continuous integration skips nothing")
    return bool(reason)


def judge(verdict: dict, status: int, arguments: argparse.Namespace) -> int:
    if "faults" not in verdict:
        print(f"the agents ended with status {status} and without a verdict")
        return 1
    print(f"\n{verdict['acked']} messages acknowledged, {verdict['heard']} read by others; {verdict['commits']} changes "
          f"of keys ({verdict['failed_commits']} failed), epoch {verdict['epoch']}; the longest wait for an acknowledgement {verdict['longest_wait_ms']} ms; "
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
