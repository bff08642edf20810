#!/usr/bin/env bash
# Does every client of Socket.IO get every event once, though each is away for two seconds in every fifteen?
#
#   loadtest/socketio/jitter.sh [CLIENTS [SECONDS [EVENTS_A_SECOND]]]
#
# Lets that many unchanged clients (socket.io-client; 10,000 for 60 s with 2 events a second) connect to two gateways of a stack of its own from target/release (or
# CARILLON_BIN), breaks each one's line every fifteen seconds, has it come back to the other node after two, and counts what each has got. The
# last line says what was seen; exit code 1 when an event is missing or came twice. Six minutes at most. Outside the gate.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${CARILLON_BIN:-$root/target/release}
work=$(mktemp -d)
stack_up=

finish() {
    [[ -n $stack_up ]] && "$bin/carillon" --data "$work/stack" down >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "jitter: $*" >&2
    exit 1
}

command -v node >/dev/null && command -v npm >/dev/null || fail "node and npm are needed"
for name in carillon carillon-gateway carillon-publisher; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make build"
done
[[ -d $here/node/node_modules/socket.io-client-4.8 ]] ||
    (cd "$here/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
ulimit -n "$(ulimit -Hn)"
stack_up=yes
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo --gateways 2 >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the stack did not start"; }
CARILLON_TOKEN=$("$bin/carillon" --data "$work/stack" token --tenant jitter --user somebody --channel 'jitter:*')
export CARILLON_TOKEN
timeout 360 node "$here/jitter.mjs" "$work/stack.json" "${1:-10000}" "${2:-60}" "${3:-2}"
