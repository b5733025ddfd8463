"""What asyncio and many messages on their way bring, in messages per second.

usage: pipelined.py RELAY [TRUSTED_PEM]
"""
import asyncio
import json
import sys
import time
import uuid

import skytale

COUNT, AT_ONCE = 5000, 128
BODY = b"x" * 256


async def main(relay: str, trust: str | None = None) -> None:
    home = uuid.uuid4().hex[:8]
    async with (
        skytale.Client(f"figures/{home}/one", relay, trust=trust) as one,
        skytale.Client(f"figures/{home}/two", relay, trust=trust) as two,
    ):
        room = await one.create_channel(f"figures/{home}/room")
        await two.wait_until_addable()
        await room.add(two.name)
        other = await two.join_channel(room.name)
        limit = asyncio.Semaphore(AT_ONCE)

        async def say() -> None:
            async with limit:
                await room.send(BODY)

        began = time.perf_counter()
        talking = asyncio.gather(*(say() for _ in range(COUNT)))
        for _ in range(COUNT):
            await other.receive()
        await talking
        print(json.dumps({"messages_per_second": COUNT / (time.perf_counter() - began)}))


asyncio.run(main(*sys.argv[1:3]))
