#!/usr/bin/env python3
"""Does Prometheus read the rules in the chart's PrometheusRules? The operator writes each spec to a file; so does this.

    operator_rules.py RENDERED FOLDER
"""

import subprocess
import sys
from pathlib import Path

import yaml

rendered, folder = Path(sys.argv[1]), Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
files = []
for item in yaml.load_all(rendered.read_text(), Loader=yaml.CSafeLoader):
    if item and item["kind"] == "PrometheusRule":
        files.append(folder / f"{item['metadata']['name']}.yml")
        files[-1].write_text(yaml.safe_dump(item["spec"], allow_unicode=True))
if not files:
    sys.exit("no rules were rendered")
sys.exit(subprocess.run(["promtool", "check", "rules", *files]).returncode)
