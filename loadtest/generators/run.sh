#!/usr/bin/env bash
# Do generators of clients make something that works of /openapi.json, and do linters, a fuzzer and AsyncAPI's parser agree?
#
# Installs pinned versions in a temporary folder, asks a stack of its own (target/debug or CARILLON_BIN) for both documents, generates, compiles
# and lets each generated client publish an event, a batch and a CloudEvent in both modes and list them. Writes docs/GENERATORS.md. The last
# line is `N passed, N failed`; exit code 1 when one failed. Outside the gate. Needs Node, Python, Java with Maven, Go and Rust.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${CARILLON_BIN:-$root/target/debug}
work=$(mktemp -d)
stack_up=

finish() {
    [[ -n $stack_up ]] && "$bin/carillon" --data "$work/stack" down >/dev/null 2>&1
    chmod -R u+w "$work" && rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
    echo "generators: $*" >&2
    exit 1
}

for name in carillon carillon-gateway carillon-publisher; do
    [[ -x $bin/$name ]] || fail "$bin/$name is missing; build it with: make debug"
done
for name in cargo curl go java mvn node npm python3; do
    command -v "$name" >/dev/null || fail "$name is missing"
done

stack_up=yes
"$bin/carillon" --data "$work/stack" up --detach --json --no-demo >"$work/stack.json" 2>"$work/up.log" ||
    { cat "$work/up.log" >&2; fail "the stack did not start"; }
field() { node -e 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); console.log(eval(process.argv[2]))' "$work/stack.json" "$1"; }
export CARILLON_PUBLISHER CARILLON_API_KEY CARILLON_TOKEN CARILLON_TENANT=generated CARILLON_UNIQUE
CARILLON_PUBLISHER=$(field s.publisher)
CARILLON_API_KEY=$(field s.api_key)
CARILLON_TOKEN=$("$bin/carillon" --data "$work/stack" token --tenant fuzzed --user nobody)

cd "$work"
cp "$here"/clients/* "$here"/package.json "$here"/package-lock.json "$here"/tsconfig.json "$here"/*.mjs "$here"/*.yaml "$here"/*.py "$here"/*.toml .
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
tools=$work/node_modules/.bin
PATH=$work/venv/bin:$tools:$PATH
curl -sSf "$CARILLON_PUBLISHER/openapi.json" -o openapi.json
curl -sSf "$CARILLON_PUBLISHER/asyncapi.json" -o asyncapi.json

passed=0
failed=0
: >results
# judge NAME STEP COMMAND...: holds when the command succeeds.
judge() {
    local name=$1 step=$2 held=ok
    shift 2
    "$@" >output 2>&1 || held=FAIL
    tell "$name" "$held $step"
    [[ $held == ok ]] || tail -n 400 output | sed 's/^/    /'
}

# client NAME COMMAND...: what it generates, compiles and runs prints `ok STEP` or `FAIL STEP: why` for each of five steps.
client() {
    local name=$1 step line
    shift
    CARILLON_UNIQUE=$(node -p 'crypto.randomUUID()')
    "$@" >output 2>&1 || true
    for step in publish batch CloudEvent binary list; do
        line=$(grep -E "^(ok|FAIL) $step\b" output || echo "FAIL $step: it never came to that")
        tell "$name" "$line"
    done
    ! grep -q "^FAIL" output && [[ $(grep -c '^ok' output) == 5 ]] || tail -n 60 output | sed 's/^/    /'
}

tell() {
    printf '%s\t%s\n' "$1" "$2" >>results
    printf '  %s: %s\n' "$1" "$2"
    case $2 in
    ok*) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)) ;;
    esac
}

go_client() (
    mkdir -p go && cp oapi-codegen.go go/main.go && cd go
    printf 'module carillon/generated\n\ngo 1.24\n' >go.mod
    GOPATH=$work/gopath GOFLAGS=-modcacherw go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 \
        -generate types,client -package main -o client.go ../openapi.json
    GOPATH=$work/gopath GOFLAGS=-modcacherw go mod tidy
    GOPATH=$work/gopath GOFLAGS=-modcacherw go run .
)

java_client() (
    openapi-generator-cli generate -g java -i openapi.json -o java --additional-properties=useSingleRequestParameter=true >java.log 2>&1 || { cat java.log; return 1; }
    cp OpenApiGenerator.java java/src/main/java/
    cd java
    # Maven resets the colour of a terminal before whatever is printed next.
    mvn -q -B -Dmaven.test.skip=true compile dependency:build-classpath -Dmdep.outputFile=classpath >maven.log 2>&1 ||
        { cat maven.log; return 1; }
    java -cp "target/classes:$(cat classpath)" OpenApiGenerator
)

rust_client() (
    openapi-down-convert --input openapi.json --output openapi-3.0.json
    node progenitor.mjs openapi-3.0.json
    mkdir -p rust && cp "$here"/progenitor/Cargo.* openapi-3.0.json rust/ && cp progenitor.rs rust/main.rs
    cargo run --quiet --locked --manifest-path rust/Cargo.toml
)

# Its own exit code passes over warnings.
redocly_finds_nothing() {
    redocly lint --skip-rule=no-ambiguous-paths --format=json openapi.json 2>/dev/null >redocly.json
    cat redocly.json
    node -e 'const { totals } = JSON.parse(require("fs").readFileSync("redocly.json")); process.exit(totals.errors + totals.warnings)'
}

judge 'redocly lint' clean redocly_finds_nothing
judge spectral clean spectral lint -r spectral.yaml --fail-severity=hint openapi.json
judge '@asyncapi/parser' clean node asyncapi.mjs
judge schemathesis clean schemathesis --config-file schemathesis.toml run openapi.json --url "$CARILLON_PUBLISHER"

{
    openapi-typescript openapi.json -o openapi-typescript/schema.d.ts
    orval --config ./orval.config.mjs
    openapi-ts -i ./openapi.json -o hey-api
    openapi-generator-cli generate -g typescript-fetch -i openapi.json -o openapi-generator-typescript \
        --additional-properties=importFileExtension=.ts
    openapi-generator-cli generate -g python -i openapi.json -o openapi-generator-python
    openapi-python-client generate --path openapi.json --output-path openapi-python-client --fail-on-warning
    pip install --quiet ./openapi-generator-python ./openapi-python-client
} >generated.log 2>&1 || { tail -n 60 generated.log; fail "a generator failed"; }
judge 'TypeScript of all four' compiles tsc -p .
client openapi-typescript tsx openapi-typescript.ts
client orval tsx orval.ts
client hey-api tsx hey-api.ts
client 'openapi-generator: typescript-fetch' tsx openapi-generator.ts
client 'openapi-generator: python' python openapi-generator.py
client openapi-python-client python openapi-python-client.py
client 'openapi-generator: java' java_client
client oapi-codegen go_client
client progenitor rust_client

node "$here/table.mjs" results >"$root/docs/GENERATORS.md"
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
