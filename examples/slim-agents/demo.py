#!/usr/bin/env python3
"""Two real SLIM agents talk through a Skytale relay, end-to-end encrypted, before your eyes.

Builds and starts the server on embedded storage, installs the agents' library from PyPI into a virtual environment of
its own, lets the agents talk, and then shows what the relay saw.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/server/tests/interop"))
import harness  # noqa: E402


def main() -> None:
    harness.build_server()
    python = harness.venv("slim-bindings", "3.3.8")
    with harness.Server() as server:
        print(f"==> the relay listens on {server.grpc}, its archive is {server.data / 'skytale.db'}")
        print("==> two SLIM agents, end-to-end encrypted with MLS\n", flush=True)
        talk = subprocess.run(
            [python, ROOT / "examples/slim-agents/agents.py", f"http://{server.grpc}", server.token()],
            stdout=subprocess.PIPE, text=True, timeout=120)
        sys.stdout.write(talk.stdout)
        if talk.returncode != 0:
            sys.exit("the agents could not talk; see above")
        spoken = re.findall(r"says: (.*)", talk.stdout)
        show_archive(server)
        look_for_plaintext(server, spoken)


def show_archive(server: harness.Server) -> None:
    records = [json.loads(line) for line in server.run("archive", "--json").splitlines()]
    print("\n==> what the relay saw: ciphertext, numbered per channel\n")
    print(f"{'CHANNEL':<24}{'SEQUENCE':>9}  {'KIND':<6}{'BYTES':>7}")
    for record in records:
        print(f"{record['channel']:<24}{record['sequence']:>9}  {record['kind']:<6}{record['bytes']:>7}")
    if not records:
        sys.exit("nothing was archived")


def look_for_plaintext(server: harness.Server, spoken: list) -> None:
    kept = b"".join(path.read_bytes() for path in server.data.glob("skytale.db*"))
    found = [sentence for sentence in spoken if sentence.encode() in kept]
    if found or not spoken:
        sys.exit(f"plaintext in the archive: {found}")
    print(f"\n==> none of the {len(spoken)} sentences is found in the archive's {len(kept):,} bytes on disk")


if __name__ == "__main__":
    main()
