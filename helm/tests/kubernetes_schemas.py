#!/usr/bin/env python3
"""Where do Kubernetes' own schemas come from? From kubernetes-validate on PyPI, made readable for kubeconform.

    kubernetes_schemas.py TARGET MINOR    strict schemas of Kubernetes 1.MINOR and newer, TARGET/v1.x.0-local-strict/…

The package's schemas name each other by absolute addresses; here they do so by the file's name.
"""

import json
import re
import sys
from pathlib import Path

import kubernetes_validate

HOME = "https://kubernetes.io"
SOURCE = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def main():
    target, oldest = Path(sys.argv[1]), int(sys.argv[2])
    for folder in sorted(SOURCE.glob("v1.*-local-strict")):
        if int(re.match(r"v1\.(\d+)\.", folder.name)[1]) < oldest:
            continue
        (target / folder.name).mkdir(parents=True)
        for path in folder.glob("*.json"):
            schema = json.loads(path.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
            if not schema.pop("$id", HOME).startswith(HOME):
                sys.exit(f"{path}: an address of another kind")
            (target / folder.name / path.name).write_text(json.dumps(schema))


main()
