#!/usr/bin/env bash
# Do all Rust tests pass? Several test binaries run at a time: the system tests wait more than they compute.
#
# Usage: devstack/test.sh [--at-once N]
#
# Builds every test, then runs the binaries N at a time (as many as there are cores), those that take longest first, and
# those that compare shares of the machine at the end, one at a time. Each binary's output is printed when it has ended, and
# every binary runs, whatever failed before.
#
# The first three tests of a binary that failed run once more, alone, so that the last lines say whether they
# fail alone, too. They have failed either way.
#
# The last line is `rust: N passed, N failed, N ignored, in N test binaries`; exit code 1 when something failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

at_once=$(nproc)
if [[ ${1:-} == --at-once ]]; then
    at_once=${2:-}
    shift 2 || true
fi
[[ $# == 0 && $at_once =~ ^[1-9][0-9]*$ ]] || { echo "usage: devstack/test.sh [--at-once N]" >&2; exit 2; }

# What takes longest comes first, so that nothing long runs alone in the end. Names of test targets.
first=" archive i8_fleet presence balancers carillon_gateway health faults_processes disconnect devices "
# Their figures compare what one holder gets with and without others: nothing else may run beside them.
alone=" shares i6_slow i8_gentle i10_budgets "

cargo=${CARGO:-cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/said"
touch "$work/failed"

"$cargo" test --workspace --locked --no-run --message-format=json-render-diagnostics >"$work/built.json"

# One line a binary: when it runs, the target's name, its package's folder, the executable.
sed -nE '/"reason":"compiler-artifact"/{
    s/.*"manifest_path":"([^"]*)\/Cargo\.toml".*"kind":\[[^]]*\].*"name":"([^"]*)".*"profile":\{[^}]*"test":true[^}]*\}.*"executable":"([^"]+)".*/\2 \1 \3/p
}' "$work/built.json" | while read -r name folder executable; do
    order=2
    [[ $first == *" $name "* ]] && order=1
    [[ $alone == *" $name "* ]] && order=3
    echo "$order $name $folder $executable"
done | sort -s -k1,1n >"$work/all"
[[ -s $work/all ]] || { echo "devstack/test.sh: cargo built no test" >&2; exit 1; }

# Runs one binary in its package's folder, as cargo does, and prints all it said at once.
run() {
    local name=$1 folder=$2 executable=$3 began=$SECONDS code=0
    shift 3
    local said=$WORK/said/${executable##*/}
    (cd "$folder" && CARGO_MANIFEST_DIR=$folder "$executable" "$@" >"$said" 2>&1) || code=$?
    exec 9>"$WORK/turn"
    flock 9
    # Of the processors: what it and all that it started and saw end have used.
    times >"$said.times"
    printf '\n     Running %s of %s, %d s (of the processors %s user, %s system)\n' "$name" "${folder##*/}" $((SECONDS - began)) \
        $(tail -n 1 "$said.times")
    rm "$said.times"
    cat "$said"
    [[ $code == 0 ]] || echo "$name $folder $executable" >>"$WORK/failed"
}
export -f run
export WORK=$work

sed -n 's/^[12] //p' "$work/all" | xargs -r -P "$at_once" -L 1 bash -c 'run "$@"' run
sed -n 's/^3 //p' "$work/all" | xargs -r -L 1 bash -c 'run "$@"' run
# What is said here ends the run with exit code 1, whatever the counts are.
touch "$work/broken"

# How many of all passed, failed and were ignored, as the binaries say.
read -r passed failed ignored < <(awk '/^test result:/ { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$work"/said/*)

# The names of the tests that failed in one binary: the list after its last line `failures:`.
names() { awk '/^failures:$/ { n = 0; next } /^    [^ ]+$/ { name[n++] = $1 } END { while (i < n) print name[i++] }' "$1"; }

mv "$work/failed" "$work/first"
while read -r name folder executable; do
    mapfile -t again < <(names "$work/said/${executable##*/}")
    # Without such a list the binary itself ended, and nothing says which test it was.
    [[ ${#again[@]} != 0 ]] || echo "$name of ${folder##*/} ended without a result" >>"$work/broken"
    for test in ${again[@]+"${again[@]:0:3}"}; do
        (run "$name" "$folder" "$executable" --exact "$test" </dev/null)
        outcome="fails alone, too"
        if grep -q '^test result: ok\. 1 passed; 0 failed;' "$work/said/${executable##*/}"; then outcome="passes alone"; fi
        echo "$name of ${folder##*/}: $test failed; it $outcome" >>"$work/broken"
    done
    for test in "${again[@]:3}"; do echo "$name of ${folder##*/}: $test failed" >>"$work/broken"; done
done <"$work/first"

echo
cat "$work/broken"
echo "rust: $passed passed, $failed failed, $ignored ignored, in $(wc -l <"$work/all") test binaries"
[[ $failed == 0 && ! -s $work/broken ]]
