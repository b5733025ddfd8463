#!/usr/bin/env bash
# Runs a command with SKYTALE_TEST_POSTGRES set: to what is given, to the server on this machine, or to a throwaway one.
set -euo pipefail

reachable() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

find_binaries() {
  local directory
  for directory in "$(dirname "$(command -v initdb 2>/dev/null || echo /none/initdb)")" /usr/lib/postgresql/*/bin; do
    if [ -x "$directory/initdb" ]; then echo "$directory"; return; fi
  done
  return 1
}

as_owner() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

if [ -z "${SKYTALE_TEST_POSTGRES:-}" ] && ! reachable 5432; then
  if ! find_binaries >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing PostgreSQL for the tests" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y postgresql >&2
  fi
  if binaries=$(find_binaries); then
    data=$(mktemp -d)
    [ "$(id -u)" = 0 ] && chown postgres "$data"
    port=54329
    as_owner "$binaries/initdb" -D "$data/db" -U postgres -A trust >/dev/null
    as_owner "$binaries/pg_ctl" -D "$data/db" -w -o "-p $port -k $data -c listen_addresses=127.0.0.1" -l "$data/log" start >/dev/null
    trap 'as_owner "$binaries/pg_ctl" -D "$data/db" -m immediate stop >/dev/null; rm -rf "$data"' EXIT
    export SKYTALE_TEST_POSTGRES="postgres://postgres@127.0.0.1:$port/postgres"
  else
    echo "SKIPPED: the PostgreSQL tests; install PostgreSQL, or set SKYTALE_TEST_POSTGRES" >&2
  fi
fi
"$@"
