#!/usr/bin/env bash
# Which clients of Socket.IO can use Carillon, unchanged?
#
#   loadtest/socketio/run.sh [NAME|LANGUAGE...]
#
# Builds clients that nobody here wrote (below target/socketio), starts a stack of its own from target/debug (or CARILLON_BIN), two gateways
# behind a balancer, and lets each client use them. Once all have been seen docs/SOCKETIO.md is written; whoever names some renews their
# lines. SIO_CHECKS=polling,killed runs some checks, SIO_TALK=1 prints what clients tell. The last line is `N passed, N failed`; exit code 1
# when one failed. Outside the gate: the first run takes a quarter of an hour.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${CARILLON_BIN:-$root/target/debug}
export CARILLON_SOCKETIO=$here CARILLON_SOCKETIO_BUILD=$root/target/socketio
build=$CARILLON_SOCKETIO_BUILD
work=$(mktemp -d)
stack_up=

finish() {
    [[ -n $stack_up ]] && "$bin/carillon" --data "$work/stack" down >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "socketio: $*" >&2
    exit 1
}

# Whether NAME's build is older than what it is made of.
stale() {
    local name=$1
    shift
    [[ ! -f $build/$name.built ]] || [[ -n $(find "$@" -newer "$build/$name.built" -type f -not -path '*/node_modules/*' -print -quit) ]]
}

for name in cargo go java mvn node npm python3; do
    command -v "$name" >/dev/null || fail "$name is missing; it builds or runs some of the clients"
done
mkdir -p "$build"
if stale node "$here/node/package.json"; then
    (cd "$here/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
    touch "$build/node.built"
fi
if stale python "$here/python/requirements.txt"; then
    python3 -m venv "$build/python"
    "$build/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt" >&2
    touch "$build/python.built"
fi
if stale go "$here/go"; then
    (cd "$here/go" && mkdir -p "$build/go" && go build -o "$build/go/pipe" .) >&2
    touch "$build/go.built"
fi
if stale java "$here/java"; then
    mvn -q -f "$here/java/pom.xml" -DbuildDirectory="$build/java" compile dependency:build-classpath -Dmdep.outputFile="$build/classpath" >&2
    touch "$build/java.built"
fi
if stale rust "$here/rust/src" "$here/rust/Cargo.toml" "$here/rust/Cargo.lock"; then
    cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" --target-dir "$build/rust" >&2
    touch "$build/rust.built"
fi
CARILLON_SOCKETIO_CLASSPATH=$build/java/classes:$(cat "$build/classpath")
export CARILLON_SOCKETIO_CLASSPATH

for name in carillon carillon-gateway carillon-publisher; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make debug"
done
stack_up=yes
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo --gateways 1 >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the stack did not start"; }
field() { node -e 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); console.log(eval(process.argv[2]))' "$work/stack.json" "$1"; }

export CARILLON_GATEWAYS CARILLON_BALANCER CARILLON_PIDS CARILLON_PUBLISHER CARILLON_API_KEY CARILLON_TENANT CARILLON_TOKEN
export CARILLON_GATEWAY_PROGRAM CARILLON_GATEWAY_ENVIRONMENT CARILLON_JWT_SECRET
CARILLON_GATEWAYS=$(field 's.gateways.map((u) => u.replace("http", "ws") + "/v1/ws").join(",")')
CARILLON_BALANCER=$(field s.lb)
CARILLON_PIDS=$(field 'JSON.stringify(s.pids)')
CARILLON_PUBLISHER=$(field s.publisher)
CARILLON_API_KEY=$(field s.api_key)
CARILLON_JWT_SECRET=$(field s.jwt_secret)
CARILLON_TENANT=socketio
CARILLON_TOKEN=$("$bin/carillon" --data "$work/stack" token --tenant "$CARILLON_TENANT" --user tester --channel 'contact:*' --channel 'approvals:*')
CARILLON_GATEWAY_PROGRAM=$bin/carillon-gateway
CARILLON_GATEWAY_ENVIRONMENT=$(field 'JSON.stringify({ DATABASE_URL: s.database_url, REDIS_URL: s.redis_url, CARILLON_JWT_SECRET: s.jwt_secret, CARILLON_ALLOWED_ORIGINS: "*", CARILLON_PUBLISHER_URL: s.publisher, CARILLON_DRAIN_DELAY_MS: "0", CARILLON_DRAIN_MS: "0" })')

export CARILLON_SOCKETIO_TABLE=$root/docs/SOCKETIO.md
node "$here/drive.mjs" "$@"
