#!/usr/bin/env bash
# Runs a command whose temporary files lie in memory, where there is enough of it.
#
# Usage: devstack/in_memory.sh COMMAND...
#
# Tests start some three hundred Postgres clusters of thirteen hundred files each, and creating those on a disk takes up to a
# quarter of all processor time. A TMPDIR that is set stays; without enough memory the command runs as it would have.
set -euo pipefail
shared=/dev/shm

# Whether that folder holds what tests store at a time (some 4 GiB at most), and lets programs run.
holds_tests() {
    [[ -z ${TMPDIR:-} && -w $shared && $(stat -f -c %T "$shared") == tmpfs ]] || return
    (($(stat -f -c '%a * %S' "$shared") >= 8 << 30)) || return
    awk '/^MemAvailable:/ { enough = $2 >= 12 * 1024 * 1024 } END { exit !enough }' /proc/meminfo || return
    ! grep -Eq "^[^ ]+ $shared [^ ]+ [^ ]*noexec" /proc/mounts
}

if ! holds_tests; then exec "$@"; fi
folder=$(mktemp -d "$shared/carillon-tests-XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
# As every folder for temporary files: Postgres runs as another account.
chmod 1777 "$folder"
TMPDIR=$folder "$@"
