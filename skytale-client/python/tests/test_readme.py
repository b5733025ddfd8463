"""The README's examples run as they are printed, in an environment that has this package and no other."""

import pathlib
import re
import subprocess

import harness
import pytest
from conftest import QUIET, SECONDS, place

README = pathlib.Path(__file__).parents[1] / "README.md"
PRINTED = ["3 acme/agents/alice: hello, Bob", "hello, Dave", "I am in", "{'channel': 'acme/tests/room', 'sequence': 2}"]
USUAL = ("--grpc-listen-addr", "127.0.0.1:5000", "--quic-listen-addr", "127.0.0.1:4433", "--health-listen-addr", "127.0.0.1:8443")


@pytest.fixture(scope="module")
def usual_server(programs: pathlib.Path):
    """A server where the README says that it is; runs on one machine take turns."""
    with harness.locked(harness.CACHE / "usual-ports.lock"):
        with harness.Server(programs / "skytale-server", "--allow-anonymous", *USUAL) as running:
            yield running


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_an_example_runs_as_printed(usual_server, plain_python: str, number: int) -> None:
    found, server = examples(), place(usual_server)
    assert len(found) == len(PRINTED)
    env = {"ERINS_KEY": server.account(), "FRANKS_KEY": server.account()}
    command = [plain_python, "-X", "dev", "-W", "error", "-c", QUIET + found[number]]
    ended = subprocess.run(
        command, cwd=usual_server.scratch, env=env, capture_output=True, text=True, timeout=SECONDS
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == PRINTED[number]
