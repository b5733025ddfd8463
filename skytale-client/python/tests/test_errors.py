"""Errors have a code, a cause, and say what to do next; nothing shows a secret."""

import pathlib
import pickle
import subprocess
import sys
import traceback

import pytest
import skytale
from conftest import Place, run
from skytale import blocking, errors


def test_every_kind_of_error_has_a_code_and_help() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes) == 15
    assert all(kind.help.endswith(".") and kind.__doc__ for kind in kinds)
    error = errors.ConflictError("lost", retryable=True, retry_after=1.5)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.retryable, again.retry_after) == (str(error), True, 1.5)
    assert "[conflict]" in str(error) and error.help in str(error)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "nobody"},
        {"relay": "http://127.0.0.1"},
        {"api": "https://api.example.org"},
        {"token": "t", "api": "https://api.example.org", "api_key": "k"},
        {"state_key": b"k" * 32},
        {"state": "somewhere", "state_key": b"short"},
        {"trust": b"no certificate"},
        {"trust": "nowhere/cert.pem"},
        {"cover_traffic": -1.0},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_what_cannot_be_used_is_named(settings: dict) -> None:
    with pytest.raises(skytale.ConfigurationError) as raised:
        blocking.Client(**{"name": "acme/agents/alice", "relay": "quic://127.0.0.1:1", **settings}).start()
    assert isinstance(raised.value, ValueError) and len(raised.value.message) > 10


def change(state: pathlib.Path, statement: str) -> None:
    """Changes an agent's state from another process: two SQLite libraries in one do not know of each other's locks."""
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2])"
    subprocess.run([sys.executable, "-c", program, state / "agent.db", statement], check=True)


def test_a_state_that_fails_is_told(server: Place, channel_name: str, tmp_path: pathlib.Path) -> None:
    with blocking.Client(**server.agent("alice", state=tmp_path)) as alice:
        room = alice.create_channel(channel_name, timeout=60)
        fail = "BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        change(tmp_path, f"CREATE TRIGGER fails {fail}")
        with pytest.raises(skytale.StateError):
            room.send("hello", timeout=60)
        told = next(event for event in room if isinstance(event, skytale.StateFailed))
        assert "the disk is full" in told.reason
        change(tmp_path, "DROP TRIGGER fails")
        assert room.send("hello", timeout=60) > 1


def test_errors_of_channels(server: Place, channel_name: str) -> None:
    async def main() -> None:
        async with skytale.Client(**server.agent("alice")) as alice, skytale.Client(**server.agent("bob")) as bob:
            room = await alice.create_channel(channel_name)
            with pytest.raises(skytale.ChannelExistsError):
                await alice.create_channel(channel_name)
            with pytest.raises(skytale.ChannelExistsError):
                await bob.create_channel(channel_name)
            with pytest.raises(skytale.NotAMemberError):
                await bob.open_channel(channel_name)
            with pytest.raises(skytale.NoKeyPackageError) as raised:
                await room.add("acme/agents/nobody")
            assert "nobody" in raised.value.message
            with pytest.raises(skytale.TooLargeError) as too_large:
                await room.send(bytes(1024 * 1024 + 1))
            assert "skytale.files" in str(too_large.value)
            with pytest.raises(skytale.ConfigurationError) as no_key:
                await room.invite()
            assert "API key" in str(no_key.value)
            with pytest.raises(skytale.ConfigurationError):
                await alice.create_channel("no channel")
            with pytest.raises(skytale.ConfigurationError, match="runs already"):
                await alice.start()
        with pytest.raises(skytale.ClosedError):
            await alice.channels()
        await alice.close()

    run(main())


def test_an_unreachable_api_server_is_an_error_with_its_cause(server: Place, channel_name: str) -> None:
    settings = server.agent("alice", api="http://127.0.0.1:9", api_key="sk_live_secret")
    with blocking.Client(**settings) as alice, pytest.raises(skytale.UnreachableError) as raised:
        alice.create_channel(channel_name)
    assert raised.value.retryable and isinstance(raised.value, ConnectionError)
    assert isinstance(raised.value.__cause__, skytale.Cause)
    assert "sk_live_secret" not in "".join(traceback.format_exception(raised.value))


def test_who_shows_nothing_is_refused(closed_server: Place, channel_name: str) -> None:
    for settings in (closed_server.agent("alice", token="a.b.c"), closed_server.agent("alice", "grpc")):
        with blocking.Client(**settings) as alice, pytest.raises(skytale.NotAuthorizedError) as raised:
            alice.invitations(timeout=30)
        assert isinstance(raised.value, PermissionError)


def test_an_account_cannot_take_anothers_channel(closed_server: Place, channel_name: str) -> None:
    with (
        blocking.Client(**closed_server.keyed("alice")) as alice,
        blocking.Client(**closed_server.keyed("mallory")) as mallory,
    ):
        alice.create_channel(channel_name)
        with pytest.raises(skytale.NotAuthorizedError):
            mallory.create_channel(channel_name)


def test_nothing_shows_a_secret(server: Place, channel_name: str) -> None:
    settings = server.agent("alice", api=server.api, api_key="sk_live_secret", state_key=b"s" * 32, state="nowhere")
    assert "secret" not in repr(blocking.Client(**settings)) and settings["name"] in repr(blocking.Client(**settings))
    message = skytale.Message("a/b/c", "a/b/d", 7, "1f" * 16, 1, b"nobody's business")
    assert "business" not in repr(message) and "size=17" in repr(message)
