#!/usr/bin/env bash
# Puts all that a host without containers needs into one archive: both services, `carillon`, the systemd units, checksums.
#
#   deploy/dist.sh            target/dist/carillon-<version>-<target>.tar.gz, its .sha256, and the line numbers apart
#   deploy/dist.sh --verify   also installs it into a bare Debian, as deploy/README.md says, and runs it there (root and apt)
#
# The programs are static where rustup has Rust's musl target and a C compiler for it is there (both are installed when that is
# possible); else they are linked against this machine's C library, and the archive's name and the last line say so.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

verify=false
case ${1:-} in
  '') ;;
  --verify) verify=true ;;
  *) echo "usage: $0 [--verify]" >&2; exit 64 ;;
esac

cargo=${CARGO:-cargo}
programs=(carillon-gateway carillon-publisher carillon)
machine=$(uname -m)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

is_static() {
  local target=$machine-unknown-linux-musl
  command -v rustup >/dev/null || return 1
  rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2 || return 1
  command -v musl-gcc >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends musl-tools >/dev/null
}

if is_static; then target=$machine-unknown-linux-musl; else target=$machine-unknown-linux-gnu; fi
name=carillon-$version-$target
out=$PWD/target/dist
tree=$out/$name
rm -rf "$tree" "$out/symbols"
mkdir -p "$tree/bin" "$tree/lib/systemd/system" "$tree/share/doc/carillon" "$out/symbols"

CARGO_PROFILE_RELEASE_DEBUG=line-tables-only $cargo build --release --locked --target "$target" --bins -p carillon-gateway -p carillon-publisher -p carillon-devstack

for program in "${programs[@]}"; do
  built=target/$target/release/$program
  objcopy --only-keep-debug "$built" "$out/symbols/$program.debug"
  objcopy --strip-debug --add-gnu-debuglink="$out/symbols/$program.debug" "$built" "$tree/bin/$program"
  chmod 755 "$tree/bin/$program"
done
install -m 644 deploy/systemd/*.service "$tree/lib/systemd/system/"
install -m 644 LICENSE deploy/README.md docs/OPERATIONS.md docs/CONFIGURATION.md "$tree/share/doc/carillon/"
(cd "$tree" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >share/doc/carillon/SHA256SUMS)

# The same files make the same archive.
pack() {
  tar --sort=name --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" --owner=0 --group=0 --numeric-owner \
    -C "$out" -cf - "$1" | gzip -n9 >"$out/$2.tar.gz"
  (cd "$out" && sha256sum "$2.tar.gz" >"$2.tar.gz.sha256")
}
pack "$name" "$name"
pack symbols "$name-symbols"

if $verify; then deploy/verify-dist.sh "$out/$name.tar.gz"; fi
case $target in
  *-musl) how="static: any Linux of this processor" ;;
  *) how="NOT static (no musl target or compiler here): for $(ldd --version | head -n 1) or newer" ;;
esac
printf '%s: %s, %s\n' "target/dist/$name.tar.gz" "$(du -h "$out/$name.tar.gz" | cut -f 1)" "$how"
