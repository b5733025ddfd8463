"""Starting the real server, and virtual environments with the real clients."""
import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[4]
CACHE = pathlib.Path(os.environ.get("SKYTALE_CACHE") or pathlib.Path.home() / ".cache/skytale")
LISTENING = re.compile(r"(grpc|http|quic) listening on (\S+)")
LISTENERS = ("--grpc-listen-addr", "--quic-listen-addr", "--health-listen-addr")
START_SECONDS, STOP_SECONDS = 60, 20


# What stands beside the server; always built together, as another choice would be built from the ground up again.
BESIDE = ("skytale-cli", "cluster")


def end_cleanly() -> None:
    """Lets SIGTERM end this process as Ctrl-C does: every `with` is left, and nothing stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def build_server(*others: str) -> pathlib.Path:
    """Builds the server, and other packages with it; returns its binary, which the others' stand beside."""
    if not shutil.which("cargo"):
        sys.exit("cargo is missing: install Rust from https://rustup.rs, then try again")
    print("==> building the server (a few minutes the first time)", flush=True)
    packages = [argument for package in ("skytale-server", *others) for argument in ("-p", package)]
    command = ["cargo", "build", *packages, "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the server could not be built; see above")
    artifacts = [json.loads(line) for line in built.stdout.splitlines()]
    again = [artifact["target"]["name"] for artifact in artifacts
             if artifact.get("fresh") is False and artifact["package_id"].startswith("registry+")]
    if again and os.environ.get("SKYTALE_TEST_BUILT"):
        sys.exit(f"these were compiled a second time, with other features: {', '.join(again)}; run `make unify`")
    executables = [pathlib.Path(artifact["executable"]) for artifact in artifacts if artifact.get("executable")]
    return next(path for path in executables if path.stem == "skytale-server")


def venv(package: str, version: str) -> pathlib.Path:
    """Returns the Python of an environment with the package, which is made if it is not there yet."""
    home = CACHE / "venvs" / f"{package}-{version}"
    python, complete = home / "bin/python", home / "complete"
    with locked(home.with_suffix(home.suffix + ".lock")):
        if not (python.exists() and complete.exists() and complete.read_text() == sys.version):
            print(f"==> installing {package} {version} from PyPI", flush=True)
            install(package, version, home)
            complete.write_text(sys.version)
    return python


@contextlib.contextmanager
def locked(path: pathlib.Path):
    """Keeps other runs that share the cache away from what is being made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(package: str, version: str, home: pathlib.Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", home], stdout=sys.stderr).returncode != 0:
        sys.exit(f"{sys.executable} cannot make a virtual environment: install python3-venv, then try again")
    pip = [home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--only-binary", ":all:", f"{package}=={version}"]).returncode != 0:
        sys.exit(f"{package} {version} could not be installed: is PyPI reachable, and has it a wheel for this Python?")


def certificate(directory: pathlib.Path, *addresses: str) -> tuple:
    """Makes a self-signed certificate for this machine, by default for its clients; returns the paths of it and of its
    key."""
    python = venv("cryptography", "50.0.2")
    subprocess.run([python, pathlib.Path(__file__).with_name("certificate.py"), directory, *addresses], check=True)
    return directory / "cert.pem", directory / "key.pem"


def shim(source: pathlib.Path, directory: pathlib.Path):
    """Compiles a library to preload; returns nothing where that cannot be."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or not sys.platform.startswith("linux"):
        return None
    library = directory / source.with_suffix(".so").name
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


class Server:
    """A server, on free ports unless told otherwise, with a data directory of its own unless given one, for as long as
    the `with` lasts. `before` is what runs it, `environment` what it is given besides."""

    def __init__(self, binary: pathlib.Path, *flags: str, data: pathlib.Path | None = None, before=(), environment=()):
        self.binary, self.flags, self.data = binary, flags, data
        self.before, self.environment = before, dict(environment)

    def __enter__(self) -> "Server":
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="skytale-"))
        self.data, self.log = self.data or self.scratch / "data", self.scratch / "log"
        anywhere = [part for flag in LISTENERS if flag not in self.flags for part in (flag, "127.0.0.1:0")]
        command = [*self.before, self.binary, "--data-dir", self.data, *anywhere, *self.flags]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | self.environment)
        try:
            self.await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            found = dict(LISTENING.findall(self.log.read_text()))
            if len(found) == 3:
                self.grpc, self.http, self.quic = found["grpc"], found["http"], found["quic"]
                if is_ready(self.http):
                    return
            time.sleep(0.05)
        sys.exit("the server did not start:\n" + self.log.read_text())

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.said = self.log.read_text()
            shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, *arguments: str) -> str:
        command = [self.binary, *arguments, "--data-dir", self.data]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    def token(self, *arguments: str) -> str:
        return self.run("token", *arguments).strip()

    def secret(self) -> str:
        return (self.data / "jwt_secret").read_text().strip()


def is_ready(http: str) -> bool:
    """Asks a server whether its store and its directory answer."""
    try:
        urllib.request.urlopen(f"http://{http}/ready", timeout=START_SECONDS).close()
        return True
    except urllib.error.HTTPError as refused:
        refused.close()
        return False


def signed_again(token: str, secret: str, **changed_claims) -> str:
    """Returns the token with changed claims and a fresh signature; without changes and with its secret, the same."""
    header, body, _ = token.split(".")
    if changed_claims:
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        body = base64url(json.dumps(claims | changed_claims).encode())
    signature = hmac.digest(secret.encode(), f"{header}.{body}".encode(), hashlib.sha256)
    return f"{header}.{body}.{base64url(signature)}"


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
