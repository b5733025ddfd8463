#!/usr/bin/env python3
"""Writes the features that the workspace wants of each third-party crate into Cargo.toml, with cargo-hakari.

cargo-hakari reads its settings from `.config` at the root alone, so they are there only while it runs.
"""
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SETTINGS = HERE.parents[1] / ".config/hakari.toml"


def main() -> int:
    if not shutil.which("cargo-hakari"):
        sys.exit("cargo-hakari is missing: cargo install --locked cargo-hakari")
    SETTINGS.parent.mkdir()
    try:
        shutil.copy(HERE / "hakari.toml", SETTINGS)
        return subprocess.run(["cargo", "hakari", "generate"], cwd=HERE).returncode
    finally:
        shutil.rmtree(SETTINGS.parent)


if __name__ == "__main__":
    sys.exit(main())
