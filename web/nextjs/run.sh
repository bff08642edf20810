#!/usr/bin/env bash
# Does a page of the newest Next.js (app router) come alive: rendered on the server, hydrated, in StrictMode?
#
# Fetches Next.js from npm into target/web-nextjs, installs the packages there as an application does, copies app/, then runs nextjs.test.ts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -d ../target/web-node/node_modules/.bin ]] && PATH=$(cd ../target/web-node/node_modules/.bin && pwd):$PATH
[[ -f client/dist/index.js && -f react/dist/index.js && -f server/dist/index.js && -d node_modules ]] || {
    echo "nextjs: run \`make web\` first" >&2
    exit 1
}
folder=../target/web-nextjs
mkdir -p "$folder"
rm -rf "$folder/app" "$folder/.next" "$folder"/node_modules/@carillon "$folder/package-lock.json"
echo '{ "private": true }' >"$folder/package.json"
cp -r nextjs/app nextjs/next.config.mjs "$folder"
# A tree of its own: with links two Reacts would be loaded.
npm install --prefix "$folder" --no-audit --no-fund --loglevel=error --install-links ./client ./react ./server \
    next@16 react@19.3.1 react-dom@19.3.1 >/dev/null
export NEXT_TELEMETRY_DISABLED=1 CARILLON_NEXTJS
CARILLON_NEXTJS=$(cd "$folder" && pwd)
npx vitest run --root nextjs
