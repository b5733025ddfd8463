"""Hosts on one machine: network namespaces on a bridge, whose connections can be cut, for as long as a `with` lasts."""
import contextlib
import os
import shutil
import socket
import subprocess
import threading

# Nobody has this hardware address: what is sent to it is lost, without an error.
NOWHERE = "02:00:00:00:00:fe"


def have() -> str:
    """Says why there cannot be hosts; nothing if there can."""
    if not shutil.which("ip"):
        return "no `ip` (iproute2) is installed"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    probe = f"skytale-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return made.stderr.strip()
    subprocess.run(["ip", "netns", "delete", probe])
    return ""


class Hosts:
    """The named hosts, and this machine beside them, which has an address of the bridge for each of `here`."""

    def __init__(self, names: list, here: list):
        self.net, self.bridge = f"10.231.{os.getpid() % 256}", f"sky{os.getpid() % 100_000}"
        self.names = {name: f"skytale-{os.getpid()}-{place}" for place, name in enumerate(names)}
        self.addresses = {name: f"{self.net}.{place}" for place, name in enumerate([*here, *names], 1)}
        self.here = here

    def __enter__(self) -> "Hosts":
        with contextlib.ExitStack() as stack:
            stack.callback(self.remove)
            ip("link", "add", self.bridge, "type", "bridge")
            for name in self.here:
                ip("address", "add", f"{self.address(name)}/24", "dev", self.bridge)
            ip("link", "set", self.bridge, "up")
            for place, (name, namespace) in enumerate(self.names.items()):
                self.plug_in(f"{self.bridge}.{place}", namespace, self.address(name))
            stack.pop_all()
        return self

    def plug_in(self, plug: str, namespace: str, address: str) -> None:
        ip("netns", "add", namespace)
        ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("link", "set", plug, "master", self.bridge, "up")
        ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", namespace, "link", "set", device, "up")

    def address(self, name: str) -> str:
        return self.addresses[name]

    def at(self, name: str) -> list:
        """Returns what to put before a command so that it runs at a host."""
        return ["ip", "netns", "exec", self.names[name]]

    def cut(self, one: str, other: str) -> None:
        """Loses what either sends the other, if it is one of the hosts."""
        for sender, receiver in self.directions(one, other):
            ip("-n", self.names[sender], "neighbour", "replace", self.address(receiver),
               "lladdr", NOWHERE, "nud", "permanent", "dev", "eth0")

    def mend(self, one: str, other: str) -> None:
        for sender, receiver in self.directions(one, other):
            ip("-n", self.names[sender], "neighbour", "delete", self.address(receiver), "dev", "eth0")

    def directions(self, one: str, other: str) -> list:
        return [pair for pair in ((one, other), (other, one)) if pair[0] in self.names]

    def remove(self) -> None:
        for namespace in self.names.values():
            subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "delete", self.bridge], stderr=subprocess.DEVNULL)

    def __exit__(self, *_) -> None:
        self.remove()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class OneHost:
    """This machine under all names, where nothing can be cut."""

    def __enter__(self) -> "OneHost":
        return self

    def address(self, _name: str) -> str:
        return "127.0.0.1"

    def at(self, _name: str) -> list:
        return []

    def __exit__(self, *_) -> None:
        pass


class Forwarder:
    """Lets hosts reach a port that listens only to this machine."""

    def __init__(self, address: str, target: tuple):
        self.listener, self.target = socket.create_server((address, 0)), target
        self.port = self.listener.getsockname()[1]

    def __enter__(self) -> "Forwarder":
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    def __exit__(self, *_) -> None:
        self.listener.close()


def copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
