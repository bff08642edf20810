#!/usr/bin/env bash
# Do clients that nobody here wrote get every event, in order and once?
#
# Starts a stack of its own (the binaries of target/debug, or target/release with --release), lets Node's ws, Python's
# websockets, Chromium, curl and the client of Socket.IO use it, and stops it. The last line is `N passed, N failed`; exit code 1 when one failed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
profile=debug
[[ ${1:-} == --release ]] && profile=release
bin=$root/target/$profile
work=$(mktemp -d)
strict_pid=
stack_up=

finish() {
    [[ -n $strict_pid ]] && kill "$strict_pid" 2>/dev/null && wait "$strict_pid" 2>/dev/null
    [[ -n $stack_up ]] && "$bin/carillon" --data "$work/stack" down >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
trap 'exit 141' PIPE

fail() {
    echo "interop: $*" >&2
    exit 1
}

install() {
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "$1 is missing; install it (Debian: apt-get install $1)"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null || fail "$1 is missing and apt-get could not install it"
}

for name in carillon carillon-gateway carillon-publisher; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: cargo build --workspace --bins"
done
command -v node >/dev/null || install nodejs
command -v npm >/dev/null || install npm
command -v python3 >/dev/null || install python3
command -v curl >/dev/null || install curl
chromium=$(command -v chromium || command -v chromium-browser || true)
if [[ -z $chromium ]]; then
    install chromium
    chromium=$(command -v chromium) || fail "chromium was installed but is not on the PATH"
fi

# The clients, of exactly the versions in the lock files.
modules=$here/node_modules
if [[ ! -f $modules/.carillon || $here/package-lock.json -nt $modules/.carillon ]]; then
    (cd "$here" && npm ci --no-audit --no-fund --loglevel=error) >&2
    touch "$modules/.carillon"
fi
venv=$root/target/interop-venv
if [[ ! -f $venv/.carillon || $here/requirements.txt -nt $venv/.carillon ]]; then
    python3 -m venv "$venv" || fail "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    touch "$venv/.carillon"
fi

stack_up=yes
# Three of the gateways are killed by checks.
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo --gateways 4 >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the stack did not start"; }
field() { node -e 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); console.log(eval(process.argv[2]))' "$work/stack.json" "$1"; }
# Below the ports that the system gives to outgoing connections: one of those could take it before it is listened on.
free_port() { node -e 'const net = require("net"), look = () => { const port = 10000 + Math.floor(Math.random() * 22000), s = net.createServer().on("error", look).listen(port, "127.0.0.1", () => s.close(() => console.log(port))) }; look()'; }

export CARILLON_GATEWAYS CARILLON_BALANCER CARILLON_PIDS CARILLON_PUBLISHER CARILLON_API_KEY CARILLON_PAGE_PORT CARILLON_STRICT_GATEWAY
CARILLON_GATEWAYS=$(field 's.gateways.map((u) => u.replace("http", "ws") + "/v1/ws").join(",")')
CARILLON_BALANCER=$(field s.lb)
CARILLON_PIDS=$(field 'JSON.stringify(s.pids)')
CARILLON_PUBLISHER=$(field s.publisher)
CARILLON_API_KEY=$(field s.api_key)
CARILLON_PAGE_PORT=$(free_port)
export CARILLON_CHROMIUM=$chromium

# One more gateway, which lets in the pages of one origin only.
strict_port=$(free_port)
ops_port=$(free_port)
env -i PATH="$PATH" \
    DATABASE_URL="$(field s.database_url)" REDIS_URL="$(field s.redis_url)" \
    CARILLON_JWT_SECRET="$(field s.jwt_secret)" CARILLON_NODE=gateway-strict \
    CARILLON_LISTEN="127.0.0.1:$strict_port" CARILLON_OPS_LISTEN="127.0.0.1:$ops_port" \
    CARILLON_ALLOWED_ORIGINS="http://localhost:$CARILLON_PAGE_PORT" \
    "$bin/carillon-gateway" serve >"$work/strict.log" 2>&1 &
strict_pid=$!
CARILLON_STRICT_GATEWAY=ws://127.0.0.1:$strict_port/v1/ws
ready='const ask = async (left) => (await fetch(process.argv[1]).catch(() => ({}))).ok ? 0
    : left ? new Promise((go) => setTimeout(go, 100)).then(() => ask(left - 1)) : 1
ask(150).then(process.exit)'
node -e "$ready" "http://127.0.0.1:$ops_port/readyz" ||
    { cat "$work/strict.log" >&2; fail "the gateway with an origin list did not become ready"; }

passed=0
failed=0
client() {
    local name=$1
    shift
    export CARILLON_TENANT=interop-$name CARILLON_RESULT=$work/$name.result
    CARILLON_TOKEN=$("$bin/carillon" --data "$work/stack" token --tenant "$CARILLON_TENANT" --user tester --channel 'contact:*')
    CARILLON_TOKEN_OF_TWO=$("$bin/carillon" --data "$work/stack" token --tenant "$CARILLON_TENANT" --user tester --role head --also "$CARILLON_TENANT-2=head")
    export CARILLON_TOKEN CARILLON_TOKEN_OF_TWO
    timeout 180 "$@" || true
    local result=(0 1)
    if [[ -s $CARILLON_RESULT ]]; then
        read -r -a result <"$CARILLON_RESULT"
    else
        echo "$name: ended before it could say how many checks hold"
    fi
    passed=$((passed + result[0]))
    failed=$((failed + result[1]))
}
client node node "$here/node.mjs"
client python "$venv/bin/python" "$here/python_client.py"
client chromium node "$here/chromium.mjs"
client curl node "$here/curl.mjs"
export CARILLON_PYTHON=$venv/bin/python

# What the checks before killed comes back; the page of the README kills one more.
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the killed gateways did not come back"; }
CARILLON_PIDS=$(field 'JSON.stringify(s.pids)')
export CARILLON_PROGRAM=$bin/carillon CARILLON_DATA=$work/stack CARILLON_JWT_SECRET
CARILLON_JWT_SECRET=$(field s.jwt_secret)
client page node "$here/first_page.mjs"
client authorize node "$here/authorize.mjs"
client webhooks node "$here/webhooks.mjs"
CARILLON_DATABASE_URL=$(field s.database_url)
export CARILLON_DATABASE_URL
client transactional node "$here/transactional.mjs"
client socketio node "$here/socketio.mjs"

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
