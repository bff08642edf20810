#!/usr/bin/env bash
# Does the same commit make the same programs? Both services are built twice, from copies in different folders, and compared.
#
#   deploy/reproducible.sh
#
# The compiler is the same both times; paths and the time of the build are not in the programs.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

out=$PWD/target/reproducible
rm -rf "$out"
mkdir -p "$out"
home=${CARGO_HOME:-$HOME/.cargo}
for copy in one another-folder; do
  source=$out/$copy/source
  mkdir -p "$source"
  git archive HEAD | tar -x -C "$source"
  # A program names files of its sources in what it says when it panics; they are named as if they lay in /source.
  (cd "$source" && CARGO_TARGET_DIR=$out/$copy/target CARGO_INCREMENTAL=0 \
    RUSTFLAGS="--remap-path-prefix=$source=/source --remap-path-prefix=$home=/cargo" \
    CFLAGS="-ffile-prefix-map=$out/$copy=/build -ffile-prefix-map=$home=/cargo" \
    cargo build --release --locked --bins -p carillon-gateway -p carillon-publisher)
done
failed=0
for program in carillon-gateway carillon-publisher; do
  one=$(sha256sum <"$out/one/target/release/$program" | cut -d ' ' -f 1)
  other=$(sha256sum <"$out/another-folder/target/release/$program" | cut -d ' ' -f 1)
  if [ "$one" = "$other" ]; then
    echo "$program: $one, twice"
  else
    echo "$program: $one, and then $other" >&2
    failed=1
  fi
done
exit "$failed"
