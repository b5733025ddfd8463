#!/usr/bin/env python3
"""Measures this package and the published `skytale-sdk` in turn, against one server.

usage: beside.py PYTHON_WITH_SKYTALE SERVER_PROGRAM
"""
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "examples/server/tests/interop"))

import harness  # noqa: E402

SDK = "0.5.2"
ROUNDS = 3


def main(python: str, server: str) -> None:
    published = harness.venv("skytale-sdk", SDK)
    columns: dict = {f"skytale-sdk {SDK}": [], "skytale.compat": []}
    pipelined: dict = {"gRPC": [], "QUIC": []}
    with harness.Server(pathlib.Path(server), "--allow-anonymous") as running:
        for _ in range(ROUNDS):
            columns[f"skytale-sdk {SDK}"].append(figures(published, "load.py", "skytale_sdk", f"http://{running.grpc}"))
            columns["skytale.compat"].append(figures(python, "load.py", "skytale.compat", f"http://{running.grpc}"))
            pipelined["gRPC"].append(figures(python, "pipelined.py", f"grpc://{running.grpc}"))
            trust = str(running.data / "quic_cert.pem")
            pipelined["QUIC"].append(figures(python, "pipelined.py", f"quic://{running.quic}", trust))
    print("| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for name, form in (
        ("messages_per_second", "{:.0f}"),
        ("latency_ms_median", "{:.2f}"),
        ("latency_ms_99", "{:.2f}"),
        ("speed_beside_idle_channels", "{:.1%}"),
    ):
        cells = [form.format(middle([found[name] for found in all_found])) for all_found in columns.values()]
        print(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    for transport, found in pipelined.items():
        print(f"asyncio over {transport}: {middle([one['messages_per_second'] for one in found]):.0f} messages per second")


def figures(python, program: str, *arguments: str) -> dict:
    command = [python, HERE / program, *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def middle(values: list) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main(*sys.argv[1:3])
