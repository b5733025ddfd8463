#!/usr/bin/env python3
"""Two real SLIM agents talk through a Skytale relay, end-to-end encrypted, before your eyes.

Builds and starts the server on embedded storage, installs the agents' library from PyPI into a virtual environment of
its own, lets the agents talk, and then shows what the relay saw.
"""
import json
import os
import pathlib
import re
import select
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "server/tests/interop"))
import harness  # noqa: E402

# Short enough that a sentence split over two pages of the archive is found all the same.
FRAGMENT_BYTES = 16


def main() -> None:
    harness.end_cleanly()
    binary = harness.build_server()
    python = harness.venv("slim-bindings", "3.3.8")
    with harness.Server(binary) as server:
        print(f"==> the relay listens on {server.grpc}, its archive is {server.data / 'skytale.db'}")
        print("==> Alice and Bob, each a process with keys of its own, talk with MLS\n", flush=True)
        said = converse(python, server)
        show_archive(server)
        look_for_plaintext(server, said)


def converse(python: pathlib.Path, server: harness.Server) -> list:
    """Runs both agents and shows what they print; returns what was said."""
    token_file = server.scratch / "token"
    token_file.write_text(server.token())
    reader, writer = os.pipe()

    def start(who: str) -> subprocess.Popen:
        return subprocess.Popen([python, HERE / "agent.py", who, f"http://{server.grpc}", token_file], stdout=writer)

    with open(reader) as lines, start("bob") as bob:
        while not select.select([lines], [], [], 0.1)[0]:
            if bob.poll() is not None:
                sys.exit("Bob could not connect; see above")
        with start("alice") as alice:
            os.close(writer)
            transcript = show(lines)
    said, read = (re.findall(rf" {verb}: +(.*)", transcript) for verb in ("says", "reads"))
    if alice.returncode or bob.returncode or not said or said != read:
        sys.exit("the agents could not talk; see above")
    return said


def show(lines) -> str:
    transcript = []
    for line in lines:
        print(line, end="", flush=True)
        transcript.append(line)
    return "".join(transcript)


def show_archive(server: harness.Server) -> None:
    records = [json.loads(line) for line in server.run("archive", "--json").splitlines()]
    if not records:
        sys.exit("nothing was archived")
    print("\n==> what the relay saw: ciphertext, numbered per channel\n")
    print(f"{'CHANNEL':<24}{'SEQUENCE':>9}  {'KIND':<6}{'BYTES':>7}")
    for record in records:
        print(f"{record['channel']:<24}{record['sequence']:>9}  {record['kind']:<6}{record['bytes']:>7}")


def look_for_plaintext(server: harness.Server, said: list) -> None:
    kept = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    if b"agents" not in kept:
        sys.exit("not even the channels' names, which the relay knows, are in its files: these are not the archive")
    found = [sentence for sentence in said if any(fragment in kept for fragment in fragments(sentence.encode()))]
    if found:
        sys.exit(f"plaintext in the archive: {found}")
    print(f"\n==> of the {len(said)} sentences, not a piece is found in the archive's {len(kept):,} bytes on disk")


def fragments(sentence: bytes) -> list:
    return [sentence[start:start + FRAGMENT_BYTES] for start in range(len(sentence) - FRAGMENT_BYTES + 1)]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
