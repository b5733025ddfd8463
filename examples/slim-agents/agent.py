"""One of two ordinary SLIM agents that talk in private: usage agent.py {alice|bob} ENDPOINT TOKEN_FILE.

Bob waits to be called, Alice calls him. This is SLIM's own API with its default settings; nothing here knows of Skytale.
"""
import asyncio
import datetime
import os
import sys

import slim_bindings as slim

SECRET = "a secret that alice and bob share, and the relay does not"
WAIT = datetime.timedelta(seconds=30)
TALK = [
    ("alice", "Hello Bob, can anyone else read this?"),
    ("bob", "Hello Alice. No: only your keys and mine open it."),
    ("alice", "Not even the relay that carries it?"),
    ("bob", "It sees sizes and sequence numbers, and keeps them in order for us."),
]


async def main(me: str, endpoint: str, token_file: str) -> None:
    service = slim.Service(me)
    connection = await service.connect_async(client_config(endpoint, token_file))
    app = service.create_app_with_secret(name(me), SECRET)
    await app.subscribe_async(name(me), connection)
    if me == "bob":
        print(f"{me:>8} listens", flush=True)
        session = await app.listen_for_session_async(WAIT)
        await talk(me, session)
        await hung_up(session)
    else:
        await app.set_route_async(name("bob"), connection)
        opened = await app.create_session_async(session_config(), name("bob"))
        await opened.completion.wait_async()
        await talk(me, opened.session)
        await (await app.delete_session_async(opened.session)).wait_async()


def name(who: str):
    return slim.Name("demo", "agents", who)


def client_config(endpoint: str, token_file: str):
    config = slim.new_insecure_client_config(endpoint)
    token = slim.StaticJwtAuth(token_file=token_file, duration=datetime.timedelta(hours=1))
    config.auth = slim.ClientAuthenticationConfig.STATIC_JWT(config=token)
    return config


def session_config():
    mls = slim.MlsSettings(header_integrity_validation_percent=100, max_seen_control_message_ids_size=None)
    return slim.SessionConfig(session_type=slim.SessionType.POINT_TO_POINT, max_retries=5,
                              interval=datetime.timedelta(seconds=1), metadata={}, mls_settings=mls)


async def talk(me: str, session) -> None:
    assert session.config().mls_settings is not None, "the session is not encrypted"
    for speaker, sentence in TALK:
        if speaker == me:
            print(f"{me:>8} says:   {sentence}", flush=True)
            await (await session.publish_async(sentence.encode(), None, None)).wait_async()
        else:
            heard = await session.get_message_async(timeout=WAIT)
            print(f"{me:>8} reads:  {bytes(heard.payload).decode()}", flush=True)


async def hung_up(session) -> None:
    """Waits until the other side has closed the session, which ends the wait for a message with an error."""
    try:
        await session.get_message_async(timeout=WAIT)
    except Exception:
        return
    raise AssertionError("there was another message")


def quiet() -> None:
    tracing = slim.new_tracing_config()
    tracing.log_level = "off"
    slim.initialize_with_configs(runtime_config=slim.new_runtime_config(), tracing_config=tracing,
                                 service_config=[slim.new_service_config()])


quiet()
asyncio.run(asyncio.wait_for(main(*sys.argv[1:4]), 90))
# The library's own threads may not end by themselves.
os._exit(0)
