"""Alice and Bob, two ordinary SLIM agents: usage agents.py ENDPOINT TOKEN."""
import asyncio
import datetime
import sys

import slim_bindings as slim

SECRET = "a secret that alice and bob share, and the relay does not"
WAIT = datetime.timedelta(seconds=20)
TALK = [
    ("alice", "Hello Bob, can anyone else read this?"),
    ("bob", "Hello Alice. No: only your keys and mine open it."),
    ("alice", "Not even the relay that carries it?"),
    ("bob", "It sees sizes and sequence numbers, and keeps them in order for us."),
]


async def agent(endpoint: str, token: str, name: str):
    service = slim.Service(name)
    config = slim.new_insecure_client_config(endpoint)
    config.headers = {"authorization": f"Bearer {token}"}
    connection = await service.connect_async(config)
    full_name = slim.Name("demo", "agents", name)
    app = service.create_app_with_secret(full_name, SECRET)
    await app.subscribe_async(full_name, connection)
    return service, app, full_name, connection


async def main(endpoint: str, token: str) -> None:
    alice_service, alice, _, connection = await agent(endpoint, token, "alice")
    bob_service, bob, bob_name, _ = await agent(endpoint, token, "bob")
    await alice.set_route_async(bob_name, connection)
    mls = slim.MlsSettings(header_integrity_validation_percent=100, max_seen_control_message_ids_size=None)
    config = slim.SessionConfig(session_type=slim.SessionType.POINT_TO_POINT, max_retries=5,
                                interval=datetime.timedelta(seconds=1), metadata={}, mls_settings=mls)
    opened = await alice.create_session_async(config, bob_name)
    await opened.completion.wait_async()
    sessions = {"alice": opened.session, "bob": await bob.listen_for_session_async(WAIT)}
    for speaker, sentence in TALK:
        listener = "bob" if speaker == "alice" else "alice"
        print(f"{speaker:>8} says: {sentence}", flush=True)
        sent = await sessions[speaker].publish_async(sentence.encode(), None, None)
        await sent.wait_async()
        heard = await sessions[listener].get_message_async(timeout=WAIT)
        assert bytes(heard.payload) == sentence.encode()
        print(f"{listener:>8} read it: decrypted with its own key", flush=True)
    await (await alice.delete_session_async(sessions["alice"])).wait_async()


def quiet() -> None:
    tracing = slim.new_tracing_config()
    tracing.log_level = "off"
    slim.initialize_with_configs(runtime_config=slim.new_runtime_config(), tracing_config=tracing,
                                 service_config=[slim.new_service_config()])


quiet()
asyncio.run(asyncio.wait_for(main(*sys.argv[1:3]), 90))
