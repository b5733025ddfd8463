"""What real SLIM agents do together, for either generation of slim-bindings.

usage: slim_agents.py ENDPOINT [--token TOKEN] [--ca FILE] [--idle SECONDS]

A pair talks with MLS; then a moderator makes a group of three with MLS, all talk, one is removed, the others talk on.
Ends with status 0 only if every message arrived, decrypted, where it should, and nowhere else.
"""
import argparse
import asyncio
import datetime
import uuid

import slim_bindings as slim

SECRET = "shared by the agents of one test run, unknown to the relay"
WAIT = datetime.timedelta(seconds=30)
MODERN = hasattr(slim, "MlsSettings")


def seconds(count: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=count)


def session_config(kind):
    extra = {"mls_settings": slim.MlsSettings(header_integrity_validation_percent=100,
                                              max_seen_control_message_ids_size=None)} if MODERN else {"enable_mls": True}
    return slim.SessionConfig(session_type=kind, max_retries=8, interval=seconds(2), metadata={}, **extra)


def client_config(args):
    config = slim.new_insecure_client_config(args.endpoint)
    if args.token:
        config.headers = {"authorization": f"Bearer {args.token}"}
    if args.ca:
        config.tls = slim.TlsClientConfig(
            insecure=False, insecure_skip_verify=False, source=slim.TlsSource.NONE(),
            ca_source=slim.CaSource.FILE(path=args.ca), include_system_ca_certs_pool=False, tls_version="tls1.3")
    return config


class Agent:
    def __init__(self, args, space: str, who: str):
        self.args, self.who = args, who
        self.name = slim.Name("interop", space, who)
        self.service = slim.Service(f"{who}-{space}")

    async def connect(self):
        self.connection = await asyncio.wait_for(self.service.connect_async(client_config(self.args)), 20)
        self.app = self.service.create_app_with_secret(self.name, SECRET)
        await self.app.subscribe_async(self.name, self.connection)
        return self

    async def reach(self, other: "Agent"):
        await self.app.set_route_async(other.name, self.connection)


async def say(session, text: str):
    await (await session.publish_async(text.encode(), None, None)).wait_async()


async def hear(session, count: int):
    return [bytes((await session.get_message_async(timeout=WAIT)).payload).decode() for _ in range(count)]


async def all_talk(sessions: dict, times: int, topic: str):
    """Everybody says something `times` times; everybody hears what the others said, and nothing else."""
    heard = {who: asyncio.create_task(hear(session, times * (len(sessions) - 1))) for who, session in sessions.items()}
    for number in range(times):
        for who, session in sessions.items():
            await say(session, f"{topic}-{who}-{number}")
    for who, task in heard.items():
        wanted = sorted(f"{topic}-{other}-{n}" for other in sessions if other != who for n in range(times))
        assert sorted(await task) == wanted, (topic, who)


async def pair(alice: Agent, bob: Agent):
    await alice.reach(bob)
    opened = await alice.app.create_session_async(session_config(slim.SessionType.POINT_TO_POINT), bob.name)
    await asyncio.wait_for(opened.completion.wait_async(), 30)
    sessions = {"alice": opened.session, "bob": await bob.app.listen_for_session_async(WAIT)}
    await all_talk(sessions, 20, "pair")
    await (await alice.app.delete_session_async(opened.session)).wait_async()


async def group(alice: Agent, others: list, space: str, idle: float):
    opened = await alice.app.create_session_async(
        session_config(slim.SessionType.GROUP), slim.Name("interop", space, "room"))
    await asyncio.wait_for(opened.completion.wait_async(), 30)
    sessions = {"alice": opened.session}
    for other in others:
        await alice.reach(other)
        joined = asyncio.create_task(other.app.listen_for_session_async(WAIT))
        await asyncio.wait_for((await opened.session.invite_async(other.name)).wait_async(), 30)
        sessions[other.who] = await joined
    await asyncio.sleep(0.5)
    await all_talk(sessions, 10, "group")
    if idle:
        await asyncio.sleep(idle)
        await all_talk(sessions, 3, "after-idle")
    removed = others[-1]
    await asyncio.wait_for((await opened.session.remove_async(removed.name)).wait_async(), 30)
    await asyncio.sleep(0.5)
    gone = sessions.pop(removed.who)
    await all_talk(sessions, 5, "after-removal")
    await hears_nothing(gone)
    await (await alice.app.delete_session_async(opened.session)).wait_async()


async def hears_nothing(session):
    try:
        heard = await session.get_message_async(timeout=seconds(1))
    except Exception:  # the session has ended, or nothing came
        return
    raise AssertionError(f"a removed member heard {bytes(heard.payload)!r}")


async def main(args):
    space = uuid.uuid4().hex[:10]
    alice, bob, carol = [await Agent(args, space, who).connect() for who in ("alice", "bob", "carol")]
    await pair(alice, bob)
    await group(alice, [bob, carol], space, args.idle)


parser = argparse.ArgumentParser()
parser.add_argument("endpoint")
parser.add_argument("--token")
parser.add_argument("--ca")
parser.add_argument("--idle", type=float, default=0)
arguments = parser.parse_args()
tracing = slim.new_tracing_config()
tracing.log_level = "off"
slim.initialize_with_configs(runtime_config=slim.new_runtime_config(), tracing_config=tracing,
                             service_config=[slim.new_service_config()])
asyncio.run(asyncio.wait_for(main(arguments), 150))
# The library's own threads may not end by themselves.
import os  # noqa: E402
os._exit(0)
