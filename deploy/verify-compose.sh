#!/usr/bin/env bash
# Does Docker Compose take compose.yaml as it is meant?
#
#   deploy/verify-compose.sh
#
# Builds Docker Compose from its Go module (below target/tools; five minutes the first time) and lets it read the file: each
# profile, all of them, and what .env.example sets. No container is started: that needs a Docker. Then: the files that are mounted are
# there, the secrets are those that secrets.sh makes, and each variable of a service is one that it knows. The last line is
# "<n> passed, <m> failed".
set -uo pipefail

COMPOSE=v2.40.3
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/target/tools/compose-$COMPOSE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

fail() {
    echo "compose: $*" >&2
    exit 3
}

if [[ ! -x $tools/docker-compose ]]; then
    command -v go >/dev/null || fail "go is missing; Docker Compose is built with it"
    mkdir -p "$tools/module"
    (
        cd "$tools/module"
        export GOTOOLCHAIN=auto CGO_ENABLED=0
        [[ -f go.mod ]] || go mod init carillon/compose
        go get "github.com/docker/compose/v2/cmd@$COMPOSE"
        go build -o "$tools/docker-compose" github.com/docker/compose/v2/cmd
    ) >"$work/build.log" 2>&1 || { tail -n 5 "$work/build.log" >&2; fail "Docker Compose $COMPOSE could not be built"; }
fi

# Nothing of the caller's environment fills a variable of the file.
compose() {
    env -i PATH="$PATH" HOME="$work" "$tools/docker-compose" --file "$@"
}

told() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok       $name"
    else
        failed=$((failed + 1))
        echo "FAILED   $name"
        sed 's/^/         | /' "$work/out" | tail -n 20
    fi
}

# The twin of a check: with this fault in it the file is refused, and why is said.
refused() {
    local name=$1 from=$2 to=$3 why=$4
    sed "s|$from|$to|" "$root/deploy/compose.yaml" >"$work/compose.yaml"
    if cmp -s "$work/compose.yaml" "$root/deploy/compose.yaml"; then
        failed=$((failed + 1))
        echo "FAILED   $name: the file has no $from"
    elif compose "$work/compose.yaml" --profile '*' config --quiet >"$work/out" 2>&1 || ! grep -q "$why" "$work/out"; then
        failed=$((failed + 1))
        echo "FAILED   $name: the fault was not found"
        sed 's/^/         | /' "$work/out" | tail -n 5
    else
        passed=$((passed + 1))
        echo "ok       $name is refused"
    fi
}

file=$root/deploy/compose.yaml
for profile in core lb observability load '*'; do
    told "profile $profile" compose "$file" --profile "$profile" config --quiet
done
told ".env.example" compose "$file" --env-file "$root/deploy/.env.example" config --quiet
# Every line that is commented out there, taken at its word.
sed 's/^#\([A-Z_0-9]*=\)/\1/' "$root/deploy/.env.example" >"$work/env"
told ".env.example with all its lines" compose "$file" --env-file "$work/env" --profile '*' config --quiet
compose "$file" --env-file "$work/env" --profile '*' config --format json >"$work/config.json"
"$root/deploy/docker/secrets.sh" "$work/secrets" >/dev/null
# shellcheck disable=SC2016
told "files, secrets and variables" node -e '
const { existsSync, readFileSync, readdirSync } = require("node:fs")
const [config, root, secrets] = process.argv.slice(1)
const { services, secrets: named } = JSON.parse(readFileSync(config))
const faults = []
const known = new Set(readFileSync(`${root}/docs/CONFIGURATION.md`, "utf8").match(/`[A-Z][A-Z0-9_]+`/g).map((name) => name.slice(1, -1)))
for (const [name, service] of Object.entries(services)) {
  for (const { type, source } of service.volumes ?? []) if (type === "bind" && !existsSync(source)) faults.push(`${name} mounts ${source}, which is not there`)
  if (!service.read_only || String(service.cap_drop) !== "ALL") faults.push(`${name} is not confined`)
  if (["gateway", "publisher", "migrate"].includes(name)) {
    for (const variable of Object.keys(service.environment ?? {})) {
      const own = variable.replace(/_FILE$/, "")
      if (!known.has(own) && !known.has(variable)) faults.push(`${name} knows no ${variable}`)
    }
  }
}
const made = new Set(readdirSync(secrets))
for (const { file } of Object.values(named)) if (!made.has(file.split("/").pop())) faults.push(`secrets.sh makes no ${file.split("/").pop()}`)
console.log(faults.join("\n"))
process.exit(faults.length ? 1 : 0)
' "$work/config.json" "$root" "$work/secrets"
refused "a key that is none" 'stop_grace_period: 60s' 'stop_grace: 60s' "stop_grace"
refused "a secret that nobody declares" 'secrets: \[postgres_password,' 'secrets: [password_of_postgres,' "password_of_postgres"
refused "a length of time without its unit" 'stop_grace_period: 60s' 'stop_grace_period: 60x' "60x"

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
