#!/bin/sh
# A tour: a server, two accounts, an invite, a talk, and a key that is revoked. Needs the two programs, which
# `cargo build -p skytale-server -p skytale-cli` makes; everything it leaves is in a directory of its own.
set -eu

programs=${1:-${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/debug}
programs=$(cd "$programs" && pwd)
here=$(mktemp -d)
trap 'kill $server ${receiver:-} 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$here"' EXIT
cd "$here"

step() { printf '\n$ %s\n' "$*" >&2; "$@"; }
alice() { "$programs/skytale" --home alice "$@"; }
bob() { "$programs/skytale" --home bob "$@"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }
# Waits up to $1 seconds until the rest succeeds.
within() {
    tries=$(($1 * 10)); shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "did not happen in time: $*" >&2; return 1; }
        sleep 0.1
    done
}

printf '$ skytale-server\n'
"$programs/skytale-server" --grpc-listen-addr 127.0.0.1:0 --quic-listen-addr 127.0.0.1:0 \
    --health-listen-addr 127.0.0.1:0 >server.txt 2>server.log &
server=$!
within 20 grep -q 'http listening' server.txt
cat server.txt
http=$(sed -n 's/.*http listening on \([^ ]*\).*/\1/p' server.txt)
quic=$(sed -n 's/.*quic listening on \([^ ]*\).*/\1/p' server.txt)
where="--api http://$http --relay quic://$quic --trust data/quic_cert.pem"

step alice signup --email alice@example.org --agent acme/agents/alice $where
step bob signup --email bob@example.com --agent globex/agents/bob $where
[ "$(stat -c %a alice/credentials.toml)" = 600 ]

step alice channel create acme/team/plans
if bob channel create acme/team/plans 2>refused.txt; then echo "bob took alice's channel" >&2; exit 1; fi
cat refused.txt
invite=$(step alice channel invite acme/team/plans)
echo "$invite" | cut -c 1-12

alice --json receive acme/team/plans >heard.txt 2>cut.txt &
receiver=$!
step bob channel join acme/team/plans "$invite"
step bob channel members acme/team/plans
for word in one two three; do step bob send acme/team/plans "$word"; done
within 60 grep -q three heard.txt
grep '"message"' heard.txt

step alice usage
step bob usage
step bob --json usage | grep -q '"messages_relayed":3'

key=$(alice --json keys list | field id)
began=$(date +%s)
step alice keys revoke "$key"
within 30 grep -q 'cut off' cut.txt
echo "alice was cut off within $(($(date +%s) - began + 1)) s: $(cat cut.txt)"
if alice usage 2>refused.txt; then echo "the revoked key still works" >&2; exit 1; fi
cat refused.txt
