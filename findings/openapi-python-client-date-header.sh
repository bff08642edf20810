#!/usr/bin/env bash
# openapi-python-client 0.29.1: an operation with a header that is a date-time is left out of the client, with a warning and exit code 0.
#
# The rest of the client is there, so the operation is missed only by whoever looks for it; --fail-on-warning tells. The same header
# without a format is a text, and the operation is there. Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1
PATH=$work/venv/bin:$PATH
for kind in '"format":"date-time",' ''; do
    name=$([[ $kind ]] && echo date || echo text)
    cat >"$name.json" <<JSON
{"openapi":"3.1.0","info":{"title":"$name","version":"1"},"paths":{"/things":{"get":{"operationId":"getThings","tags":["things"],"parameters":[
{"name":"since","in":"header","schema":{$kind"type":"string"}}],"responses":{"204":{"description":"done"}}}}}}
JSON
    openapi-python-client generate --path "$name.json" --output-path "$name" 2>&1 | grep -i 'not allowed\|will not' || true
    echo "$name: $(find "$name" -name get_things.py | wc -l) operation(s)"
done
[[ -z $(find date -name get_things.py) && -n $(find text -name get_things.py) ]]
