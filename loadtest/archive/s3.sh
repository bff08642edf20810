#!/usr/bin/env bash
# Does the archive work with a server that speaks S3? Starts one (moto, from the Python registry) on a free port of loopback and runs the
# test of devstack/tests/archive that kills publishers in the middle of a day, with a bucket in the place of a directory.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'moto[server]==5.2.5'
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$folder/log" 2>&1 &
server=$!
for _ in $(seq 100); do
  curl -s -o "$folder/answer" "http://127.0.0.1:$port/" && break
  sleep 0.2
done
curl -sf -o "$folder/answer" "http://127.0.0.1:$port/" || { cat "$folder/log"; exit 1; }
CARILLON_TEST_S3_ENDPOINT="http://127.0.0.1:$port" ${CARGO:-cargo} test -p carillon-devstack --test archive --locked -- dies
