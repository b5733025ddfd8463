"""A SLIM node, as the bindings from PyPI bring it: node.py ADDRESS. Prints one line when it listens."""
import asyncio
import sys

import slim_bindings


async def main(address: str) -> None:
    node = slim_bindings.Service("node")
    await node.run_server_async(slim_bindings.new_insecure_server_config(address))
    print("listening", slim_bindings.get_version(), flush=True)
    await asyncio.Event().wait()


tracing = slim_bindings.new_tracing_config()
tracing.log_level = "error"
slim_bindings.initialize_with_configs(
    runtime_config=slim_bindings.new_runtime_config(), tracing_config=tracing,
    service_config=[slim_bindings.new_service_config()])
asyncio.run(main(sys.argv[1]))
