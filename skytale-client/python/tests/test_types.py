"""The package's types are complete, and say what it does: `mypy --strict`, `pyright`, and the native half itself."""

import inspect
import json
import os
import pathlib
import subprocess
import sys

import pytest
import skytale
from skytale import _native

pytestmark = pytest.mark.timeout(600)

HERE = pathlib.Path(__file__).parent
PACKAGE = pathlib.Path(skytale.__file__).parent


def run(*command: str) -> subprocess.CompletedProcess:
    # Pyright asks the first Python on the path where packages are.
    env = os.environ | {"PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=HERE, env=env)


def modules() -> list[str]:
    """Returns the package's modules; CrewAI's environment is another one."""
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")]
    return sorted(name.removesuffix(".__init__") for name in names if "crewai" not in name)


def test_mypy_is_satisfied() -> None:
    wanted = [part for name in modules() for part in ("-m", name)]
    for what in (wanted, ["typed_program.py"]):
        ended = run("mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null", *what)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_pyright_is_satisfied(tmp_path: pathlib.Path) -> None:
    settings = {
        "include": [str(PACKAGE), str(HERE / "typed_program.py")],
        "exclude": ["**/crewai.py"],
        "typeCheckingMode": "strict",
        "reportPrivateUsage": False,
        "reportUnknownMemberType": False,
        "venvPath": str(pathlib.Path(sys.prefix).parent),
        "venv": pathlib.Path(sys.prefix).name,
    }
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    ended = run("pyright", "--project", str(project))
    assert ended.returncode == 0 and "0 errors" in ended.stdout, ended.stdout + ended.stderr


def test_every_public_type_is_known() -> None:
    ended = run("pyright", "--verifytypes", "skytale", "--ignoreexternal")
    assert "completeness score: 100%" in ended.stdout, ended.stdout + ended.stderr


def test_a_wrong_type_is_found(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "wrong.py"
    program.write_text((HERE / "typed_program.py").read_text() + "\n    room.send(42)\n")
    ended = run("mypy", "--strict", "--no-incremental", "--cache-dir=/dev/null", str(program))
    assert ended.returncode == 1 and "arg-type" in ended.stdout, ended.stdout + ended.stderr


def test_the_stub_is_of_what_is_there() -> None:
    ended = run("mypy.stubtest", "skytale._native", "--ignore-disjoint-bases")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_everything_public_is_documented() -> None:
    for name in skytale.__all__:
        thing = getattr(skytale, name)
        if not inspect.isclass(thing):
            continue
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items():
            if inspect.isfunction(value) and not member.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{member}"
    assert inspect.getdoc(_native)
