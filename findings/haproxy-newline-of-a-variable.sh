#!/usr/bin/env bash
# HAProxy: a line break that comes out of a variable is written as %0A, also in a body (lf-string); one that stands in the line itself is not.
#
# A log-format escapes control characters of what it inserts, because logs are what it was made for, and a body made of it is escaped the
# same way. An event stream kept in a variable therefore arrives as one line. Keep each line in a variable of its own, and write the breaks
# between them into the lf-string.
#
# Needs: haproxy (Debian 12: apt-get install haproxy; seen with 2.6.12), python3, curl. Ends with 0 while this is so, else with 1.
set -euo pipefail

work=$(mktemp -d)
pid=
finish() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
haproxy -v | head -n 1

cat >"$work/haproxy.cfg" <<CONFIG
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:$port
  http-request set-var-fmt(txn.both) "one\ntwo"
  http-request set-var-fmt(txn.one) "one"
  http-request return status 200 content-type text/plain lf-string "%[var(txn.both)]" if { path /variable }
  http-request return status 200 content-type text/plain lf-string "%[var(txn.one)]\ntwo"
CONFIG
haproxy -db -f "$work/haproxy.cfg" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 50); do
  if curl -s "http://127.0.0.1:$port/" >/dev/null; then break; fi
  sleep 0.1
done

variable=$(curl -s "http://127.0.0.1:$port/variable")
line=$(curl -s "http://127.0.0.1:$port/line")
echo "out of a variable: ${variable@Q}; written in the line: ${line@Q}"
[ "$variable" = 'one%0Atwo' ] && [ "$line" = $'one\ntwo' ]
