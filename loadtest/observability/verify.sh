#!/usr/bin/env bash
# Do rules, alerts and dashboards work, on paper and on a running system?
#
#   loadtest/observability/verify.sh [--static] [--bin DIR] [--keep DIR]
#
# On paper: promtool checks and unit-tests everything in deploy/prometheus; rules, alerts, tests, runbooks, dashboards and
# docs/METRICS.md must agree. On a running system (not with --static): a stack of its own, two gateways more with canaries, load,
# a lost Redis connection, an evacuation and a drain, all scraped by a real Prometheus; then every rule and every dashboard
# query must have data. Prometheus comes out of Debian's package, unpacked into target/tools: nothing is installed and no
# service starts. --bin takes Carillon's binaries from elsewhere than target/release; --keep keeps logs and the data.
# The last line is `N passed, M failed`; exit code 1 when one failed, 2 when nothing could be run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
config=$root/deploy/prometheus
tools=$root/target/tools/prometheus
bin=$root/target/release
live=yes
work=
while (($#)); do
    case $1 in
        --static) live= ;;
        --bin) bin=$2 && shift ;;
        --keep) work=$2 && shift ;;
        *) echo "observability: unknown option $1" >&2 && exit 64 ;;
    esac
    shift
done

keep=$work
work=${work:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
pids=()
stack=

finish() {
    local one
    for one in "${pids[@]}"; do kill "$one" 2>/dev/null || true; done
    for one in "${pids[@]}"; do wait "$one" 2>/dev/null || true; done
    [[ -z $stack ]] || "$bin/carillon" down --data "$stack" >/dev/null 2>&1 || true
    [[ -n $keep ]] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { echo "observability: $*" >&2; }
fail() {
    say "$*"
    exit 2
}

passed=0
failed=0
check() { # NAME COMMAND…: holds when the command succeeds; its last words are shown when not
    local name=$1
    shift
    if "$@" >"$work/check.out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        tail -n 30 "$work/check.out" | sed 's/^/       /'
    fi
}
many() { # COMMAND…: it counts by itself and says `N passed, M failed` in the end
    local counted
    "$@" >"$work/many.out" 2>&1 || true
    counted=$(tail -n 1 "$work/many.out")
    if [[ $counted =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        sed '$d' "$work/many.out"
    else
        failed=$((failed + 1))
        echo "FAILED $* ended before it could say how many checks hold"
        tail -n 20 "$work/many.out" | sed 's/^/       /'
    fi
}

# --- tools ------------------------------------------------------------------------------------------------------------

command -v node >/dev/null || fail "node is missing (20 or newer)"
get_prometheus() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return
    mkdir -p "$tools"
    (
        cd "$tools"
        # Its lists may be old or empty; only root may fetch new ones.
        [[ $(id -u) != 0 ]] || apt-get update -qq
        apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb
    ) >"$work/apt.log" 2>&1
}
prometheus=$(command -v prometheus || echo "$tools/usr/bin/prometheus")
promtool=$(command -v promtool || echo "$tools/usr/bin/promtool")
[[ -x $prometheus && -x $promtool ]] || get_prometheus ||
    { tail -n 3 "$work/apt.log" >&2 || true; fail "Prometheus is missing, and Debian's package could not be had"; }

# --- on paper ---------------------------------------------------------------------------------------------------------

say "$("$promtool" --version 2>&1 | head -n 1)"
for file in "$config"/prometheus*.yml; do
    # Debian builds Prometheus without Kubernetes: there everything but the discovery itself is checked, beside its rules.
    if { "$promtool" check config "$file" 2>&1 || true; } | grep -q 'field kubernetes_sd_configs not found'; then
        say "kubernetes_sd_configs could not be checked: this promtool was built without Kubernetes"
        cp "$config/rules.yml" "$config/alerts.yml" "$work/"
        sed 's/kubernetes_sd_configs: .*/static_configs: [{ targets: [localhost:9080] }]/' "$file" >"$work/${file##*/}"
        file=$work/${file##*/}
    fi
    check "promtool check config ${file##*/}" "$promtool" check config "$file"
done
check "promtool check rules" "$promtool" check rules "$config/rules.yml" "$config/alerts.yml"
for file in "$config"/tests/*.yml; do
    check "promtool test rules ${file##*/}" "$promtool" test rules "$file"
done
many node "$here/static.mjs"
if [[ -z $live ]]; then
    echo "$passed passed, $failed failed"
    [[ $failed == 0 ]]
    exit
fi

# --- a running system -------------------------------------------------------------------------------------------------

for name in carillon carillon-gateway carillon-publisher carillon-loadtest; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make build"
done
command -v curl >/dev/null || fail "curl is missing"
within() { # SECONDS COMMAND…: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
field() { node -p 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); eval(process.argv[2])' "$work/stack.json" "$1"; }
# Below the ports that the system gives to outgoing connections: one of those could take it before it is listened on.
free_port() { node -e 'const net = require("net"), look = () => { const port = 10000 + Math.floor(Math.random() * 22000), s = net.createServer().on("error", look).listen(port, "127.0.0.1", () => s.close(() => console.log(port))) }; look()'; }

say "starting a stack"
stack=$work/stack
"$bin/carillon" up --detach --json --no-demo --gateways 2 --data "$stack" >"$work/stack.json" 2>"$work/up.log" ||
    { tail -n 3 "$work/up.log" >&2; fail "the stack did not start"; }
publisher=$(field s.publisher)
key=$(field s.api_key)
targets=$(field 's.ops.slice(0, s.gateways.length).map((u) => new URL(u).host).join(", ")')
publisher_target=$(field 's.ops.slice(s.gateways.length).map((u) => new URL(u).host).join(", ")')
# The first two are the stack's, then the two that are started here.
gateways=$(field 's.gateways.map((u) => `--gateway ${u.replace("http", "ws")}/v1/ws`).join(" ")')

more_gateway() { # NAME VARIABLE=VALUE…: sets pid, port and ops
    local name=$1
    shift
    port=$(free_port) ops=$(free_port)
    env -i PATH="$PATH" DATABASE_URL="$(field s.database_url)" REDIS_URL="$(field s.redis_url)" \
        CARILLON_JWT_SECRET="$(field s.jwt_secret)" CARILLON_NODE="$name" \
        CARILLON_LISTEN="127.0.0.1:$port" CARILLON_OPS_LISTEN="127.0.0.1:$ops" \
        CARILLON_CANARY_PUBLISH_URL="$publisher" CARILLON_CANARY_INTERVAL_MS=1000 "$@" \
        "$bin/carillon-gateway" serve >"$work/$name.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    within 20 curl -sf "http://127.0.0.1:$ops/readyz" || { tail -n 3 "$work/$name.log" >&2; fail "$name did not become ready"; }
    targets="$targets, 127.0.0.1:$ops"
    gateways="$gateways --gateway ws://127.0.0.1:$port/v1/ws"
}
more_gateway stayer
stayer=http://127.0.0.1:$ops
more_gateway leaver CARILLON_DRAIN_DELAY_MS=1000 CARILLON_DRAIN_MS=6000
leaver=$pid

# The committed configuration with this system's addresses, asked every second; long windows are recorded as often as short ones.
mkdir -p "$work/prometheus"
for file in rules.yml alerts.yml; do sed 's/^    interval: .*/    interval: 1s/' "$config/$file" >"$work/prometheus/$file"; done
sed -e "s/gateway-1:9080, gateway-2:9080/$targets/" -e "s/publisher-1:9081/$publisher_target/" \
    -e 's/\(scrape\|evaluation\)_interval: .*/\1_interval: 1s/' "$config/prometheus.static.yml" >"$work/prometheus/prometheus.yml"
check "the addresses are put in" bash -c "! grep -E '(gateway|publisher)-1:' '$work/prometheus/prometheus.yml'"
web=$(free_port)
"$prometheus" --config.file="$work/prometheus/prometheus.yml" --storage.tsdb.path="$work/prometheus/data" \
    --web.listen-address="127.0.0.1:$web" --log.level=warn >"$work/prometheus.log" 2>&1 &
pids+=($!)
within 20 curl -sf "http://127.0.0.1:$web/-/ready" || { tail -n 3 "$work/prometheus.log" >&2; fail "Prometheus did not become ready"; }

# --- load -------------------------------------------------------------------------------------------------------------

token=$("$bin/carillon" --data "$stack" token)
gateway=$(field 's.gateways[0]')
api() { curl -s -o /dev/null -H "Authorization: Bearer $key" -H 'Content-Type: application/json' "$@" || true; }
# Everything a client may ask for, also what it should not.
odd_requests() {
    local upgrade=(-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
    curl -s -o /dev/null "${upgrade[@]}" "$gateway/v1/ws?token=nonsense" || true
    curl -s -o /dev/null --max-time 1 "$gateway/v1/sse?token=$token" || true
    curl -s -o /dev/null --max-time 1 "$gateway/v1/poll?token=$token" || true
    api -d '{"tenant":"studio-nova","type":"appointment.created","data":{}}' "$publisher/v1/events"
    api -d '{"tenant":"studio-nova"}' "$publisher/v1/events"
    api "$publisher/v1/events?tenant=studio-nova"
    api "$publisher/openapi.json"
    curl -s -o /dev/null -d '{}' "$publisher/v1/events" || true
}
measure() { # WHAT ARGUMENTS…: load; whether it found anything is another suite's question
    "$bin/carillon-loadtest" --json "$@" >"$work/$1.json" 2>"$work/$1.log" || true
    [[ -s $work/$1.json ]] || say "$1 could not measure: $(tail -n 1 "$work/$1.log" | cut -c 1-200)"
}

say "a minute of load"
began=$SECONDS
"$bin/carillon" --data "$stack" tail --json >"$work/tail.log" 2>&1 &
pids+=($!)
# shellcheck disable=SC2086 # $gateways is a list of arguments.
measure fanout --stack "$work/stack.json" $gateways --connections 400 --tenants 5 --rate 40 --seconds 18 &
fanout=$!
sleep 4
odd_requests
sleep 4
# Redis cuts every subscriber: a message lost meanwhile is found by its number and read from the log.
redis=$(field 'const u = new URL(s.redis_url); `${u.hostname}/${u.port}`')
for _ in 1 2 3; do
    (exec 3<>"/dev/tcp/$redis" && printf 'CLIENT KILL TYPE pubsub\r\n' >&3 && read -r -t 2 _ <&3) || true
    sleep 0.5
done
"$bin/carillon" --data "$stack" publish appointment.created '{"service":"Passport photo"}' --count 60 --rate 20 >"$work/publish.log" 2>&1 || true
wait "$fanout" || true
odd_requests
# shellcheck disable=SC2086
measure jitter --stack "$work/stack.json" $gateways --clients 300 --processes 1 --tenants 5 --rate 20 --seconds 26 --every 6000 --away 1500 &
jitter=$!
sleep 7
"$bin/carillon-gateway" evacuate --pid "$leaver" || say "this gateway cannot be evacuated"
sleep 5
"$bin/carillon-gateway" return --pid "$leaver" || true
sleep 5
kill -TERM "$leaver"
sleep 2
curl -s -o /dev/null "http://127.0.0.1:$port/v1/poll?token=$token" || true
wait "$jitter" || true
odd_requests
while ((SECONDS - began < 65)); do sleep 1; done

# --- what Prometheus saw ----------------------------------------------------------------------------------------------

for target in $(field 's.ops.join(" ")') "$stayer"; do
    curl -sf "$target/metrics" >"$work/metrics" || : >"$work/metrics"
    check "$target answers with metrics" grep -q '^carillon_build_info' "$work/metrics"
    check "promtool check metrics ${target#*://}" bash -c "'$promtool' check metrics <'$work/metrics'"
done
curl -sf "$(field 's.ops[0]')/metrics/tenants" >"$work/metrics" || : >"$work/metrics"
check "tenants have series of their own" grep -q 'tenant=' "$work/metrics"
check "promtool check metrics of tenants" bash -c "'$promtool' check metrics <'$work/metrics'"
many node "$here/live.mjs" "http://127.0.0.1:$web"
check "Prometheus warned of nothing" bash -c "! grep -E 'level=(warn|error)' '$work/prometheus.log'"

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
