#!/usr/bin/env python3
"""How are custom resources validated? Their definitions carry an OpenAPI schema; this writes it as strict JSON Schema.

    crd_schemas.py TARGET CRD.yaml…    TARGET/<group>/<kind>_<version>.json, all lower case
"""

import json
import sys
from pathlib import Path

import yaml


def strict(schema):
    """Unknown fields are refused where the API server would drop them; Kubernetes' extensions become plain JSON Schema."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields", False)
    plain = {key: strict(value) for key, value in schema.items() if not key.startswith("x-kubernetes-") and key != "properties"}
    if "properties" in schema:
        # Names of fields, not keywords.
        plain["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not keeps:
            plain.setdefault("additionalProperties", False)
    if plain.pop("nullable", False) and isinstance(plain.get("type"), str):
        plain["type"] = [plain["type"], "null"]
    return plain


def main():
    target, sources = Path(sys.argv[1]), sys.argv[2:]
    for source in sources:
        for definition in yaml.load_all(Path(source).read_text(), Loader=yaml.CSafeLoader):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # What every object has, and the definition leaves to the API server.
                schema["properties"].update(
                    apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
                )
                folder = target / spec["group"]
                folder.mkdir(parents=True, exist_ok=True)
                name = f"{spec['names']['kind']}_{version['name']}.json".lower()
                (folder / name).write_text(json.dumps(schema))
                print(f"{spec['group']}/{name}")


main()
