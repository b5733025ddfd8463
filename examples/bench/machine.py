"""The machine that everything runs on, and what else runs there."""
import os
import pathlib
import sys
import time

# The share of the processors from which on others disturb.
DISTURBING = 0.1


def warn() -> str:
    """Looks at the machine for a second, while nothing of ours runs; warns, and returns the warning, where it is busy."""
    before = processor_times()
    time.sleep(1)
    idle, total = (after - earlier for after, earlier in zip(processor_times(), before))
    busy = 1 - idle / max(total, 1)
    if busy < DISTURBING:
        return ""
    warning = f"the machine is busy with something else: {busy:.0%} of it, load average {os.getloadavg()[0]:.1f}"
    print(f"WARNING: {warning}", file=sys.stderr, flush=True)
    return warning


def processor_times() -> tuple:
    """Returns how long all processors were idle, and all of their time, in ticks."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
