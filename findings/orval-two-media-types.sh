#!/usr/bin/env bash
# orval 8.38.0: an operation whose body may have two JSON media types gets a function that names neither.
#
# The fetch client sends JSON.stringify(body) without a Content-Type, so fetch says text/plain and a strict server answers 415.
# With one media type the header is there. Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts orval@8.38.0 >/dev/null 2>&1
document() {
    cat <<JSON
{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/things":{"post":{"operationId":"addThing","requestBody":{"required":true,"content":{$1}},
"responses":{"204":{"description":"done"}}}}}}
JSON
}
thing='{"schema":{"type":"object","properties":{"name":{"type":"string"}}}}'
document "\"application/json\":$thing" >one.json
document "\"application/json\":$thing,\"application/vnd.thing+json\":$thing" >two.json
for name in one two; do
    printf 'export default { t: { input: { target: "./%s.json" }, output: { target: "./%s.ts", client: "fetch" } } }\n' "$name" "$name" >"$name.config.mjs"
    node_modules/.bin/orval --config "./$name.config.mjs" >/dev/null
    echo "$name media type(s): $(grep -c "'Content-Type'" "$name.ts" || true) line(s) with a Content-Type"
done
node -p '"orval " + require("./node_modules/orval/package.json").version'
grep -q "'Content-Type': 'application/json'" one.ts && ! grep -qi 'content-type' two.ts
