#!/usr/bin/env python3
"""Do values.yaml, its schema, its table in README.md, and the services' variables agree?

    agreement.py            says what differs; the last line counts
    agreement.py --write    writes the table in README.md anew
"""

import json
import re
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[1] / "carillon"
DOCS = CHART.parents[1] / "docs"

# Sections of free form: the schema allows more than values.yaml shows.
FREE = {"balancer.resources", "gateway.resources", "publisher.resources", "migrations.resources", "httpRoute.timeouts"}

# Set by the chart and not by Carillon's own reference pages: variables of libraries.
FOREIGN = {"TOKIO_WORKER_THREADS", "SSL_CERT_FILE"}


def described(text):
    """Every value with a comment `# -- …`: a list of (path, description)."""
    found, path, comment = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        body = line.strip()
        if body.startswith("# -- "):
            comment = body[5:]
        elif body.startswith("#") and comment is not None:
            comment += " " + body.lstrip("# ")
        elif match := re.match(r"^( *)([A-Za-z][A-Za-z0-9]*):", line):
            depth = len(match[1]) // 2
            path = path[:depth] + [match[2]]
            if comment is not None:
                found.append((".".join(path), comment))
            comment = None
        else:
            if comment is not None:
                sys.exit(f"values.yaml:{number}: a description that describes nothing")
    return found


def at(values, path):
    for key in path.split("."):
        values = values[key]
    return values


def leaves(values, documented, path=""):
    """Paths that no description covers."""
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        if here in documented:
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, documented, here)
        else:
            yield here


def table(values, rows):
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, meaning in rows:
        default = at(values, path)
        shown = "see values.yaml" if isinstance(default, (dict, list)) and len(json.dumps(default)) > 60 else f"`{json.dumps(default)}`"
        lines.append(f"| `{path}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def schema_only(schema, values, root, path=""):
    """Properties that the schema knows and values.yaml does not."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    if schema.get("additionalProperties", True) is not False or path in FREE:
        return
    for key, inner in schema.get("properties", {}).items():
        here = f"{path}.{key}".lstrip(".")
        if not isinstance(values, dict) or key not in values:
            yield here
        else:
            yield from schema_only(inner, values[key], root, here)


def open_sections(schema, root, path=""):
    """Objects with named properties to which a misspelling could be added."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    closed = schema.get("additionalProperties", True) is False
    if "properties" in schema and not closed and not path.endswith("service.spec"):
        yield path or "the values"
    for key, inner in schema.get("properties", {}).items():
        if isinstance(inner, dict):
            yield from open_sections(inner, root, f"{path}.{key}".lstrip("."))


def main():
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    schema = json.loads((CHART / "values.schema.json").read_text())
    rows = described(text)
    readme_path = CHART / "README.md"
    readme = readme_path.read_text()
    between = re.compile(r"(<!-- values -->\n\n).*?(\n\n<!-- /values -->)", re.S)
    written = between.sub(lambda match: match[1] + table(values, rows) + match[2], readme)
    if "--write" in sys.argv:
        readme_path.write_text(written)
        return 0

    configuration = (DOCS / "CONFIGURATION.md").read_text()
    declared = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", configuration, re.M))
    templates = (CHART / "templates/_environment.tpl").read_text()
    rendered = set(re.findall(r"\b((?:CARILLON|OTEL|TOKIO|SSL|DATABASE|REDIS)_[A-Z_]+[A-Z])\b", templates)) - FOREIGN
    # In file mode the name is put together; public keys are declared as the file's variable itself.
    checks = {
        "every value is described": list(leaves(values, {path for path, _ in rows})),
        "the table in README.md is current (agreement.py --write)": [] if written == readme else ["README.md"],
        "the schema knows no value that values.yaml does not show": list(schema_only(schema, values, schema)),
        "no section of the schema takes unknown keys": list(open_sections(schema, schema)),
        "every variable of docs/CONFIGURATION.md can be set": sorted(declared - rendered),
        "every variable the chart sets is in docs/CONFIGURATION.md": sorted(rendered - declared),
        "the page of variables was read": [] if len(declared) > 30 else [f"{len(declared)} variables found"],
    }
    failed = 0
    for name, faults in checks.items():
        print(f"{'FAILED' if faults else 'ok':8} {name}")
        for fault in faults:
            print(f"           {fault}")
        failed += bool(faults)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
