#!/usr/bin/env bash
# The figures of docs/PERFORMANCE.md, in one run: starts a private stack, measures it beside its floors, stops it.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins --locked --quiet
cargo build --release -p carillon-backplane --example append_floor --locked --quiet
bin=target/release
data=$(mktemp -d)
trap '$bin/carillon down --data "$data" >/dev/null 2>&1 || true; rm -rf "$data"' EXIT
$bin/carillon up --detach --json --no-demo --gateways 1 --data "$data" >"$data/stack.out"
field() { python3 -c "import json,sys; s=json.load(open('$data/stack.out')); print($1)"; }
gateway=$(field "s['gateways'][0].replace('http', 'ws', 1) + '/v1/ws'")
measure() { echo; echo "\$ carillon-loadtest $*"; "$bin/carillon-loadtest" "$@" --stack "$data/stack.out" --gateway "$gateway"; }

measure idle --connections 15000 --seconds 5
measure fanout --connections 2000 --tenants 1 --rate 40 --seconds 15 --floor
measure fanout --connections 1000 --tenants 1 --rate 500 --seconds 15
measure fanout --connections 500 --tenants 50 --rate 200 --seconds 15
measure publish --connections 64 --tenants 64 --seconds 8
echo
echo "the append statement alone, same database, same driver"
for shape in "100 2 64" "1 64 64"; do
    # shellcheck disable=SC2086
    $bin/examples/append_floor "$(field "s['database_url']")" $shape 6
done
