#!/usr/bin/env bash
# Traefik 3.7.13 tries rules of one length in any order: Path(`/v1/sse`) and PathPrefix(`/`) have 15 characters each.
#
# A router without `priority` has the length of its rule for one, so a longer rule goes first, which mostly is the narrower one. Here it is
# not longer, and after each start another of the two gets the request. Needs loadtest/proxies/install.sh, which builds Traefik.
# Exit code 0: both got it in twelve starts. 1: it behaves otherwise now.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/loadtest/proxies/install.sh" "$root/target/proxies"
work=$(mktemp -d)
traefik=
trap 'kill $traefik 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >static.yml <<YAML
log: { level: ERROR }
entryPoints: { web: { address: "127.0.0.1:$port" } }
providers: { file: { filename: dynamic.yml } }
YAML
# Each router redirects, and so says which one it was.
cat >dynamic.yml <<'YAML'
http:
  routers:
    narrow: { rule: "Path(`/v1/sse`)", service: noop@internal, middlewares: [narrow] }
    wide: { rule: "PathPrefix(`/`)", service: noop@internal, middlewares: [wide] }
  middlewares:
    narrow: { redirectRegex: { regex: ".*", replacement: "http://narrow/" } }
    wide: { redirectRegex: { regex: ".*", replacement: "http://wide/" } }
YAML
seen=
for _ in $(seq 12); do
    "$root/target/proxies/bin/traefik" --configFile=static.yml &
    traefik=$!
    to=
    for _ in $(seq 100); do
        to=$(curl -s -o /dev/null -w '%{redirect_url}' "http://127.0.0.1:$port/v1/sse" || true)
        [[ -n $to ]] && break
        sleep 0.1
    done
    kill "$traefik"
    wait "$traefik" || true
    seen+="$to "
done
echo "$seen"
[[ $seen == *http://narrow/* && $seen == *http://wide/* ]]
