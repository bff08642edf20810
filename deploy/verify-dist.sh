#!/usr/bin/env bash
# Can the archive of deploy/dist.sh be installed on a bare Debian as deploy/README.md says, and does it run there?
#
#   deploy/verify-dist.sh target/dist/carillon-….tar.gz
#
# The Debian is made by mmdebstrap with nothing but its base and systemd, and entered with bubblewrap; the README's own lines are
# run in it, but for the last one, since no systemd runs there. Postgres, Redis and a publisher are those of `carillon up`, which is
# the archive's, too. The last line says how many checks passed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

archive=$(readlink -f "${1:?usage: $0 ARCHIVE}")
name=$(basename "$archive" .tar.gz)
work=$PWD/target/dist/verify
root=$work/root
passed=0
failed=0
stack=
gateway=

finish() {
  local code=$?
  if [ -n "$gateway" ]; then kill "$gateway" 2>/dev/null || true; fi
  if [ -n "$stack" ]; then "$root/usr/local/bin/carillon" --data "$stack" down >/dev/null 2>&1 || true; rm -rf "$stack"; fi
  return "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() {
  local what=$1
  shift
  if "$@" >"$work/last.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $what"
  else
    failed=$((failed + 1))
    echo "FAILED  $what"
    tail -n 20 "$work/last.log" | sed 's/^/          /'
  fi
}

tools() {
  local -A packages=([mmdebstrap]=mmdebstrap [bwrap]=bubblewrap [systemd-analyze]=systemd)
  local missing=() tool
  for tool in "${!packages[@]}"; do
    command -v "$tool" >/dev/null || missing+=("${packages[$tool]}")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# inside COMMAND…: in the bare Debian, with this machine's loopback.
inside() {
  bwrap --bind "$root" / --proc /proc --dev /dev --tmpfs /run --unshare-all --share-net --die-with-parent --new-session --clearenv \
    --setenv PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --setenv HOME /root --chdir /root "$@"
}

# The commands of the README, from the line that fetches nothing to the one that wants systemd.
instructions() {
  sed -n '/^## Hosts, systemd/,/^## /p' deploy/README.md | sed -n '/^```sh/,/^```/p' | grep -v '^```' | grep -v '^systemctl' |
    sed "s/carillon-0\.1\.0-x86_64-unknown-linux-musl/$name/g"
}

field() {
  sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/stack.json"
}

free_port() {
  while :; do
    local port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

is_ready() {
  local turn
  for turn in $(seq 120); do
    if inside --setenv CARILLON_OPS_LISTEN "127.0.0.1:$ops" carillon-gateway healthcheck; then return 0; fi
    sleep 0.25
  done
  echo "not ready after $turn looks"
  tail -n 5 "$work/gateway.log"
  return 1
}

mkdir -p "$work"
tools
if [ ! -s "$work/debian.tar" ]; then
  mmdebstrap --quiet --variant=minbase --include=systemd bookworm "$work/debian.draft.tar" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
  mv "$work/debian.draft.tar" "$work/debian.tar"
fi
rm -rf "$root"
mkdir -p "$root"
tar -xf "$work/debian.tar" -C "$root" --exclude=./dev
mkdir -p "$root/dev" "$root/root"
cp "$archive" "$archive.sha256" "$root/root/"
instructions >"$work/instructions"
cat "$work/instructions"
check "the README's lines install it" inside bash -euxc "$(cat "$work/instructions")"
check "every file is as it was packed" inside bash -c 'cd /usr/local && sha256sum --quiet --check share/doc/carillon/SHA256SUMS'
for program in carillon carillon-gateway carillon-publisher; do
  check "$program runs" inside "$program" --version
done
check "its units are right" systemd-analyze verify --root="$root" --man=no \
  /usr/local/lib/systemd/system/carillon-migrate.service /usr/local/lib/systemd/system/carillon-publisher.service \
  /usr/local/lib/systemd/system/carillon-gateway@.service

stack=$(mktemp -d)
chmod 755 "$stack"
check "its carillon starts a system" bash -c \
  "'$root/usr/local/bin/carillon' --data '$stack' up --detach --json --no-demo --gateways 1 >'$work/stack.json'"
public=$(free_port)
ops=$(free_port)
inside --setenv DATABASE_URL "$(field database_url)" --setenv REDIS_URL "$(field redis_url)" \
  --setenv CARILLON_JWT_SECRET "$(field jwt_secret)" --setenv CARILLON_LISTEN "127.0.0.1:$public" \
  --setenv CARILLON_OPS_LISTEN "127.0.0.1:$ops" --setenv CARILLON_DRAIN_DELAY_MS 0 carillon-gateway serve >"$work/gateway.log" 2>&1 &
gateway=$!
check "a gateway becomes ready in the bare Debian" is_ready
check "an event gets from a publisher to a WebSocket of that gateway" inside --setenv CARILLON_JWT_SECRET "$(field jwt_secret)" \
  carillon-publisher probe --publish-url "$(field lb)" --socket-url "ws://127.0.0.1:$public/v1/ws"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
