#!/usr/bin/env bash
# oapi-codegen 2.8.2 and openapi-generator 7.26.0: a field that is a list or a text (type: [array, string]) has no code that compiles.
#
# OpenAPI 3.1 takes JSON Schema's type with several names. oapi-codegen stops with "unhandled Schema type", typescript-fetch writes
# `string<string>`, Java `AnyOfstring<String>`. Exit code 0: as described. 1: one behaves otherwise now. Needs Go, Java and Python.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
cat >openapi.json <<'JSON'
{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/things":{"post":{"operationId":"addThing","requestBody":{"required":true,
"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}}}},"responses":{"204":{"description":"done"}}}}},
"components":{"schemas":{"Thing":{"type":"object","properties":{"names":{"type":["array","string"],"items":{"type":"string"}}}}}}}
JSON
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openapi-generator-cli==7.26.0
for language in typescript-fetch java; do
    venv/bin/openapi-generator-cli generate -g "$language" -i openapi.json -o "$language" >"$language.log" 2>&1
done
grep -h 'names?:' typescript-fetch/models/Thing.ts
grep -h 'private .* names' java/src/main/java/org/openapitools/client/model/Thing.java
GOPATH=$work/go GOFLAGS=-modcacherw go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -generate types -package t openapi.json >go.log 2>&1 &&
    { echo "oapi-codegen takes it"; exit 1; }
tail -n 2 go.log
grep -q 'names?: string<string>' typescript-fetch/models/Thing.ts
grep -q 'AnyOfstring<String> names' java/src/main/java/org/openapitools/client/model/Thing.java
grep -q 'unhandled Schema type' go.log
