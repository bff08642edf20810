#!/usr/bin/env bash
# Does the WebSocket codec pass the Autobahn test suite?
#
# Starts the echo server that is built from the codec (gateway/examples/echo), lets the suite's fuzzing client run its
# cases of sections 1-7, 9, 10, 12 and 13 against it, and judges the report. The suite is Python 2.7 code: a CPython 2.7
# is looked for on the PATH and in pyenv, or named in PYTHON27; the suite is installed from PyPI into
# target/conformance. The last line is `N passed, N failed`; exit code 1 when one failed, 2 when nothing could be run.
#
# Arguments are case patterns to run instead of all (loadtest/conformance/run.sh '12.1.*').
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/conformance
# A run takes about ten minutes of one core, most of it in the suite's client.
most_seconds=${CONFORMANCE_SECONDS:-3600}
echo_pid=

finish() {
    [[ -z $echo_pid ]] || { kill "$echo_pid" && wait "$echo_pid"; } 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "conformance: $*" >&2
    exit 2
}

# Says whether a command is a CPython 2.7 that runs. A pyenv shim may stand on the PATH and lead nowhere.
is_cpython27() {
    [[ -n $1 ]] && "$1" -c 'import platform, sys
sys.exit(0 if platform.python_implementation() == "CPython" and sys.version_info[:2] == (2, 7) else 1)' 2>/dev/null
}

find_python27() {
    local candidate
    if [[ -n ${PYTHON27:-} ]]; then
        is_cpython27 "$PYTHON27" || fail "PYTHON27=$PYTHON27 is no CPython 2.7"
        echo "$PYTHON27"
        return
    fi
    for candidate in "$(command -v python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        if is_cpython27 "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no CPython 2.7: the suite runs on nothing newer. Install one (pyenv install 2.7.18) or name it in PYTHON27." \
        "The same cases run without it in: cargo test -p carillon-gateway --test autobahn_cases"
}

python27=$(find_python27) || exit 2
command -v python3 >/dev/null || fail "python3 is missing: it makes the environment and judges the report"

suite=$work/suite
if [[ ! -f $suite/.carillon || $here/requirements.txt -nt $suite/.carillon ]]; then
    echo "installing the suite for $("$python27" --version 2>&1)" >&2
    rm -rf "$suite" "$work/virtualenv"
    python3 -m venv "$work/virtualenv" || fail "python3 cannot make a virtual environment (Debian: python3-venv)"
    # The last releases of virtualenv that know Python 2.7.
    "$work/virtualenv/bin/pip" install --quiet --disable-pip-version-check 'virtualenv<20.22' ||
        fail "virtualenv could not be installed from PyPI"
    "$work/virtualenv/bin/virtualenv" --quiet --python "$python27" "$suite" ||
        fail "no environment could be made for $python27"
    "$suite/bin/pip" install --quiet --disable-pip-version-check --no-python-version-warning \
        -r "$here/requirements.txt" || fail "the suite could not be installed from PyPI"
    touch "$suite/.carillon"
fi

(cd "$root" && ${CARGO:-cargo} build --release --locked --quiet -p carillon-gateway --example echo) ||
    fail "the echo server could not be built"
echo_log=$work/echo.log
"$root/target/release/examples/echo" >"$echo_log" 2>&1 &
echo_pid=$!
url=
for _ in {1..100}; do
    url=$(sed -n 's/^listening on //p' "$echo_log")
    [[ -n $url ]] && break
    kill -0 "$echo_pid" 2>/dev/null || fail "the echo server ended at once: $(cat "$echo_log")"
    sleep 0.1
done
[[ -n $url ]] || fail "the echo server did not say where it listens"

reports=$work/reports
rm -rf "$reports"
mkdir -p "$reports"
python3 "$here/judge.py" specification "$url" "$reports" "$@" >"$work/fuzzingclient.json"
echo "running the cases against $url (reports in ${reports#"$root"/}, log in ${work#"$root"/}/suite.log)" >&2
timeout "$most_seconds" "$suite/bin/wstest" -m fuzzingclient -s "$work/fuzzingclient.json" \
    >"$work/suite.log" 2>&1 || fail "the suite did not end well within $most_seconds s: $(tail -n 3 "$work/suite.log")"
kill -0 "$echo_pid" 2>/dev/null || fail "the echo server died: $(cat "$echo_log")"
python3 "$here/judge.py" report "$reports/index.json" "$@"
