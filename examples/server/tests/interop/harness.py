"""Starting the real server, and virtual environments with the real clients."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[4]
CACHE = pathlib.Path(os.environ.get("SKYTALE_CACHE", pathlib.Path.home() / ".cache/skytale"))
LISTENING = re.compile(r"(grpc|http) listening on (\S+)")


def build_server() -> None:
    if not shutil.which("cargo"):
        sys.exit("cargo is missing: install Rust, then try again")
    print("==> building the server (a few minutes the first time)", flush=True)
    subprocess.run(["cargo", "build", "--quiet", "-p", "skytale-server"], cwd=ROOT, check=True)


def server_binary() -> pathlib.Path:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "debug" / "skytale-server"


def venv(package: str, version: str) -> pathlib.Path:
    """Returns the Python of an environment with the package, which is made if it is not there yet."""
    home = CACHE / "venvs" / f"{package}-{version}"
    python, complete = home / "bin/python", home / "complete"
    if not complete.exists():
        print(f"==> installing {package} {version} from PyPI", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        f"{package}=={version}"], check=True)
        complete.touch()
    return python


class Server:
    """A server on free ports with a data directory of its own, for as long as the `with` lasts."""

    def __init__(self, *flags: str):
        self.flags = list(flags)
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="skytale-"))
        self.data = self.scratch / "data"

    def __enter__(self) -> "Server":
        self.log = open(self.scratch / "log", "w+")
        command = [server_binary(), "--data-dir", self.data, "--grpc-listen-addr", "127.0.0.1:0",
                   "--health-listen-addr", "127.0.0.1:0", *self.flags]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = dict(LISTENING.findall((self.scratch / "log").read_text()))
            if len(found) == 2:
                self.grpc, self.http = found["grpc"], found["http"]
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("the server did not start:\n" + self.said)

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said = (self.scratch / "log").read_text()
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, *arguments: str) -> str:
        command = [server_binary(), *arguments, "--data-dir", self.data]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    def token(self, *arguments: str) -> str:
        return self.run("token", *arguments).strip()


def certificate(directory: pathlib.Path) -> tuple:
    """Makes a self-signed certificate for this machine; returns the paths of it and of its key."""
    python = venv("cryptography", "50.0.2")
    subprocess.run([python, pathlib.Path(__file__).with_name("certificate.py"), directory], check=True)
    return directory / "cert.pem", directory / "key.pem"
