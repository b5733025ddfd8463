#!/usr/bin/env python3
"""Builds the programs and the wheel, installs it in environments of its own, and runs the suite there.

usage: run.py [PYTEST ARGUMENT ...]
"""
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PACKAGE, ROOT = HERE.parent, HERE.parents[2]
sys.path.insert(0, str(ROOT / "examples/server/tests/interop"))

import harness  # noqa: E402

CREWAI = "test_crewai.py"


def main(arguments: list) -> int:
    harness.end_cleanly()
    programs = harness.build_server(*harness.BESIDE).parent
    tools = environment("requirements-build.txt", None)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(tools, pathlib.Path(scratch))
        uv = tools.with_name("uv")
        plain = fresh_environment(wheel, pathlib.Path(scratch) / "plain")
        python, crewai = (environment(name, uv) for name in ("requirements.txt", "requirements-crewai.txt"))
        install(uv, wheel, python, crewai)
        strict = ["-X", "dev", "-W", "error"]
        options = [f"--programs={programs}", f"--plain-python={plain}", *arguments]
        failed = pytest([python, *strict], HERE, options + [f"--ignore={HERE / CREWAI}"])
        if not arguments:
            failed |= pytest([crewai], HERE / CREWAI, options)
    return failed


def build_wheel(tools: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """Builds with the profile of the workspace's tests, whose dependencies it shares."""
    maturin = [tools.with_name("maturin"), "build", "--quiet", "--profile", "dev", "--out", to]
    run("building the wheel (a few minutes the first time)", maturin, cwd=PACKAGE)
    (wheel,) = to.glob("*.whl")
    return wheel


def environment(requirements: str, uv) -> pathlib.Path:
    """Returns the Python of an environment with these requirements, which is made if it is not there yet."""
    wanted = (HERE / requirements).read_text() + sys.version
    name = f"{pathlib.Path(requirements).stem}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    home = harness.CACHE / "venvs" / name
    python, complete = home / "bin/python", home / "complete"
    with harness.locked(home.with_suffix(".lock")):
        if not (python.exists() and complete.exists()):
            shutil.rmtree(home, ignore_errors=True)
            run("", [sys.executable, "-m", "venv", home])
            install = [uv, "pip", "install", "--quiet", "--python"] if uv else [python, "-m", "pip", "install", "--quiet"]
            run(f"installing {requirements} from PyPI", [*install, *([python] if uv else []), "-r", HERE / requirements])
            complete.touch()
    return python


def fresh_environment(wheel: pathlib.Path, home: pathlib.Path) -> pathlib.Path:
    """Makes an environment with the wheel alone, as a user does."""
    run("installing the wheel in a fresh environment", [sys.executable, "-m", "venv", home])
    run("", [home / "bin/python", "-m", "pip", "install", "--quiet", "--no-index", wheel])
    return home / "bin/python"


def install(uv: pathlib.Path, wheel: pathlib.Path, *pythons: pathlib.Path) -> None:
    for python in pythons:
        run("", [uv, "pip", "install", "--quiet", "--reinstall", "--no-deps", "--python", python, wheel])


def pytest(python: list, tests: pathlib.Path, options: list) -> int:
    """Runs tests; those that were skipped are printed with their reasons."""
    command = [*python, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-c", PACKAGE / "pyproject.toml"]
    return int(subprocess.run([*command, *options, tests], cwd=HERE).returncode != 0)


def run(what: str, command: list, **more) -> None:
    if what:
        print(f"==> {what}", flush=True)
    if subprocess.run(command, **more).returncode != 0:
        sys.exit(f"this failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
