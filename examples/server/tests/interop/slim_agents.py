"""What real SLIM agents do together, for either generation of slim-bindings.

A pair talks with MLS; then a moderator makes a group of three with MLS, all talk, one is removed, the others talk on.
Ends with status 0 only if every message arrived, decrypted, in order, where it should, and nowhere else.
With --refusal it ends with status 0 only if an agent is refused at once, with an error that says TEXT.
It speaks to any SLIM node, so a run against one shows whether a failure is the relay's.
"""
import argparse
import asyncio
import datetime
import itertools
import os
import time
import traceback
import uuid

import slim_bindings as slim

SECRET = "shared by the agents of one test run, unknown to the relay"
WAIT = datetime.timedelta(seconds=30)
LIMIT_SECONDS = 150
REFUSAL_SECONDS = 15
MODERN = hasattr(slim, "MlsSettings")


async def main(args):
    space = uuid.uuid4().hex[:10]
    if args.refusal:
        return await is_refused(args, space)
    endpoints = itertools.cycle([args.endpoint, *args.also])
    alice, bob, carol = [await Agent(args, space, who).connect(next(endpoints)) for who in ("alice", "bob", "carol")]
    await pair(alice, bob)
    await group(alice, [bob, carol], space, args.idle)


async def is_refused(args, space: str):
    start = time.monotonic()
    try:
        await Agent(args, space, "mallory").connect(args.endpoint)
    except Exception as error:  # each generation has classes of its own
        took = time.monotonic() - start
        assert args.refusal in str(error), f"refused, but with {error!r}"
        assert took < REFUSAL_SECONDS, f"refused after {took:.1f} s"
        return
    raise AssertionError("it was let in")


async def pair(alice: "Agent", bob: "Agent"):
    await alice.reach(bob)
    opened = await alice.app.create_session_async(session_config(slim.SessionType.POINT_TO_POINT), bob.name)
    await asyncio.wait_for(opened.completion.wait_async(), 30)
    sessions = {"alice": opened.session, "bob": await bob.app.listen_for_session_async(WAIT)}
    await all_talk(sessions, 20, "pair")
    await (await alice.app.delete_session_async(opened.session)).wait_async()


async def group(alice: "Agent", others: list, space: str, idle: float):
    opened = await alice.app.create_session_async(
        session_config(slim.SessionType.GROUP), slim.Name("interop", space, "room"))
    await asyncio.wait_for(opened.completion.wait_async(), 30)
    sessions = {"alice": opened.session}
    for other in others:
        await alice.reach(other)
        joined = asyncio.create_task(other.app.listen_for_session_async(WAIT))
        await asyncio.wait_for((await opened.session.invite_async(other.name)).wait_async(), 30)
        sessions[other.who] = await joined
    await roster(sessions, 3)
    await all_talk(sessions, 10, "group")
    if idle:
        await asyncio.sleep(idle)
        await all_talk(sessions, 3, "after-idle")
    removed = others[-1]
    await asyncio.wait_for((await opened.session.remove_async(removed.name)).wait_async(), 30)
    gone = sessions.pop(removed.who)
    await roster(sessions, 2)
    await all_talk(sessions, 5, "after-removal")
    await hears_nothing(gone)
    await (await alice.app.delete_session_async(opened.session)).wait_async()


async def roster(sessions: dict, count: int):
    """Waits until every member knows of `count` members."""
    deadline = time.monotonic() + 20
    for who, session in sessions.items():
        while len(known := await session.participants_list_async()) != count:
            assert time.monotonic() < deadline, f"{who} knows of {[str(name) for name in known]}"
            await asyncio.sleep(0.05)


async def all_talk(sessions: dict, times: int, topic: str):
    """Everybody says something `times` times; everybody hears what each other said, in order, and nothing else."""
    for who, session in sessions.items():
        assert encrypted(session), f"{who} has no MLS"
    heard = {who: asyncio.create_task(hear(session, times * (len(sessions) - 1))) for who, session in sessions.items()}
    for number in range(times):
        for who, session in sessions.items():
            await say(session, f"{topic} {who} {number}")
    for who, task in heard.items():
        said = await task
        for other in sessions.keys() - {who}:
            wanted = [f"{topic} {other} {number}" for number in range(times)]
            assert [text for text in said if f" {other} " in text] == wanted, (who, said)
        assert len(said) == times * (len(sessions) - 1), (who, said)


async def say(session, text: str):
    await (await session.publish_async(text.encode(), None, None)).wait_async()


async def hear(session, count: int):
    return [bytes((await session.get_message_async(timeout=WAIT)).payload).decode() for _ in range(count)]


async def hears_nothing(session):
    try:
        heard = await session.get_message_async(timeout=datetime.timedelta(seconds=1))
    except Exception:  # the session has ended, or nothing came
        return
    raise AssertionError(f"a removed member heard {bytes(heard.payload)!r}")


class Agent:
    def __init__(self, args, space: str, who: str):
        self.args, self.who = args, who
        self.name = slim.Name("interop", space, who)
        self.service = slim.Service(f"{who}-{space}")

    async def connect(self, endpoint: str):
        connecting = self.service.connect_async(client_config(self.args, endpoint))
        self.connection = await asyncio.wait_for(connecting, 20)
        self.app = self.service.create_app_with_secret(self.name, SECRET)
        await self.app.subscribe_async(self.name, self.connection)
        return self

    async def reach(self, other: "Agent"):
        await self.app.set_route_async(other.name, self.connection)


def client_config(args, endpoint: str):
    config = slim.new_insecure_client_config(endpoint)
    if args.token_file:
        token = slim.StaticJwtAuth(token_file=args.token_file, duration=datetime.timedelta(hours=1))
        config.auth = slim.ClientAuthenticationConfig.STATIC_JWT(config=token)
    if args.ca:
        config.tls = slim.TlsClientConfig(
            insecure=False, insecure_skip_verify=False, source=slim.TlsSource.NONE(),
            ca_source=slim.CaSource.FILE(path=args.ca), include_system_ca_certs_pool=False, tls_version="tls1.3")
    return config


def session_config(kind):
    if MODERN:
        mls = {"mls_settings": slim.MlsSettings(header_integrity_validation_percent=100,
                                                max_seen_control_message_ids_size=None)}
    else:
        mls = {"enable_mls": True}
    interval = datetime.timedelta(seconds=2)
    return slim.SessionConfig(session_type=kind, max_retries=8, interval=interval, metadata={}, **mls)


def encrypted(session) -> bool:
    config = session.config()
    return config.mls_settings is not None if MODERN else config.enable_mls


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint", help="like http://127.0.0.1:5000")
    parser.add_argument("--also", action="append", default=[], metavar="ENDPOINT",
                        help="of another node that acts as one with the first; agents connect to each in turn")
    parser.add_argument("--token-file", help="holds the JWT to present")
    parser.add_argument("--ca", metavar="FILE", help="the certificate to trust; needs an https endpoint")
    parser.add_argument("--idle", type=float, default=0, metavar="SECONDS", help="how long the group is silent")
    parser.add_argument("--refusal", metavar="TEXT", help="what the agent must be refused with")
    return parser.parse_args()


def quiet():
    tracing = slim.new_tracing_config()
    tracing.log_level = "off"
    slim.initialize_with_configs(runtime_config=slim.new_runtime_config(), tracing_config=tracing,
                                 service_config=[slim.new_service_config()])


args, status = arguments(), 0
quiet()
try:
    asyncio.run(asyncio.wait_for(main(args), LIMIT_SECONDS))
except BaseException:
    traceback.print_exc()
    status = 1
# The library's own threads may not end by themselves.
os._exit(status)
