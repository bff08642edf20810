#!/usr/bin/env bash
# HAProxy: a second instance starts on a port that a first one already listens on, and says nothing; the two then share its connections.
#
# HAProxy sets SO_REUSEPORT on its listeners (that is how a reload takes over), and the kernel lets every process of the same user join.
# So "it started" does not mean "the port is mine". A plain bind without SO_REUSEPORT does fail, which is how a script can ask first.
#
# Needs: haproxy (Debian 12: apt-get install haproxy; seen with 2.6.12), python3, curl. Ends with 0 while this is so, else with 1.
set -euo pipefail

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
haproxy -v | head -n 1

for name in one two; do
  printf 'defaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\nfrontend f\n  bind 127.0.0.1:%s\n  http-request return status 200 content-type text/plain string "%s\\n"\n' \
    "$port" "$name" >"$work/$name.cfg"
  haproxy -db -f "$work/$name.cfg" >"$work/$name.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 50); do
    if curl -s "http://127.0.0.1:$port/" >/dev/null; then break; fi
    sleep 0.1
  done
done

python3 - "$port" <<'PYTHON' && asked=taken || asked=free
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind(("127.0.0.1", int(sys.argv[1])))
    sys.exit(1)
except OSError:
    pass
PYTHON

answers=$(for _ in $(seq 100); do curl -s "http://127.0.0.1:$port/"; done | sort | uniq -c | tr -s ' ' | paste -sd,)
alive=0
for pid in "${pids[@]}"; do if kill -0 "$pid" 2>/dev/null; then alive=$((alive + 1)); fi; done
echo "instances that run on 127.0.0.1:$port: $alive; a bind without SO_REUSEPORT finds it $asked; 100 requests were answered by:$answers"
[ "$alive" = 2 ] && [ "$asked" = taken ] && [[ $answers == *one* && $answers == *two* ]]
