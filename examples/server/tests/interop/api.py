#!/usr/bin/env python3
"""Has schemathesis attack the API by its own description, and a browser without a network read its page.

usage: api.py [--seconds N]    instead of a fixed number of cases, schemathesis goes on for so long
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import harness

SCHEMATHESIS = "4.32.5"
CASES = 40
# Names, DIDs and key packages have rules that JSON Schema has no words for.
UNCHECKED = "positive_data_acceptance"
# The account that everything is asked with is not to be closed meanwhile.
LEFT_OUT = ["--exclude-operation-id", "close_account"]
RATES = "[limits]\nmax_api_rate = 1000000\nmax_unauthenticated_api_rate = 1000000\nmax_sign_ups_per_minute = 1000000\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int)
    seconds = parser.parse_args().seconds
    harness.end_cleanly()
    # With what the other tests need: another choice of packages would be built with other features.
    binary, st = harness.build_server(*harness.BESIDE), harness.venv("schemathesis", SCHEMATHESIS).with_name("st")
    with tempfile.TemporaryDirectory() as scratch:
        config = pathlib.Path(scratch) / "skytale.toml"
        config.write_text(RATES)
        with harness.Server(binary, "--config", config) as server:
            failed = [attack(server, st, seconds, scratch), read_page(server, scratch)]
    if "panicked" in server.said:
        print(server.said)
        failed.append(True)
    return int(any(failed))


def attack(server: harness.Server, st: pathlib.Path, seconds: int | None, scratch: str) -> bool:
    """Runs schemathesis; says whether it found anything."""
    amount = ["--max-time", str(seconds)] if seconds else ["--max-examples", str(CASES)]
    command = [st, "run", f"http://{server.http}/openapi.json", "--checks", "all", "--exclude-checks", UNCHECKED,
               "--suppress-health-check", "all", "--header", f"Authorization: Bearer {sign_up(server)}", *LEFT_OUT,
               *amount]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=scratch)
    if done.returncode != 0:
        print(done.stdout)
    summary = re.findall(r"[\d,]+ generated.*", done.stdout)
    print(f"schemathesis {SCHEMATHESIS}: {' '.join(summary) or 'no summary'}")
    return done.returncode != 0


def sign_up(server: harness.Server) -> str:
    body = json.dumps({"email": "schemathesis@example.org"}).encode()
    request = urllib.request.Request(f"http://{server.http}/v1/accounts", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["api_key"]


def read_page(server: harness.Server, scratch: str) -> bool:
    """Renders /docs where no other host can be found; says whether an operation is missing."""
    browser = find_browser()
    if not browser:
        print("SKIPPED docs page: no chromium found; install it", file=sys.stderr)
        return os.environ.get("CI") == "true"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
               "--disable-background-networking", "--disable-component-update", f"--user-data-dir={scratch}/browser",
               "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=20000", "--dump-dom",
               f"http://{server.http}/docs/"]
    page = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120).stdout
    shown = set(re.findall(r'data-path="([^"]+)"', page))
    with urllib.request.urlopen(f"http://{server.http}/openapi.json") as answer:
        missing = set(json.load(answer)["paths"]) - shown
    print(f"docs page without a network: {len(shown)} paths shown, {len(missing)} missing")
    return bool(missing)


def find_browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found or os.geteuid() != 0 or not shutil.which("apt-get"):
        return found
    print("==> installing chromium for the tests", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=sys.stderr)
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"]
    subprocess.run(install, env=environment, stdout=sys.stderr)
    return shutil.which("chromium")


if __name__ == "__main__":
    sys.exit(main())
