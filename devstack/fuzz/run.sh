#!/usr/bin/env bash
# Which inputs reach code that none has reached, and does one of them break a promise?
#
#   run.sh run MINUTES   lets libFuzzer work on every target, as many at a time as there are cores, MINUTES in all
#   run.sh merge         makes the corpus anew: the examples, and the fewest inputs found that reach the rest. Examples
#                        are the files with a name that somebody chose; libFuzzer names by hash
#
# Stable Rust: the instrumentation is LLVM's own pass, libFuzzer comes from the registry and is compiled by a C++
# compiler. Everything but the corpus is kept in target/fuzz: the build, the logs, the inputs found (the next run goes on
# from them), and crashes/<target>/. The exit code is 1 when a target broke.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${CARGO_TARGET_DIR:-$root/target}/fuzz
cores=$(nproc)
targets=$(ls "$here/corpus")

# Longest input, in bytes, and what a single one may take: seconds, and megabytes of the whole process.
limits=(-max_len=4096 -timeout=10 -rss_limit_mb=1024)

fail() {
    echo "fuzz: $*" >&2
    exit 2
}

build() {
    if ! command -v c++ >/dev/null; then
        [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "libFuzzer needs a C++ compiler (Debian: apt-get install g++)"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq g++ >/dev/null || fail "apt-get could not install g++"
    fi
    local host flags
    host=$(rustc -vV | sed -n 's/^host: //p')
    # Edges counted, places named, compared values told: what libFuzzer steers by. Arithmetic and our own assertions are
    # checked although the code is optimised.
    flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks"
    # With a --target the flags stay away from build scripts and macros, which have no libFuzzer to link with.
    RUSTFLAGS=$flags cargo build --quiet --release --locked --package carillon-fuzz --features coverage \
        --target "$host" --target-dir "$work/build" --manifest-path "$root/Cargo.toml"
    driver=$work/build/$host/release/fuzz-driver
}

# One target: $1 its name, $2 seconds.
attack() {
    local name=$1 seconds=$2 dictionary=()
    mkdir -p "$work/corpus/$name" "$work/crashes/$name"
    [[ -f $here/dictionary/$name ]] && dictionary=("-dict=$here/dictionary/$name")
    FUZZ_TARGET=$name "$driver" "${limits[@]}" "${dictionary[@]}" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$work/crashes/$name/" "$work/corpus/$name" "$here/corpus/$name" >"$work/$name.log" 2>&1
}

# A line of the table for each log; $1 seconds. Fails when a target broke.
report() {
    local name broken=0
    printf '%-14s %13s %9s %18s %7s  %s\n' target executions per-s 'edges start/end' inputs result
    for name in $targets; do
        awk -v name="$name" '
            function after(word,   i) { for (i = 1; i < NF; i++) if ($i == word) return $(i + 1); return "?" }
            /INITED/                            { start = after("cov:") }
            / cov: /                            { end = after("cov:"); split(after("corp:"), corpus, "/") }
            /^stat::number_of_executed_units:/  { runs = $2 }
            /^stat::average_exec_per_sec:/      { rate = $2 }
            /Test unit written to/              { found = $NF }
            END {
                result = found != "" ? "BROKEN: " found : runs == "" ? "DIED: see its log" : "holds"
                printf "%-14s %13s %9s %18s %7s  %s\n", name, runs, rate, start " / " end, corpus[1], result
                exit result != "holds"
            }' "$work/$name.log" || broken=1
    done
    return $broken
}

run() {
    local minutes=$1 name seconds started=() pid
    [[ $minutes =~ ^[0-9]+$ && $minutes -gt 0 ]] || fail "MINUTES must be a whole number above 0"
    build
    seconds=$((minutes * 60 * cores / $(wc -w <<<"$targets")))
    echo "$minutes min on $cores cores: $seconds s for each of $(wc -w <<<"$targets") targets; logs in $work"
    trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; exit 130' INT TERM
    for name in $targets; do
        rm -f "$work/$name.log"
        while (($(jobs -rp | wc -l) >= cores)); do wait -n || true; done
        attack "$name" "$seconds" &
        started+=($!)
    done
    wait || true
    report
}

merge() {
    local name
    build
    for name in $targets; do
        local fresh=$work/merged/$name
        rm -rf "$fresh"
        mkdir -p "$fresh" "$work/corpus/$name"
        find "$here/corpus/$name" -type f -regextype egrep -not -regex '.*/[0-9a-f]{40}' -exec sha1sum {} + >"$work/$name.examples"
        # Edges only: how often each was taken would keep five times as many.
        FUZZ_TARGET=$name "$driver" -max_len=1024 -use_counters=0 -set_cover_merge=1 "$fresh" "$here/corpus/$name" \
            "$work/corpus/$name" >"$work/$name.merge.log" 2>&1 || fail "$name: see $work/$name.merge.log"
        find "$here/corpus/$name" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
        (cd "$fresh" && sha1sum -- *) | while read -r hash file; do
            grep -qF "$hash" "$work/$name.examples" || cp "$fresh/$file" "$here/corpus/$name/"
        done
        printf '%-14s %4d inputs %7d bytes\n' "$name" "$(find "$here/corpus/$name" -type f | wc -l)" \
            "$(find "$here/corpus/$name" -type f -printf '%s\n' | awk '{n += $1} END {print n + 0}')"
    done
}

case ${1:-} in
run) run "${2:-60}" ;;
merge) merge ;;
*) fail "usage: run.sh run MINUTES | merge" ;;
esac
