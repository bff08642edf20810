#!/usr/bin/env bash
# Traefik 3.7.13 answers 200 where its retry middleware has discarded a 503, if the service's flushInterval is negative.
#
# `retry.status: ["503"]` holds back what it will try again, but hands every flush on to the client's connection; with
# `responseForwarding.flushInterval: -1ms` (often advised for event streams) the first flush sends a head of 200, and the status of the
# next try comes too late, be it 503 or 101. Without flushInterval the client gets the last 503.
# Needs loadtest/proxies/install.sh, which builds Traefik. Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/loadtest/proxies/install.sh" "$root/target/proxies"
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

cat >busy.py <<'PYTHON'
import http.server
import sys


class Busy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"busy")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Busy).serve_forever()
PYTHON
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
backend=$(free)
python3 busy.py "$backend" &
pids+=($!)

# answer FORWARDING: what a client gets
answer() {
    local port
    port=$(free)
    cat >static.yml <<YAML
log: { level: ERROR }
entryPoints: { web: { address: "127.0.0.1:$port" } }
providers: { file: { filename: dynamic.yml } }
YAML
    cat >dynamic.yml <<YAML
http:
  routers: { all: { rule: "PathPrefix(\`/\`)", service: busy, middlewares: [again] } }
  middlewares: { again: { retry: { attempts: 3, status: ["503"] } } }
  services: { busy: { loadBalancer: { servers: [{ url: "http://127.0.0.1:$backend" }]$1 } } }
YAML
    "$root/target/proxies/bin/traefik" --configFile=static.yml &
    local traefik=$!
    pids+=("$traefik")
    for _ in $(seq 100); do
        status=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/" || true)
        [[ $status != 000 && $status != 404 ]] && break
        sleep 0.1
    done
    kill "$traefik"
    echo "$status"
}

without=$(answer '')
with=$(answer ', responseForwarding: { flushInterval: -1ms }')
echo "without flushInterval: $without; with -1ms: $with"
[[ $without == 503 && $with == 200 ]]
