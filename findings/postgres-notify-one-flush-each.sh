#!/usr/bin/env bash
# Postgres: a commit that notifies holds a lock of the whole server until it is on disk, so commits with NOTIFY follow one another,
# each with its own flush, where commits without share flushes. The more sessions and the slower the disk, the larger the difference:
# with 16 sessions a quarter to a tenth of the commits a second. Notifying at most once in 50 ms (the time of the last one in a
# sequence, which all sessions see at once) costs next to nothing.
#
# Postgres documentation, "NOTIFY"; src/backend/commands/async.c, PreCommit_Notify. Seen with Debian's Postgres 15. Needs its
# server and pgbench. Prints commits a second; exits 1 when notifying costs less than a third.
#
# Output seen (two processors, a busy disk):
#   alone 2781, with NOTIFY 634, with at most one NOTIFY in 50 ms 2887 commits a second
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
work=$(mktemp -d)
chmod 777 "$work"
as=()
[[ $(id -u) != 0 ]] || as=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
run() { (cd / && "${as[@]}" "$@"); }
finish() {
    run "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

run "$bin/initdb" -D "$work/data" -U super --auth=trust >/dev/null
run "$bin/pg_ctl" -D "$work/data" -w -l "$work/log" -o "-c listen_addresses= -k $work" start >/dev/null
"$bin/psql" -qX -h "$work" -U super -d postgres <<'SQL'
CREATE TABLE t (n int);
CREATE SEQUENCE woken MINVALUE 0;
CREATE FUNCTION seldom() RETURNS void LANGUAGE plpgsql AS $$
DECLARE now bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF now - (SELECT last_value FROM woken) NOT BETWEEN 0 AND 49 THEN
        PERFORM setval('woken', now);
        NOTIFY there;
    END IF;
END $$;
SQL
commits() {
    echo "BEGIN; INSERT INTO t VALUES (1); $1 COMMIT;" >"$work/script"
    "$bin/pgbench" -h "$work" -U super -n -c 16 -j 2 -T 5 -f "$work/script" postgres 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p'
}
alone=$(commits '')
each=$(commits 'NOTIFY there;')
seldom=$(commits 'SELECT seldom();')
echo "alone $alone, with NOTIFY $each, with at most one NOTIFY in 50 ms $seldom commits a second"
((each * 3 < alone * 2))
