#!/usr/bin/env bash
# Do the client and the server library keep their promises in Bun, Deno, the newest Node and a Worker?
#
# Fetches the runtimes from npm into target/web-runtimes, then runs runtimes.test.ts in each. One that cannot be fetched is said and
# skipped; exit code 1 when a test failed, or when there was no runtime at all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -d ../target/web-node/node_modules/.bin ]] && PATH=$(cd ../target/web-node/node_modules/.bin && pwd):$PATH
[[ -f client/dist/index.js && -f server/dist/index.js && -d node_modules ]] || {
    echo "runtimes: run \`make web\` first" >&2
    exit 1
}
folder=../target/web-runtimes
mkdir -p "$folder"
[[ -f $folder/package.json ]] || echo '{ "private": true }' >"$folder/package.json"
for package in bun@1.4.5 deno@2.9.6 node@26 miniflare@4; do
    name=${package%@*}
    [[ -x $folder/node_modules/.bin/$name ]] && continue
    npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$package" >/dev/null ||
        echo "runtimes: $name could not be fetched; its tests did not run"
done
CARILLON_RUNTIMES=$(cd "$folder/node_modules/.bin" && pwd) npx vitest run --root runtimes
