"""Builds the programs that are measured and those that measure."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER, LOAD, AGENTS, COUNTS = "skytale-server", "skytale-bench", "agents", "counts"


def build(names: list, profile: str = "release", root: pathlib.Path = ROOT, target: pathlib.Path | None = None) -> dict:
    """Builds programs of a source tree; returns their binaries by name."""
    if not shutil.which("cargo"):
        sys.exit("cargo is missing: install Rust from https://rustup.rs, then try again")
    print(f"==> building {', '.join(names)} (some minutes the first time)", file=sys.stderr, flush=True)
    chosen = [argument for name in names for argument in ("--bin", name)]
    # Always the same packages, whose features their libraries have: another choice would be built from the ground up again.
    command = ["cargo", "build", "--profile", profile, "-p", "skytale-server", "-p", "skytale-bench", *chosen,
               "--message-format", "json-render-diagnostics"]
    environment = dict(os.environ, **({"CARGO_TARGET_DIR": str(target)} if target else {}))
    built = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the build failed; see above")
    artifacts = [json.loads(line) for line in built.stdout.splitlines()]
    return {artifact["target"]["name"]: artifact["executable"] for artifact in artifacts if artifact.get("executable")}


def copied(binaries: dict, directory: pathlib.Path) -> dict:
    """Copies binaries, so that a later build changes nothing; returns where they are."""
    directory.mkdir(parents=True)
    return {name: shutil.copy2(binary, directory / name) for name, binary in binaries.items()}
