#!/usr/bin/env bash
# Do the libraries for pages build, and do their tests pass?
#
# Installs exactly what the lock file says, builds, checks formats and types, runs every workspace's tests. The last line is
# `web: N passed, N failed`; exit code 1 when something failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false npm_config_loglevel=error

fail() {
    echo "web: $*" >&2
    exit 1
}

# Node 20.19 or newer: the machine's, else a package's.
new_enough() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}
packaged=../target/web-node
[[ -d $packaged/node_modules/.bin ]] && PATH=$(cd "$packaged/node_modules/.bin" && pwd):$PATH
if ! new_enough; then
    if ! command -v npm >/dev/null && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm >/dev/null || true
    fi
    if ! new_enough && command -v npm >/dev/null; then
        mkdir -p "$packaged"
        npm install --no-save --prefix "$packaged" node@24.21.0 >&2 || true
        [[ -d $packaged/node_modules/.bin ]] && PATH=$(cd "$packaged/node_modules/.bin" && pwd):$PATH
    fi
    new_enough || fail "Node 20.19 or newer and npm are needed to build the libraries for pages; nothing else of Carillon needs them"
fi

# Pages are tested in a real browser.
chromium=${CARILLON_CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [[ -z $chromium && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null || true
    chromium=$(command -v chromium || true)
fi
[[ -n $chromium ]] || fail "chromium is missing; install it (Debian: apt-get install chromium)"
export CARILLON_CHROMIUM=$chromium

if [[ ! -f node_modules/.carillon || package-lock.json -nt node_modules/.carillon ]]; then
    npm ci >&2
    touch node_modules/.carillon
fi
npm run --silent build
npm run --silent check
exec node test.mjs "$@"
