#!/usr/bin/env bash
# Do the gateway's codecs pass the protocols' own test suites, unmodified?
#
#   SOCKETIO_SUITES=FOLDER loadtest/socketio/suites.sh [ROUNDS]
#
# FOLDER is a checkout of the repository socketio/socket.io, which holds the suites below docs/ (no package registry does): Engine.IO v4, 25
# cases, and Socket.IO v5, 32. Both run against gateway/examples/socketio_suite on port 3000, ROUNDS times (20). The last line is
# `N passed, N failed`; exit code 1 when one failed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rounds=${1:-20}
suites=${SOCKETIO_SUITES:-}
server=${CARILLON_SUITE_SERVER:-}
pid=
finish() { [[ -z $pid ]] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true; }
trap finish EXIT

fail() {
    echo "suites: $*" >&2
    exit 1
}

[[ -d $suites/docs/engine.io-protocol/v4-test-suite ]] ||
    fail "SOCKETIO_SUITES names no checkout of socketio/socket.io (with docs/engine.io-protocol/v4-test-suite); no registry holds the suites, so they are not run"
if [[ -z $server ]]; then
    cargo build --quiet --locked --manifest-path "$root/Cargo.toml" -p carillon-gateway --example socketio_suite
    server=$root/target/debug/examples/socketio_suite
fi
"$server" 3000 &
pid=$!
passed=0 failed=0
for suite in engine.io-protocol/v4-test-suite socket.io-protocol/v5-test-suite; do
    cd "$suites/docs/$suite"
    [[ -d node_modules ]] || npm ci --no-audit --no-fund --loglevel=error >&2
    for ((round = 1; round <= rounds; round++)); do
        kill -0 "$pid" || fail "the server ended"
        told=$(npx mocha test-suite.js --exit 2>&1) || true
        one=$(grep -oE '[0-9]+ passing' <<<"$told" | grep -oE '[0-9]+' || echo 0)
        bad=$(grep -oE '[0-9]+ failing' <<<"$told" | grep -oE '[0-9]+' || echo 0)
        ((one > 0)) || bad=1
        passed=$((passed + one)) failed=$((failed + bad))
        ((bad == 0)) || echo "$told"
    done
    echo "$suite: $rounds rounds"
done
echo "$passed passed, $failed failed"
((failed == 0))
