#!/usr/bin/env python3
"""Builds the server and the command-line tool for release, and parts their debug information from them.

A debugger, and the backtrace of a panic, find NAME.debug beside NAME by themselves.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("skytale-server", "skytale-cli")


def main() -> None:
    for tool in ("cargo", "objcopy"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: install Rust from https://rustup.rs, and binutils")
    binaries = build()
    for binary in binaries:
        part(binary, binary.parent / "stripped" / binary.name)


def build() -> list:
    packages = [argument for package in PACKAGES for argument in ("-p", package)]
    command = ["cargo", "build", "--release", *packages, "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the build failed; see above")
    artifacts = [json.loads(line) for line in built.stdout.splitlines()]
    return [pathlib.Path(artifact["executable"]) for artifact in artifacts if artifact.get("executable")]


def part(binary: pathlib.Path, stripped: pathlib.Path) -> None:
    """Writes the binary without its debug information, and that beside it."""
    stripped.parent.mkdir(exist_ok=True)
    debug = stripped.with_name(f"{stripped.name}.debug")
    subprocess.run(["objcopy", "--only-keep-debug", binary, debug], check=True)
    # In its folder, since the link to the file is the file's name.
    command = ["objcopy", "--strip-all", f"--add-gnu-debuglink={debug.name}", binary, stripped.name]
    subprocess.run(command, check=True, cwd=stripped.parent)
    sizes = [f"{os.path.getsize(path) / 1e6:.1f} MB" for path in (stripped, debug)]
    print(f"{stripped}: {sizes[0]}, its debug information {sizes[1]}")


if __name__ == "__main__":
    main()
