"""What a nemesis does to a cluster: kills, stops, cut connections and jumping clocks, as a seed decides."""
import concurrent.futures
import random
import signal
import struct
import time

# How long before the end the last fault has to be over.
QUIET_SECONDS = 12
# How long agents may take to get over a fault before there is another one anyway.
CALM_SECONDS = 20
CLOCK_SECONDS = 3_600


class Nemesis:
    """Does one or two things at a time to a cluster under load, and notes how long agents waited meanwhile."""

    def __init__(self, cluster, load, tell, seed: int):
        self.cluster, self.load, self.tell, self.chance = cluster, load, tell, random.Random(seed)
        self.faults = {"relay killed": kill_relay, "relay stopped": stop_relay}
        if cluster.nats:
            self.faults |= {"NATS server killed": kill_nats, "NATS server stopped": stop_nats}
        if cluster.can_cut:
            self.faults["connections cut"] = cut
        if cluster.clocks:
            self.faults["clock moved"] = move_clock
        self.waits = {}

    def go_on(self, seconds: float) -> None:
        end = time.monotonic() + seconds - QUIET_SECONDS
        while time.monotonic() < end and self.load.talks():
            names = self.chance.sample(sorted(self.faults), self.chance.choice([1, 1, 2]))
            if self.chance.random() < 0.5:
                self.await_calm()
            if time.monotonic() >= end:
                break
            calm, self.load.longest = self.is_calm(), 0
            self.do([self.faults[name] for name in names])
            time.sleep(self.chance.uniform(1, 5))
            if calm:
                self.await_calm()
            self.note(names, calm)

    def is_calm(self) -> bool:
        return self.load.latest.get("waiting_ms", 0) < 1_000

    def await_calm(self) -> None:
        until = time.monotonic() + CALM_SECONDS
        while time.monotonic() < until and self.load.talks() and not self.is_calm():
            time.sleep(0.2)

    def do(self, faults: list) -> None:
        chances = [random.Random(self.chance.random()) for _ in faults]
        with concurrent.futures.ThreadPoolExecutor() as threads:
            doing = [threads.submit(fault, self.cluster, chance, self.tell) for fault, chance in zip(faults, chances)]
        for fault in doing:
            fault.result()

    def note(self, names: list, calm: bool) -> None:
        longest, latest = self.load.longest / 1000, self.load.latest
        name = "before it was over" if not calm else names[0] if len(names) == 1 else "two at once"
        self.waits.setdefault(name, []).append(longest)
        self.tell(f"    {latest['acked']} acknowledged; the longest wait {longest:.1f} s, now {latest.get('waiting_ms', 0)} ms")

    def summary(self) -> str:
        """Says for each kind of fault how often it was done, and how long agents waited in the middle and at most; what
        was done while they still waited is counted apart."""
        lines = ["longest wait for an acknowledgement in each fault: times, median, at most"]
        for name, waits in sorted(self.waits.items()):
            waits.sort()
            lines.append(f"  {name:<20} {len(waits):>4} {waits[len(waits) // 2]:>6.1f} s {waits[-1]:>6.1f} s")
        return "\n".join(lines)


def kill_relay(cluster, chance: random.Random, tell) -> None:
    place, seconds = some(chance)
    tell(f"relay {place + 1} is killed, for {seconds:.1f} s")
    cluster.kill_relay(place)
    time.sleep(seconds)
    cluster.start_relay(place)


def stop_relay(cluster, chance: random.Random, tell) -> None:
    place, seconds = some(chance)
    tell(f"relay {place + 1} is stopped, for {seconds:.1f} s")
    process = cluster.relays[place].process
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def kill_nats(cluster, chance: random.Random, tell) -> None:
    place, seconds = some(chance)
    tell(f"NATS server {place + 1} is killed, for {seconds:.1f} s")
    cluster.nats.kill(place)
    time.sleep(seconds)
    cluster.nats.start(place)


def stop_nats(cluster, chance: random.Random, tell) -> None:
    place, seconds = some(chance)
    tell(f"NATS server {place + 1} is stopped, for {seconds:.1f} s")
    cluster.nats.signal(place, signal.SIGSTOP)
    time.sleep(seconds)
    cluster.nats.signal(place, signal.SIGCONT)


def cut(cluster, chance: random.Random, tell) -> None:
    """Cuts one host off from some of the others, or from all."""
    one = chance.choice(cluster.hosts_to_cut)
    others = [name for name in cluster.parties if name != one]
    lost = chance.choice([others, chance.sample(others, 1), chance.sample(others, len(others) // 2)])
    seconds = chance.uniform(0.5, 6)
    tell(f"{one} is cut off from {'all' if lost == others else ', '.join(lost)}, for {seconds:.1f} s")
    for other in lost:
        cluster.hosts.cut(one, other)
    time.sleep(seconds)
    for other in lost:
        cluster.hosts.mend(one, other)


def move_clock(cluster, chance: random.Random, tell) -> None:
    name, offset, seconds = chance.choice(sorted(cluster.clocks)), chance.randint(-CLOCK_SECONDS, CLOCK_SECONDS), some(chance)[1]
    tell(f"the clock of {name} jumps by {offset} s, and back after {seconds:.1f} s")
    set_clock(cluster.clocks[name], offset)
    time.sleep(seconds)
    set_clock(cluster.clocks[name], 0)


def set_clock(path, offset: int) -> None:
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.write(struct.pack("=q", offset))


def some(chance: random.Random) -> tuple:
    """Chooses one of three, and for how many seconds."""
    return chance.randrange(3), chance.uniform(0.5, 6)
