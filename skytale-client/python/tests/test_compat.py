"""Programs written for `skytale-sdk` run against the server through `skytale.compat`, its README's examples first."""

import ast
import asyncio
import importlib
import inspect
import pathlib
import re
import subprocess
import sys
import threading
import time
import uuid
from typing import Any

import harness
import pytest
from conftest import SECONDS, Place
from skytale import compat
from skytale.compat import errors
from skytale.compat.bridge import ProtocolBridge
from skytale.compat.envelope import Envelope, Protocol

SDK = "0.5.2"


@pytest.fixture(scope="module")
def examples() -> list[str]:
    """The Python examples of the published README, with the one name changed."""
    python = harness.venv("skytale-sdk", SDK)
    (metadata,) = pathlib.Path(python).parents[1].glob("lib/*/site-packages/skytale_sdk-*.dist-info/METADATA")
    found = re.findall(r"^```python\n(.*?)^```", metadata.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 21, len(found)
    return [code.replace("skytale_sdk", "skytale.compat") for code in found]


@pytest.fixture
def usual(closed_server: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The environment that the examples expect."""
    monkeypatch.setenv("SKYTALE_RELAY", closed_server.grpc)
    monkeypatch.setenv("SKYTALE_API_KEY", closed_server.account())
    monkeypatch.setenv("SKYTALE_API_URL", closed_server.api)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return closed_server


def execute(code: str, names: dict[str, Any]) -> dict[str, Any]:
    compiled = compile(code, "<README>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(compiled, names)
    if waiting is not None:
        asyncio.run(asyncio.wait_for(waiting, SECONDS))
    return names


def test_the_readmes_examples_run(usual: Place, examples: list[str], tmp_path: pathlib.Path) -> None:
    """Own names take the place of the README's channels: other runs may have created those."""
    channels = ("myorg/team/general", "org/ns/chan", "org/ns/test", "org/ns/mcp-rpc", "org/a2a-agents", "org/slim-agents")
    ran = 0
    for code in examples:
        own = uuid.uuid4().hex[:8]
        mine = {name: f"org/{own}/{name.rpartition('/')[2]}" for name in channels}
        for name, replacement in mine.items():
            code = code.replace(name, replacement)
        with compat.SkytaleChannelManager(identity=b"the-reader") as mgr:
            names: dict[str, Any] = {"__name__": "readme", "mgr": mgr, "SkytaleChannelManager": compat.SkytaleChannelManager}
            names |= surroundings(code, mgr, mine, usual, tmp_path / str(ran))
            execute(code, names)
            check(code, names)
            for value in names.values():
                if isinstance(value, (compat.SkytaleChannelManager, compat.SkytaleClient)):
                    value.close()
            ran += 1
    assert ran == 21


def surroundings(code: str, mgr, mine: dict, place: Place, scratch: pathlib.Path) -> dict[str, Any]:
    """Makes what an example takes for granted."""
    names: dict[str, Any] = {"endpoint": place.grpc, "data_dir": str(scratch), "identity": b"me"}
    if "transport.read" in code:
        answer_mcp(mgr, mine["org/ns/mcp-rpc"])
    if "ProtocolBridge" in code:
        mgr.create(mine["org/a2a-agents"])
        mgr.create(mine["org/slim-agents"])
    if "except AuthError" in code:
        mgr.create(mine["org/ns/chan"])
    if "for msg in channel.messages()" in code:
        names["channel"] = talking_channel(mgr)
    if "Agent(" in code:
        names |= framework(code)
    return names


def framework(code: str) -> dict[str, Any]:
    """What an example takes from the framework that it is about."""
    if "smolagents" in code:
        import smolagents

        return {"CodeAgent": smolagents.CodeAgent, "model": smolagents.OpenAIModel("gpt-4.1")}
    if "agno" in code:
        from agno.agent import Agent
        from agno.models.openai import OpenAIChat

        return {"Agent": Agent, "OpenAIChat": OpenAIChat}
    name = next((name for name in ("google_adk", "pydantic_ai") if name in code), "agents")
    return {"Agent": importlib.import_module(name.replace("google_adk", "google.adk")).Agent}


def check(code: str, names: dict[str, Any]) -> None:
    """Checks what an example's comments promise."""
    if "# [\"Hello from Alice!\"]" in code:
        assert names["token"].startswith("skt_inv_") and names["msgs"] == ["Hello from Alice!"]
    if "mock=True" in code:
        assert names["msgs"] == ["hello"]
    if "env2" in code:
        assert names["env2"] == names["env"]
    if "transport.read" in code:
        assert names["response"] == {"jsonrpc": "2.0", "result": "pong", "id": 1}


def answer_mcp(mgr, name: str) -> None:
    """Lets somebody answer on the other side of the channel."""
    mgr.create(name)
    token = mgr.invite(name)

    def serve() -> None:
        from skytale.compat.integrations.mcp_transport import SkytaleTransport

        async def main() -> None:
            transport = SkytaleTransport(other, name)
            request = await transport.read()
            await transport.write({"jsonrpc": "2.0", "result": "pong", "id": request["id"]})

        with compat.SkytaleChannelManager(identity=b"server") as other:
            other.join_with_token(name, token)
            ready.set()
            asyncio.run(main())

    ready = threading.Event()
    threading.Thread(target=serve).start()
    assert ready.wait(SECONDS)


def talking_channel(mgr) -> compat.Channel:
    """A channel on which something is said, and which ends then."""
    name = f"org/{uuid.uuid4().hex[:8]}/talk"
    mgr.create(name)
    token = mgr.invite(name)
    other = compat.SkytaleChannelManager(identity=b"listener")
    other.join_with_token(name, token)
    mgr.send(name, "said")
    channel = other._channels[name]
    threading.Timer(1.0, other.close).start()
    return channel


def test_names_and_signatures_are_the_published_ones() -> None:
    """As `inspect.signature` shows them for the published wheel."""
    manager = {
        "__init__": "identity, endpoint=None, data_dir=None, api_key=None, api_url=None, mock=False, audit=False",
        "create": "channel_name",
        "invite": "channel_name, max_uses=1, ttl=3600",
        "join_with_token": "channel_name, token, timeout=60.0",
        "join": "channel_name, welcome",
        "key_package": "",
        "add_member": "channel_name, key_package",
        "rotate_key": "channel_name",
        "send": "channel_name, message",
        "receive": "channel_name, timeout=5.0",
        "receive_latest": "channel_name, timeout=5.0",
        "send_envelope": "channel_name, envelope",
        "receive_envelopes": "channel_name, timeout=5.0",
        "list_channels": "",
        "close": "",
    }
    client = {"create_channel": "name", "generate_key_package": "", "join_channel": "name, welcome_bytes", "rotate_key": "name"}
    channel = {"add_member": "key_package", "send": "payload", "messages": ""}
    for kind, published in (
        (compat.SkytaleChannelManager, manager),
        (compat.SkytaleClient, client),
        (compat.Channel, channel),
    ):
        for name, wanted in published.items():
            given = list(inspect.signature(getattr(kind, name)).parameters.values())[1:]
            positional = [one for one in given if one.kind is not inspect.Parameter.KEYWORD_ONLY]
            shown = [
                one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in positional
            ]
            assert ", ".join(shown) == wanted, (kind, name)


def test_the_interop_program_of_the_published_package(server: Place, tmp_path: pathlib.Path, channel_name: str) -> None:
    """Three members who were added one after the other hear everything, each sender's in order, without pauses between messages."""
    clients = [compat.SkytaleClient(server.grpc, str(tmp_path / who), who.encode()) for who in ("ann", "ben", "cyd")]
    ann, ben, cyd = clients
    room = ann.create_channel(channel_name)
    channels = [room, ben.join_channel(channel_name, room.add_member(ben.generate_key_package()))]
    channels.append(cyd.join_channel(channel_name, room.add_member(cyd.generate_key_package())))
    heard: list[list[bytes]] = [[] for _ in channels]

    def read(number: int) -> None:
        heard[number].extend(channels[number].messages())

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for number in range(200):
        channels[number % 3].send(f"{number % 3} {number}".encode())
    deadline = time.monotonic() + SECONDS
    while any(len(h) < 133 for h in heard) and time.monotonic() < deadline:
        time.sleep(0.02)
    for client in clients:
        client.close()
    for thread in threads:
        thread.join(SECONDS)
    for me in range(3):
        for other in {0, 1, 2} - {me}:
            wanted = [f"{other} {n}".encode() for n in range(200) if n % 3 == other]
            assert [text for text in heard[me] if text.startswith(b"%d " % other)] == wanted
    again = compat.SkytaleClient(server.grpc, str(tmp_path / "ann"), b"ann")
    assert again.name == ann.name and again.create_channel(channel_name).channel.sent_count == 67
    again.close()
    with pytest.raises(compat.ChannelError, match="another identity"):
        compat.SkytaleClient(server.grpc, str(tmp_path / "ann"), b"mallory")


def test_what_was_said_is_archived_before_the_end(server: Place, channel_name: str) -> None:
    """Also by a program that closes nothing; and an error comes with a later call."""
    with compat.SkytaleChannelManager("reader", server.grpc) as reader:
        reader.create(channel_name)
        code = f"""
import sys
from skytale.compat import SkytaleChannelManager
writer = SkytaleChannelManager("writer", {server.grpc!r})
print(writer.key_package().decode(), flush=True)
writer.join({channel_name!r}, sys.stdin.readline().strip().encode())
for number in range(500):
    writer.send({channel_name!r}, str(number))
"""
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            key_package = writer.stdout.readline().strip().encode()
            writer.stdin.write(reader.add_member(channel_name, key_package).decode() + "\n")
            writer.stdin.close()
            assert writer.wait(SECONDS) == 0
        heard: list[str] = []
        while len(heard) < 500:
            found = reader.receive(channel_name, timeout=20)
            assert found
            heard += found
        assert heard == [str(number) for number in range(500)]
        reader.send(channel_name, bytes(2 * 1024 * 1024))
        with pytest.raises(compat.ChannelError, match="too_large"):
            reader._channels[channel_name].flush()


def test_errors_are_the_published_ones(closed_server: Place, channel_name: str) -> None:
    with compat.SkytaleChannelManager("a", closed_server.grpc, api_key="sk_live_wrong", api_url=closed_server.api) as mgr:
        with pytest.raises(compat.AuthError) as raised:
            mgr.create(channel_name)
        assert isinstance(raised.value, RuntimeError) and raised.value.code == "auth_failed"
        assert raised.value.http_status == 401 and raised.value.doc_url and raised.value.__cause__ is not None
        with pytest.raises(compat.ChannelError):
            mgr.send(channel_name, "x")
    with compat.SkytaleChannelManager("a", closed_server.grpc, api_key="k", api_url="http://127.0.0.1:9") as mgr:
        with pytest.raises(compat.TransportError):
            mgr.create(channel_name)
    with pytest.raises(compat.ChannelError, match="endpoint"):
        compat.SkytaleClient()
    assert compat.MlsError("x").code == "mls_error" and compat.QuotaExceededError("x").code == "quota_exceeded"
    assert {errors.AuthError, errors.TransportError} < set(errors.SkytaleError.__subclasses__())


def test_mock_agents_talk_and_a_bridge_carries() -> None:
    name, target = f"org/{uuid.uuid4().hex[:8]}/a2a", f"org/{uuid.uuid4().hex[:8]}/slim"
    with compat.SkytaleChannelManager("a", mock=True) as a, compat.SkytaleChannelManager("b", mock=True) as b:
        for channel in (name, target):
            a.create(channel)
            b.join_with_token(channel, a.invite(channel))
        with pytest.raises(compat.ChannelError, match="used up"):
            b.join_with_token(name, "skt_inv_wrong")
        bridge = ProtocolBridge(b)
        bridge.bridge(name, target, Protocol.A2A, Protocol.SLIM)
        a.send_envelope(name, Envelope(Protocol.A2A, "application/json", b"{}"))
        (carried,) = a.receive_envelopes(target, timeout=20)
        assert carried == Envelope(Protocol.SLIM, "application/json", b"{}", {"bridged_from": "a2a"})
        bridge.stop()
        a.send(name, "one")
        a.send(name, "two")
        latest = b.receive_latest(name, timeout=20)
        if latest == "one":  # The second was still on its way.
            latest = b.receive_latest(name, timeout=20)
        assert latest == "two" and b.receive_latest(name, timeout=0.01) is None
        assert a.list_channels() == [name, target] and len(b.rotate_key(name)) == 8
        with pytest.raises(compat.ChannelError, match="not open"):
            bridge.bridge(name, "a/b/unknown", Protocol.A2A, Protocol.SLIM)


@pytest.mark.parametrize("name", ["a2a", "acp", "anp", "lmos", "nlip", "slim"])
def test_adapters_carry_their_protocols(name: str) -> None:
    from skytale.compat.integrations import a2a, acp, anp, lmos, nlip, slim

    kinds: dict[str, Any] = {
        "a2a": (a2a.SkytaleA2AAdapter, "create_context", "join_context", lambda x, c: x.send_message(c, [{"text": "hi"}])),
        "acp": (acp.SkytaleACPAdapter, "create_task", "join_task", lambda x, c: x.send_message(c, {"text": "hi"})),
        "anp": (anp.SkytaleANPAdapter, "create_session", "join_session", lambda x, c: x.send_rpc(c, "hi", {})),
        "lmos": (lmos.SkytaleLMOSAdapter, "create_channel", "join_channel", lambda x, c: x.send_event(c, "hi", {})),
        "nlip": (nlip.SkytaleNLIPAdapter, "create_session", "join_session", lambda x, c: x.send_message(c, "hi")),
    }
    with compat.SkytaleChannelManager("a", mock=True) as a, compat.SkytaleChannelManager("b", mock=True) as b:
        if name == "slim":
            channel = f"org/{uuid.uuid4().hex[:8]}/x"
            slim.SLIMAdapter(a).subscribe(channel)
            b.join(channel, a.add_member(channel, b.key_package()))
            slim.SLIMAdapter(a).publish(channel, b"hi")
            assert slim.SLIMAdapter(b).receive(channel, timeout=20) == [b"hi"]
            return
        kind, create, join, say = kinds[name]
        conversation = f"did:web:{uuid.uuid4().hex}"
        first, second = kind(a, "agent-a"), kind(b, "agent-b")
        getattr(first, create)(conversation)
        welcome = a.add_member(first.channel_name(conversation), b.key_package())
        getattr(second, join)(conversation, welcome)
        say(first, conversation)
        (message,) = second.receive_messages(conversation, timeout=20)
        assert "hi" in str(message) and "agent-a" in str(message)
