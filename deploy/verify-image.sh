#!/usr/bin/env bash
# Do the images hold what they promise? Built without a registry, taken apart, and run with everything taken away.
#
#   deploy/verify-image.sh           from target/release (built if it is not there)
#   deploy/verify-image.sh --full    the whole Dockerfile, compiling inside (needs this machine's Rust and the crates)
#
# Base images are made with mmdebstrap from Debian's packages, so only apt's mirror is needed (DEBIAN_MIRROR). There is no
# daemon: buildah builds in a chroot, bubblewrap runs the result with no capabilities, a read-only root, uid 65532 and no way
# to gain privileges, beside a real Postgres and Redis of `carillon up`. The last line says how many checks passed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

full=false
case ${1:-} in
  '') ;;
  --full) full=true ;;
  *) echo "usage: $0 [--full]" >&2; exit 64 ;;
esac

work=$PWD/target/image
# buildah's layers, without a kernel's help whole copies of some 200 MB each: in memory where there is plenty of it.
storage=$work/storage
if [ "$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 12 ] && [ -w /dev/shm ]; then
  storage=$(mktemp -d /dev/shm/carillon-image-XXXXXX)
fi
programs=(carillon-gateway carillon-publisher)
passed=0
failed=0
stack=
confined_pid=

finish() {
  local code=$?
  if [ -n "$confined_pid" ]; then kill -KILL "$confined_pid" 2>/dev/null || true; fi
  if [ -n "$stack" ]; then target/release/carillon down --data "$stack" >/dev/null 2>&1 || true; rm -rf "$stack"; fi
  case $storage in /dev/shm/*) rm -rf "$storage" ;; esac
  return "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# check WHAT COMMAND…: it must succeed.
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

# ends_with CODE COMMAND…
ends_with() {
  local wanted=$1 code=0
  shift
  "$@" || code=$?
  echo "exit code $code"
  [ "$code" = "$wanted" ]
}

# finds TEXT COMMAND…: the command's output has the text; how it ends does not matter.
finds() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || true
  printf '%s\n' "$output"
  grep -qF -- "$text" <<<"$output"
}

# --- Tools

tools() {
  local -A packages=([buildah]=buildah [mmdebstrap]=mmdebstrap [bwrap]=bubblewrap [python3]=python3)
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

images() {
  buildah --storage-driver vfs --root "$storage/root" --runroot "$storage/run" "$@"
}

# --- Base images

# base NAME PACKAGES [FOLDER-TO-ADD PLACE]
base() {
  local name=$1 include=$2 container
  images inspect --type image "localhost/$name" >/dev/null 2>&1 && return
  if [ ! -s "$work/$name.tar" ]; then
    mmdebstrap --quiet --variant=minbase --include="$include" bookworm "$work/$name.draft.tar" \
      "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
    mv "$work/$name.draft.tar" "$work/$name.tar"
  fi
  container=$(images from scratch)
  images add --quiet "$container" "$work/$name.tar" /
  if [ $# -gt 2 ]; then
    images add --quiet "$container" "$3" "$4"
    # Crates may come by a way that only this machine's certificates vouch for.
    images add --quiet "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
    images config --env "PATH=$4/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "$container"
  fi
  images commit --quiet --rm "$container" "localhost/$name" >/dev/null
}

# image TAG TARGET ARGUMENTS…
image() {
  local tag=$1 target=$2
  shift 2
  images build --isolation chroot --pull-never --layers=false --format docker --quiet "$@" \
    --build-arg BASE_IMAGE=localhost/carillon-debian --build-arg VERSION=verify --build-arg REVISION=verify \
    --target "$target" --tag "localhost/$tag" --file deploy/Dockerfile .
}

build() {
  local program arguments
  if $full; then
    # Compiled once for both. (The default of BINARIES is said because buildah 1.28 does not see the stage it names.)
    image carillon-binaries binaries --build-arg BUILD_IMAGE=localhost/carillon-rust --build-arg BINARIES=compiled || return
    arguments=(--build-arg BINARIES=localhost/carillon-binaries)
  else
    arguments=(--build-arg BINARIES=prebuilt --build-context "release=$work/release")
  fi
  for program in "${programs[@]}"; do
    image "$program" "${program#carillon-}" "${arguments[@]}" || return
  done
}

# The image's files below $work/rootfs-<program>, as a container would see them.
unpack() {
  local program=$1 container root
  rm -rf "$work/rootfs-$program"
  container=$(images from --pull-never "localhost/$program")
  root=$(images mount "$container")
  cp -a "$root" "$work/rootfs-$program"
  images umount "$container" >/dev/null
  images rm "$container" >/dev/null
}

# --- What is in it

says() {
  images inspect --type image --format "$2" "localhost/$1"
}

is_configured() {
  local program=$1 ports=$2 path=/usr/local/bin/$1
  finds 'user=65532:65532 stop=SIGTERM' says "$program" 'user={{.Docker.Config.User}} stop={{.Docker.Config.StopSignal}}' &&
    finds "[CMD $path healthcheck]" says "$program" '{{.Docker.Config.Healthcheck.Test}}' &&
    finds "[$path] [serve]" says "$program" '{{.Docker.Config.Entrypoint}} {{.Docker.Config.Cmd}}' &&
    finds verify says "$program" '{{index .Docker.Config.Labels "org.opencontainers.image.version"}}' &&
    finds "$ports" says "$program" '{{.Docker.Config.ExposedPorts}}'
}

# Only what is listed; the time zones are many and named by place.
holds_only_what_it_should() {
  local root=$1 program=$2 stranger
  stranger=$(cd "$root" && find . -mindepth 1 -not -type d -not -path './usr/share/zoneinfo/*' | grep -vE \
    -e "^\./usr/local/bin/$program\$" \
    -e '^\./lib(64)?/([a-z0-9_]+-linux-gnu[a-z0-9]*/)?(ld-linux[a-z0-9_-]*|libc|libm|libgcc_s)\.so\.[0-9]+$' \
    -e '^\./etc/(passwd|group|nsswitch\.conf|ssl/certs/ca-certificates\.crt)$' \
    -e '^\./usr/share/licenses/carillon/LICENSE$') || true
  if [ -n "$stranger" ]; then echo "not expected: $stranger"; return 1; fi
  test -s "$root/etc/ssl/certs/ca-certificates.crt" &&
    test -e "$root/usr/share/zoneinfo/Europe/Paris" &&
    test -x "$root/usr/local/bin/$program"
}

# No setuid, nothing that others may write, everything root's; no shell or other interpreter by any name.
gives_nothing_away() {
  local root=$1 found
  found=$(find "$root" '(' -type f -perm /7000 -o -not -type l -perm /022 -o -not -user 0 -o -not -group 0 ')' -print)
  if [ -n "$found" ]; then echo "too free: $found"; return 1; fi
  found=$(find "$root" '(' -type f -o -type l ')' -path '*bin/*' | grep -v "/usr/local/bin/carillon-") || true
  if [ -n "$found" ]; then echo "can be run: $found"; return 1; fi
  found=$(find "$root" -type f -perm /111 -exec sh -c 'head -c 2 "$1" | grep -q "#!"' sh {} ';' -print)
  if [ -n "$found" ]; then echo "scripts: $found"; return 1; fi
}

# A copy with a shell and a setuid bit: the checks above must see both.
is_found_out() {
  local copy=$work/rootfs-spoiled
  rm -rf "$copy"
  cp -a "$work/rootfs-carillon-gateway" "$copy"
  mkdir -p "$copy/bin"
  cp "$(command -v dash || command -v bash)" "$copy/bin/sh"
  if holds_only_what_it_should "$copy" carillon-gateway; then return 1; fi
  if gives_nothing_away "$copy"; then return 1; fi
  rm -rf "${copy:?}/bin"
  chmod u+s "$copy/usr/local/bin/carillon-gateway"
  if gives_nothing_away "$copy"; then return 1; fi
  rm -rf "$copy"
}

# --- How it runs

# confined PROGRAM [NAME=VALUE…] -- ARGUMENTS…
confined() {
  local program=$1
  shift
  program_in "$program" "/usr/local/bin/$program" "$@"
}

program_in() {
  local root=$work/rootfs-$1 command=$2 variables=()
  shift 2
  while [ "$1" != -- ]; do
    variables+=(--setenv "${1%%=*}" "${1#*=}")
    shift
  done
  shift
  # Where a container's runtime puts these; a read-only root cannot be given them later.
  mkdir -p "$root/proc" "$root/dev" "$root/run/secrets"
  exec bwrap --ro-bind "$root" / --proc /proc --dev /dev --ro-bind "$work/secrets" /run/secrets \
    --unshare-user --unshare-all --share-net --uid 65532 --gid 65532 --cap-drop ALL --new-session --die-with-parent \
    --as-pid-1 --clearenv --setenv PATH /usr/local/bin "${variables[@]}" --info-fd 9 9>"$work/confined.json" \
    -- "$command" "$@"
}

run() {
  ( confined "$@" )
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

from_stack() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]], end="")' "$work/stack.json" "$1"
}

# The process of the program itself, as this machine sees it.
inner_pid() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["child-pid"])' "$work/confined.json"
}

comes_up() {
  local turn
  for turn in $(seq 120); do
    if run "$@" -- healthcheck; then return 0; fi
    sleep 0.25
  done
  echo "not ready after $turn looks"
  tail -n 5 "$work/serve.log"
  return 1
}

is_confined() {
  local pid=$1
  grep -E '^(Cap|NoNewPrivs)' "/proc/$pid/status"
  cat "/proc/$pid/uid_map"
  grep -q '^CapEff:[[:space:]]*0000000000000000$' "/proc/$pid/status" &&
    grep -q '^CapPrm:[[:space:]]*0000000000000000$' "/proc/$pid/status" &&
    grep -q '^CapBnd:[[:space:]]*0000000000000000$' "/proc/$pid/status" &&
    grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$pid/status" &&
    awk '$1 == 65532 && $3 == 1 { found = 1 } END { exit !found }' "/proc/$pid/uid_map" &&
    awk '$5 == "/" { print; root = $6 } END { exit root !~ /(^|,)ro(,|$)/ }' "/proc/$pid/mountinfo"
}

shows_no_secret() {
  local pid=$1 secret
  touch "$work/serve.log"
  for secret in "$work"/secrets/*; do
    if grep -qaF -f "$secret" "/proc/$pid/environ" "/proc/$pid/cmdline" "$work/serve.log"; then
      echo "$(basename "$secret") is in the environment, the command line or the log"
      return 1
    fi
  done
}

# A process that has a secret in its environment: the check above must see it.
leak_is_found_out() {
  local pid found=false
  JWT=$(cat "$work/secrets/jwt_secret") sleep 60 &
  pid=$!
  # Until it is sleep, its environment is this shell's.
  until grep -q sleep "/proc/$pid/cmdline"; do :; done
  if ! shows_no_secret "$pid"; then found=true; fi
  kill "$pid"
  $found
}

# Every TCP port the process listens on, and no other.
listens_on() {
  local pid=$1
  shift
  python3 - "$pid" "$@" <<'PYTHON'
import os, sys
pid, wanted = sys.argv[1], {int(port) for port in sys.argv[2:]}
inodes = set()
for fd in os.listdir(f"/proc/{pid}/fd"):
    target = os.readlink(f"/proc/{pid}/fd/{fd}")
    if target.startswith("socket:["):
        inodes.add(target[8:-1])
seen = set()
for table in ("tcp", "tcp6"):
    with open(f"/proc/{pid}/net/{table}") as lines:
        for line in list(lines)[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                seen.add(int(fields[1].rsplit(":", 1)[1], 16))
print(f"listens on {sorted(seen)}, declared are {sorted(wanted)}")
sys.exit(seen != wanted)
PYTHON
}

# Serves for real, and is looked at meanwhile.
serves() {
  local program=$1 public ops pid code=0 settings
  public=$(free_port)
  ops=$(free_port)
  settings=("CARILLON_LISTEN=127.0.0.1:$public" "CARILLON_OPS_LISTEN=127.0.0.1:$ops"
    DATABASE_URL_FILE=/run/secrets/database_url REDIS_URL_FILE=/run/secrets/redis_url
    CARILLON_JWT_SECRET_FILE=/run/secrets/jwt_secret CARILLON_DRAIN_MS=100)
  check "$program healthcheck says no while nothing runs" ends_with 1 run "$program" "${settings[@]}" -- healthcheck
  cp /dev/null "$work/confined.json"
  ( confined "$program" "${settings[@]}" -- serve ) >"$work/serve.log" 2>&1 &
  confined_pid=$!
  until [ -s "$work/confined.json" ] && inner_pid >/dev/null 2>&1; do
    if ! kill -0 "$confined_pid" 2>/dev/null; then break; fi
    sleep 0.05
  done
  pid=$(inner_pid)
  check "$program serves, and healthcheck says yes" comes_up "$program" "${settings[@]}"
  check "$program runs as 65532 on a read-only root, without capabilities or a way to get any" is_confined "$pid"
  check "$program listens on its two ports and nothing else" listens_on "$pid" "$public" "$ops"
  check "$program shows no secret in its environment, command line or log" shows_no_secret "$pid"
  kill -TERM "$pid"
  wait "$confined_pid" || code=$?
  confined_pid=
  check "$program, as process 1, ends with 0 at SIGTERM (it was $code)" [ "$code" = 0 ]
}

# --- All of it

mkdir -p "$work"
tools
for program in "${programs[@]}" carillon; do
  if [ ! -x "target/release/$program" ]; then
    cargo build --release --locked --bins -p carillon-gateway -p carillon-publisher -p carillon-devstack
    break
  fi
done
base carillon-debian ca-certificates,tzdata,binutils
if $full; then
  base carillon-rust ca-certificates,gcc,libc6-dev,make,cmake,binutils "$(rustc --print sysroot)" /usr/local/rust
else
  mkdir -p "$work/release"
  for program in "${programs[@]}"; do cp -f "target/release/$program" "$work/release/"; done
fi
check "both images are built$($full && echo ', compiled inside' || true)" build

stack=$(mktemp -d)
chmod 755 "$stack"
target/release/carillon up --detach --json --no-demo --gateways 1 --data "$stack" >"$work/stack.json" 2>"$work/stack.log"
mkdir -p "$work/secrets"
for name in database_url redis_url jwt_secret; do from_stack "$name" >"$work/secrets/$name"; done

for program in "${programs[@]}"; do
  case $program in
    carillon-gateway) ports='map[8080/tcp:{} 9080/tcp:{}]' ;;
    *) ports='map[8081/tcp:{} 9081/tcp:{}]' ;;
  esac
  unpack "$program"
  check "$program: user, entry, health check, stop signal, labels and ports" is_configured "$program" "$ports"
  check "$program holds the program, its libraries, certificates, time zones and no more" \
    holds_only_what_it_should "$work/rootfs-$program" "$program"
  check "$program has no shell, no setuid file and nothing others may write" gives_nothing_away "$work/rootfs-$program"
  if [ "$program" = carillon-gateway ]; then
    check "an image with a shell or a setuid file is found out" is_found_out
    check "a process with a secret in its environment is found out" leak_is_found_out
  fi
  needed=(DATABASE_URL=postgres://a@127.0.0.1:1/a REDIS_URL=redis://127.0.0.1:1 CARILLON_JWT_SECRET=0123456789abcdef)
  check "$program config shows every variable" finds CARILLON_OPS_LISTEN run "$program" "${needed[@]}" -- config
  check "$program ends with 64 at a wrong value" ends_with 64 run "$program" "${needed[@]}" CARILLON_DRAIN_MS=soon -- serve
  check "… and names it" finds 'CARILLON_DRAIN_MS is "soon"' run "$program" "${needed[@]}" CARILLON_DRAIN_MS=soon -- serve
  check "$program starts no shell" finds 'No such file or directory' \
    bash -c "$(declare -f program_in); work='$work'; program_in $program /bin/sh -- -c true"
  serves "$program"
done
check "carillon-publisher migrates" finds 'up to date' \
  run carillon-publisher DATABASE_URL_FILE=/run/secrets/database_url -- migrate

du -sh "$work"/rootfs-carillon-* | sed "s|$work/rootfs-||"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
