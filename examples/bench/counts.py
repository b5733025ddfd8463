#!/usr/bin/env python3
"""Counts the instructions of the parts that every message goes through, with valgrind's callgrind.

Counts repeat where times do not: they tell of three percent on a machine whose times differ by ten. Nothing counts but
the operations themselves: no start, and no system call. With a base, the same programs are built on that commit and
counted, too.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import programs
from base import Base
from stand import harness

# For each part its title, the part of the program that does its work, the one that does all but it, and how often an
# operation does it.
PARTS = {
    "codec": ("codec: a SLIM and a native message read and written", "codec", None, 1),
    "sequencer": ("sequencer: a message numbered, archived, acknowledged", "sequencer", None, 1),
    "outbox": ("outbox: a delivery", "outbox", "sequencer", 8),
    "send": ("send: a message encrypted, sent, acknowledged", "send", None, 1),
    "receive": ("receive: a message delivered and decrypted", "receive", "send", 1),
}
OPERATIONS = {"codec": 4096, "sequencer": 4096, "outbox": 4096, "send": 1024, "receive": 1024}
LIMIT = 1.03
SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def main() -> None:
    arguments = parse()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing, which counts the instructions: apt-get install valgrind, then try again")
    harness.end_cleanly()
    sides = {"this": programs.build([programs.COUNTS], arguments.profile)[programs.COUNTS]}
    if arguments.base:
        base = Base(arguments.base, harness.CACHE)
        sides["base"] = base.build([programs.COUNTS], arguments.profile)[programs.COUNTS]
    with tempfile.TemporaryDirectory() as scratch:
        sides = {side: shutil.copy2(binary, pathlib.Path(scratch) / side) for side, binary in sides.items()}
        print("| instructions | " + ("base | this | ratio | verdict |\n|---|---|---|---|---|" if arguments.base else "|\n|---|---|"))
        for part in arguments.parts:
            print(row(part, sides, pathlib.Path(scratch) / "callgrind"), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to count, of {', '.join(PARTS)}; by default all")
    parser.add_argument("--base", metavar="COMMIT", help="the commit to compare with")
    parser.add_argument("--profile", default="release", help="cargo's profile; counts of any other mean little")
    arguments = parser.parse_args()
    arguments.parts = arguments.parts or list(PARTS)
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    return arguments


def row(part: str, sides: dict, file: pathlib.Path) -> str:
    title, whole, rest, times = PARTS[part]
    counted = {}
    for side, binary in sides.items():
        without = each(binary, rest, file) if rest else 0
        counted[side] = (each(binary, whole, file) - without) / times
    cells = [f"{counted[side]:,.0f}" for side in ("base", "this") if side in counted]
    if "base" in counted:
        ratio = counted["this"] / counted["base"]
        cells += [f"{ratio:.3f}", "no slower" if ratio <= LIMIT else "slower"]
    return f"| {title} | " + " | ".join(cells) + " |"


_counted = {}


def each(binary: pathlib.Path, part: str, file: pathlib.Path) -> float:
    """Returns the instructions of one operation."""
    if (binary, part) not in _counted:
        operations = OPERATIONS[part]
        print(f"==> {binary.name}: {part}, {operations:,} operations", file=sys.stderr, flush=True)
        command = ["valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=counts::measured*",
                   f"--callgrind-out-file={file}", binary, part, str(operations)]
        subprocess.run(command, check=True)
        _counted[binary, part] = int(SUMMARY.search(file.read_text())[1]) / operations
    return _counted[binary, part]


if __name__ == "__main__":
    main()
