"""What did the runs find, in one table? And which faults did a report name?

    table.py runs VERDICTS FOLDER    the table of all runs
    table.py faults REPORT           names of the measures that failed, in one line
"""

import json
import pathlib
import sys


def faults(report: dict) -> list[str]:
    """What a run found wrong: counts whose thresholds were crossed, or that goose's verdict names.

    Times and the load that k6 could make are left out: a busy machine spoils them, and that is nobody's fault.
    """
    if report["tool"] == "k6":
        crossed = {one["metric"] for one in report["thresholds"] if not one["ok"]}
        counts = {one["name"] for one in report["metrics"] if one["type"] in ("counter", "rate")}
        return sorted((crossed & counts) - {"dropped_iterations"})
    return sorted(report["faults"])


def k6_row(report: dict) -> tuple[str, ...]:
    """What was counted, then the times a script is about."""
    metrics = {metric["name"]: metric["values"] for metric in report["metrics"]}

    def count(name: str) -> int:
        return int(metrics.get(f"carillon_{name}", {}).get("count", 0))

    figures = []
    for name, label in (
        ("carillon_welcome", "welcome"),
        ("carillon_delivery", "delivery"),
        ("carillon_live_again", "live again"),
        ("carillon_back", "back"),
        ("carillon_acknowledge", "acknowledge"),
        ("carillon_acknowledge_batch", "a batch"),
    ):
        values = metrics.get(name)
        if values and values.get("count", 1):
            figures.append(f"{label} {values['med']:.0f}/{values['p(95)']:.0f} ms")
    if count("comebacks"):
        figures.append(f"{count('comebacks')} comebacks")
    wrong = (str(count(name)) for name in ("gaps", "repeats", "missing"))
    return (str(count("acknowledged")), str(count("events")), *wrong, ", ".join(figures))


def goose_row(report: dict) -> tuple[str, ...]:
    """The same columns."""
    wrong = (str(report[name]) for name in ("gaps", "repeats", "missing"))
    figures = ", ".join(f"{name} {one['median_ms']}/{one['p95_ms']} ms" for name, one in report["times"].items())
    return (str(report["acknowledged"]), str(report["delivered"]), *wrong, figures)


def runs(verdicts: pathlib.Path, folder: pathlib.Path) -> None:
    """Prints the table."""
    rows = [("run", "result", "acked", "read", "gaps", "repeats", "missing", "median/p95, or remark")]
    for line in verdicts.read_text().splitlines():
        name, passed, remark = line.split("\t")
        path = folder / ("goose-verdict.json" if name == "goose" else f"{name.replace(' ', '-')}.json")
        cells = ("", "", "", "", "", remark)
        if not name.startswith("twin") and path.exists():
            report = json.loads(path.read_text())
            cells = k6_row(report) if report["tool"] == "k6" else goose_row(report)
            if remark:
                cells = (*cells[:-1], remark)
        rows.append((name, "passed" if passed == "1" else "FAILED", *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        left, right = row[:2], row[2:-1]
        text = [cell.ljust(width) for cell, width in zip(left, widths)]
        text += [cell.rjust(width) for cell, width in zip(right, widths[2:-1])]
        print("  ".join([*text, row[-1]]).rstrip())


def main() -> None:
    match sys.argv[1:]:
        case ["runs", verdicts, folder]:
            runs(pathlib.Path(verdicts), pathlib.Path(folder))
        case ["faults", report]:
            print(" ".join(faults(json.loads(pathlib.Path(report).read_text()))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
