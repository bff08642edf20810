#!/usr/bin/env bash
# What is in each image, archive and npm package? CycloneDX documents in target/sbom, checked against the schema.
#
#   deploy/sbom.sh
#
# Making them needs neither network nor anything but Python. The schema comes with a library of the Python registry, which is
# installed once into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 deploy/sbom.py target/sbom
env=target/tools/sbom
if [ ! -x "$env/bin/python" ]; then
  python3 -m venv "$env"
  "$env/bin/pip" install -q 'cyclonedx-python-lib[json-validation]==11.0.0'
fi
"$env/bin/python" - target/sbom/*.cdx.json <<'PYTHON'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

validator = JsonStrictValidator(SchemaVersion.V1_6)
for file in sys.argv[1:]:
    with open(file, encoding="utf-8") as text:
        fault = validator.validate_str(text.read())
    if fault:
        raise SystemExit(f"{file}: {fault}")
print(f"{len(sys.argv) - 1} documents are valid CycloneDX 1.6")
PYTHON
