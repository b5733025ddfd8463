"""The machine that everything runs on, and what else runs there."""
import os
import pathlib
import sys
import time

# The share of the processors from which on others disturb.
DISTURBING = 0.1


def warn() -> bool:
    """Looks at the machine for a second, while nothing of ours runs; warns where it is busy, and tells whether."""
    before = processor_times()
    time.sleep(1)
    idle, total = (after - earlier for after, earlier in zip(processor_times(), before))
    busy = 1 - idle / max(total, 1)
    if busy < DISTURBING:
        return False
    average = os.getloadavg()[0]
    print(f"WARNING: something else uses {busy:.0%} of the machine, load average {average:.1f}", file=sys.stderr, flush=True)
    return True


def processor_times() -> tuple:
    """Returns how long all processors were idle, and all of their time, in ticks."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
