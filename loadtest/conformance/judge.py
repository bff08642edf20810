#!/usr/bin/env python3
"""Which cases shall the Autobahn test suite run, and did all of them pass?

`judge.py specification URL DIRECTORY [PATTERN...]` prints what the fuzzing client is told.
`judge.py report FILE [PATTERN...]` prints a table of its report and ends with `N passed, N failed`.
"""

import json
import sys
from collections import Counter

# The sections and how many cases each has in release 0.8.2: a report with fewer proves less.
SECTIONS = {
    1: ("Framing", 16),
    2: ("Pings and pongs", 11),
    3: ("Reserved bits", 7),
    4: ("Opcodes", 10),
    5: ("Fragmentation", 20),
    6: ("UTF-8", 145),
    7: ("Closing", 37),
    9: ("Limits and performance", 54),
    10: ("Automatic fragmentation", 1),
    12: ("Compression, payloads", 90),
    13: ("Compression, parameters", 126),
}
AGENT = "carillon"
# NON-STRICT, FAILED, UNIMPLEMENTED and UNCLEAN are not.
GOOD = {"OK", "INFORMATIONAL"}


def specification(url, directory, patterns):
    cases = patterns or [f"{section}.*" for section in SECTIONS]
    server = {"agent": AGENT, "url": url}
    return {"outdir": directory, "servers": [server], "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}


def order(case):
    return [int(part) for part in case.split(".")]


def report(cases, partial):
    """Prints the table; answers how many passed and what is wrong."""
    behaviours = {section: Counter() for section in SECTIONS}
    faults = []
    for case in sorted(cases, key=order):
        result = cases[case]
        how = {result["behavior"], result["behaviorClose"]}
        behaviours[order(case)[0]][result["behavior"]] += 1
        if not how <= GOOD:
            faults.append(f"case {case}: {result['behavior']}, closing {result['behaviorClose']}")
    passed = len(cases) - len(faults)

    print(f"{'section':34}{'cases':>6}{'OK':>6}{'informational':>15}{'other':>7}")
    for section, (name, expected) in SECTIONS.items():
        seen = behaviours[section]
        ok, informational = seen["OK"], seen["INFORMATIONAL"]
        total = sum(seen.values())
        print(f"{section:>2} {name:31}{total:>6}{ok:>6}{informational:>15}{total - ok - informational:>7}")
        if not partial and total != expected:
            faults.append(f"section {section}: {total} cases were run, the suite has {expected}")
    for fault in faults:
        print(fault)
    return passed, faults


def main(arguments):
    match arguments:
        case ["specification", url, directory, *patterns]:
            json.dump(specification(url, directory, patterns), sys.stdout, indent=2)
            return 0
        case ["report", path, *patterns]:
            with open(path, encoding="utf-8") as file:
                cases = json.load(file).get(AGENT, {})
            passed, faults = report(cases, bool(patterns))
            print(f"{passed} passed, {len(faults)} failed")
            return 1 if faults or not passed else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
