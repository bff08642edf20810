#!/usr/bin/env bash
# Which clients of WebSockets and event streams can use Carillon, and what does each need?
#
#   loadtest/clients/run.sh [NAME|LANGUAGE|sockets|streams...]
#
# Builds some eighty clients that nobody here wrote (below target/clients; Debian's through apt, as root), starts a stack of its
# own from target/debug (or CARILLON_BIN) and lets each use it. Once all have been seen docs/CLIENTS.md is written; whoever names some renews their lines. The last line is
# `N passed, N failed`; exit code 1 when one failed. Outside the gate: the first run takes half an hour. Of JavaScript, Python, Go, Java, Kotlin and
# Rust only those are built that are named, if nothing else is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${CARILLON_BIN:-$root/target/debug}
export CARILLON_CLIENTS=$here CARILLON_CLIENTS_BUILD=$root/target/clients
build=$CARILLON_CLIENTS_BUILD
work=$(mktemp -d)
stack_up=

finish() {
    [[ -n $stack_up ]] && "$bin/carillon" --data "$work/stack" down >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "clients: $*" >&2
    exit 1
}

# Whether NAME's build is older than what it is made of.
stale() {
    local name=$1
    shift
    [[ ! -f $build/$name.built ]] || [[ -n $(find "$@" -newer "$build/$name.built" -type f -not -path '*/node_modules/*' -print -quit) ]]
}

wanted=("$@")
# Whether a client in one of these languages may be wanted.
wants() {
    local word
    [[ ${#wanted[@]} -gt 0 ]] || return 0
    for word in "${wanted[@]}"; do
        case $word in
        JavaScript | Python | Go | Java | Kotlin | Rust) [[ " $* " != *" $word "* ]] || return 0 ;;
        *) return 0 ;;
        esac
    done
    return 1
}

for name in cargo go java mvn node npm python3; do
    command -v "$name" >/dev/null || fail "$name is missing; it builds or runs some of the clients"
done
mkdir -p "$build"
if wants JavaScript && stale node "$here/node/package.json"; then
    (cd "$here/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
    touch "$build/node.built"
fi
if wants Python && stale python "$here/python/requirements.txt"; then
    python3 -m venv "$build/python"
    "$build/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt" >&2
    # Two libraries have a module of the same name.
    "$build/python/bin/pip" install --quiet --disable-pip-version-check --target "$build/python-sseclient" sseclient==0.0.27 >&2
    touch "$build/python.built"
fi
if wants Go && stale go "$here/go"; then
    (cd "$here/go" && mkdir -p "$build/go" && go build -o "$build/go/" ./gorilla ./coder ./gobwas ./gws ./fasthttp ./nbio ./xnet ./streams) >&2
    touch "$build/go.built"
fi
if wants Java Kotlin && stale java "$here/java"; then
    mvn -q -f "$here/java/pom.xml" -DbuildDirectory="$build/java" compile dependency:build-classpath -Dmdep.outputFile="$build/classpath" >&2
    touch "$build/java.built"
fi
if wants Rust && stale rust "$here/rust/src" "$here/rust/Cargo.toml" "$here/rust/Cargo.lock"; then
    cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" --target-dir "$build/rust" >&2
    touch "$build/rust.built"
fi
if wants Debian && stale debian "$here/debian"; then
    packages=(chromium dbus firefox-esr g++ ghc libanyevent-websocket-client-perl libboost-dev libghc-case-insensitive-dev
        libghc-websockets-dev libmojolicious-perl libpoco-dev libsoup-3.0-dev libwebkit2gtk-4.1-0 libwebsocketpp-dev libwebsockets-dev
        mono-mcs mono-runtime pkg-config ruby ruby-faye-websocket tcl tcllib xauth xvfb)
    missing=()
    for name in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    if [[ ${#missing[@]} -gt 0 ]]; then
        [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "missing: ${missing[*]}"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
    mkdir -p "$build/debian"
    (
        cd "$here/debian"
        # shellcheck disable=SC2046
        gcc -O1 -w soup.c -o "$build/debian/soup" $(pkg-config --cflags --libs libsoup-3.0)
        gcc -O1 -w lws.c -o "$build/debian/lws" -lwebsockets -lpthread
        g++ -O0 -w -std=c++17 beast.cpp -o "$build/debian/beast" -lpthread
        g++ -O0 -w -std=c++14 -DBOOST_ERROR_CODE_HEADER_ONLY websocketpp.cpp -o "$build/debian/websocketpp" -lpthread -lz
        g++ -O0 -w -std=c++17 poco.cpp -o "$build/debian/poco" -lPocoNet -lPocoFoundation -lpthread
        mcs Mono.cs -out:"$build/debian/mono.exe"
        ghc -v0 -O0 -threaded -outputdir "$build/debian/haskell.o" Websockets.hs -o "$build/debian/haskell"
    ) >&2
    touch "$build/debian.built"
fi
CARILLON_CLIENTS_CLASSPATH=$build/java/classes:$(cat "$build/classpath" 2>/dev/null || true)
export CARILLON_CLIENTS_CLASSPATH

for name in carillon carillon-gateway carillon-publisher; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make debug"
done
stack_up=yes
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo --gateways 1 >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the stack did not start"; }
field() { node -e 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); console.log(eval(process.argv[2]))' "$work/stack.json" "$1"; }

export CARILLON_GATEWAYS CARILLON_BALANCER CARILLON_PIDS CARILLON_PUBLISHER CARILLON_API_KEY CARILLON_TENANT CARILLON_TOKEN
export CARILLON_GATEWAY_PROGRAM CARILLON_GATEWAY_ENVIRONMENT
CARILLON_GATEWAYS=$(field 's.gateways.map((u) => u.replace("http", "ws") + "/v1/ws").join(",")')
CARILLON_BALANCER=$(field s.lb)
CARILLON_PIDS=$(field 'JSON.stringify(s.pids)')
CARILLON_PUBLISHER=$(field s.publisher)
CARILLON_API_KEY=$(field s.api_key)
CARILLON_TENANT=clients
CARILLON_TOKEN=$("$bin/carillon" --data "$work/stack" token --tenant "$CARILLON_TENANT" --user tester --channel 'contact:*')
CARILLON_GATEWAY_PROGRAM=$bin/carillon-gateway
CARILLON_GATEWAY_ENVIRONMENT=$(field 'JSON.stringify({ DATABASE_URL: s.database_url, REDIS_URL: s.redis_url, CARILLON_JWT_SECRET: s.jwt_secret, CARILLON_ALLOWED_ORIGINS: "*", CARILLON_DRAIN_DELAY_MS: "0", CARILLON_DRAIN_MS: "0" })')

export CARILLON_CLIENTS_TABLE=$root/docs/CLIENTS.md
node "$here/drive.mjs" "$@"
