#!/usr/bin/env bash
# Is there an advisory for what we ship, a licence that we may not ship, a source that is no registry?
#
#   deploy/deny.sh
#
# cargo-deny is built once into target/tools (ten minutes). The advisories are a Git repository of RustSec's: where it cannot be had,
# this says so and looks at licences, bans and sources alone; nobody shall take that for a clean bill. Its rules: deploy/deny.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=target/tools/deny/bin/cargo-deny
if [ ! -x "$tool" ]; then
  cargo install cargo-deny --version 0.20.2 --locked --root target/tools/deny
fi
deny() { "$tool" --log-level error --config deploy/deny.toml "$@"; }

deny check --hide-inclusion-graph licenses bans sources
if deny fetch db 2>/dev/null; then
  deny check --hide-inclusion-graph advisories
else
  echo "ADVISORIES WERE NOT LOOKED AT: the RustSec database (https://github.com/rustsec/advisory-db) cannot be had here" >&2
fi
