"""How do the peers compare? Lays out what run.sh measured as text, Markdown and JSON.

Of several rounds the one with the middle CPU time per delivery stands in the table, whole; faults are summed over all.
"""

import argparse
import json
import pathlib
import platform
import re
import subprocess

PEERS = {
    "carillon": ("Carillon", "Postgres, Redis", "yes"),
    "carillon-socketio": ("Carillon, spoken to as Socket.IO", "Postgres, Redis", "yes"),
    "socketio": ("Socket.IO, Redis adapter", "Redis", "no"),
    "socketioxide": ("socketioxide, Redis adapter", "Redis", "no"),
    "nats": ("NATS over WebSocket, 2 nodes", "a cluster route", "no"),
    "bun": ("uWebSockets (Bun)", "nothing: one process", "no"),
}
FLOOR = "bare write() loop"
MEASURES = {
    "B1": "B1: one frame a write (2,000 sockets, 40 events/s, 200-byte events)",
    "B2": "B2: as fast as it comes (1,000 sockets, 700 events/s offered, 200-byte events)",
    "B3": "B3: resident bytes per idle subscribed connection",
}
FAN_OUT_HEAD = [
    "server", "through", "durable", "CPU per delivery, µs", "of it user", "to Carillon", "events at a time",
    "delivered", "deliveries/s", "missed / doubled / late / cut off", "p50 ms", "p99 ms", "message, bytes",
]
BEGIN, END = "<!-- figures: written by loadtest/peers/run.sh --page -->", "<!-- end of figures -->"


def fan_out(report):
    """One round, whoever reported it, in the same words."""
    each, latency = report.get("cpu_per_delivery"), report["post_to_socket"]
    account = report.get("account")
    if account is None:  # Carillon's own: every delivery is checked against the log's seq.
        wrong = {"missed": max(0, report["expected"] - report["deliveries"]), "faults": report["faults"]}
    else:
        wrong = {
            "missed": account["expected"] - account["delivered"],
            "doubled": account["duplicates"],
            "late": account["out_of_order"],
            "cut_off": report["lost_connections"],
        }
    return {
        "cpu_us": each and each["user_us"] + each["system_us"],
        "user_us": each and each["user_us"],
        "at_a_time": report.get("deliveries_per_read", report.get("deliveries_per_write")),
        "expected": report["expected"],
        "deliveries": report["deliveries"],
        "deliveries_per_second": report["deliveries_per_second"],
        "wrong": wrong,
        "p50_ms": latency["p50_us"] / 1000,
        "p99_ms": latency["p99_us"] / 1000,
        "message_bytes": report.get("message_bytes", report.get("frame_bytes")),
        "first": (report.get("first_lost") or report.get("first_faults") or [])[:3],
    }


def bare(report):
    """The floor that was measured beside a round of Carillon."""
    floor = report.get("floor")
    if not floor:
        return None
    each, latency = floor["cpu_per_delivery"], floor["stamp_to_socket"]
    return {
        "cpu_us": each["user_us"] + each["system_us"],
        "user_us": each["user_us"],
        "p50_ms": latency["p50_us"] / 1000,
        "p99_ms": latency["p99_us"] / 1000,
        "message_bytes": report["frame_bytes"],
    }


def middle(rounds):
    """The round with the middle CPU time, with the faults and the CPU times of all."""
    ordered = sorted(rounds, key=lambda one: one["cpu_us"])
    chosen = dict(ordered[(len(ordered) - 1) // 2])
    chosen["cpu_us_of_rounds"] = [round(one["cpu_us"], 3) for one in rounds]
    if "wrong" in chosen:
        kinds = {kind for one in rounds for kind in one["wrong"]}
        chosen["wrong"] = {kind: sum(one["wrong"].get(kind, 0) for one in rounds) for kind in sorted(kinds)}
        chosen["first"] = [why for one in rounds for why in one["first"]][:3]
    return chosen


def gather(lines):
    """What was measured: measure -> server -> figures, or why there are none."""
    fan_outs, floors, found = {}, [], {measure: {} for measure in MEASURES}
    for line in lines:
        peer, measure = line["peer"], line["measure"]
        if "failure" in line:
            found[measure].setdefault(peer, {"failure": line["failure"]})
        elif measure == "B3":
            steps = line["report"]["steps"]
            found[measure][peer] = {
                "steps": {
                    str(step["connections"]): {
                        "resident_bytes": step["resident_bytes_per_connection"],
                        "subscribed": step.get("subscribed", step["connections"]),
                    }
                    for step in steps
                }
            }
        else:
            fan_outs.setdefault((measure, peer), []).append(fan_out(line["report"]))
            floors += [floor for floor in [bare(line["report"])] if floor]
    for (measure, peer), rounds in fan_outs.items():
        found[measure][peer] = middle(rounds)
    if floors:
        found["B1"]["floor"] = middle(floors)
    return found


def wrong_words(wrong):
    if "faults" in wrong:
        return f"{wrong['missed']:,} / {wrong['faults']:,} faults"
    return " / ".join(f"{wrong[kind]:,}" for kind in ("missed", "doubled", "late", "cut_off"))


def fan_out_rows(figures):
    ours = figures.get("carillon", {}).get("cpu_us")

    def row(peer, one):
        label, through, durable = PEERS.get(peer, (FLOOR, "nothing", "no"))
        if "failure" in one:
            return [label, through, durable, one["failure"]] + [""] * (len(FAN_OUT_HEAD) - 4)
        row = [label, through, durable, f"{one['cpu_us']:.2f}", f"{one['user_us']:.2f}"]
        row.append(f"{one['cpu_us'] / ours:.2f}" if ours else "")
        if peer == "floor":
            row += ["1.00", "", "", ""]
        else:
            row.append(f"{one['at_a_time']:.2f}" if one["at_a_time"] else "")
            row += [f"{one['deliveries'] / one['expected']:.1%}", f"{one['deliveries_per_second']:,.0f}"]
            row.append(wrong_words(one["wrong"]))
        return row + [f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}", f"{one['message_bytes']:,}"]

    return [row(peer, figures[peer]) for peer in ["floor", *PEERS] if peer in figures]


def idle_table(figures):
    sizes = sorted({int(size) for one in figures.values() for size in one.get("steps", {})})
    head = ["server", *[f"at {size:,}" for size in sizes], "to Carillon at the most"]
    ours = figures.get("carillon", {}).get("steps", {})

    def row(peer):
        one, label = figures[peer], PEERS[peer][0]
        if "failure" in one:
            return [label, one["failure"]] + [""] * len(sizes)
        cells, last = [label], str(sizes[-1])
        for size in map(str, sizes):
            step = one["steps"].get(size)
            short = step and step["subscribed"] < int(size)
            cells.append(f"{step['resident_bytes']:,.0f}" + (f" ({step['subscribed']:,} held)" if short else "") if step else "–")
        both = last in ours and last in one["steps"]
        cells.append(f"{one['steps'][last]['resident_bytes'] / ours[last]['resident_bytes']:.1f}" if both else "")
        return cells

    return head, [row(peer) for peer in PEERS if peer in figures]


def text_table(head, rows):
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    # A reason is as long as it is; it stands in its row alone.
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]
    return "\n".join(lines)


def markdown_table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines)


def version_of(*command):
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "absent"
    return re.search(r"\d+\.\d+[\w.-]*", answer).group()


def versions(modules, lock, commit):
    def module(folder, name):
        package = modules / folder / "node_modules" / name / "package.json"
        return json.loads(package.read_text())["version"] if package.is_file() else "absent"

    locked = dict(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', lock.read_text()))
    return {
        "Carillon": commit,
        "socket.io": module("socketio", "socket.io"),
        "@socket.io/redis-adapter": module("socketio", "@socket.io/redis-adapter"),
        "ws": module("socketio", "ws"),
        "redis (npm)": module("socketio", "redis"),
        "Node": version_of("node", "--version"),
        "socketioxide": locked["socketioxide"],
        "socketioxide-redis": f"{locked['socketioxide-redis']} (fred {locked['fred']})",
        "NATS server": version_of(modules / "nats/bin/nats-server", "--version"),
        "Bun": module("bun", "bun"),
        "Redis": version_of("redis-server", "--version"),
    }


def machine(load_before):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    cores = len(re.findall(r"^processor", pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    return f"{cores} × {model.group(1) if model else platform.machine()}, Linux {platform.release()}, load {load_before} at the start and {load} at the end"


def main():
    parser = argparse.ArgumentParser()
    for name in ["results", "modules", "lock", "out"]:
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--page", type=pathlib.Path)
    options = parser.parse_args()
    found = gather(json.loads(line) for line in options.results.read_text().splitlines())
    used, where = versions(options.modules, options.lock, options.commit), machine(options.load)

    parts = [(MEASURES[measure], FAN_OUT_HEAD, fan_out_rows(found[measure])) for measure in ("B1", "B2")]
    parts.append((MEASURES["B3"], *idle_table(found["B3"])))
    parts = [part for part in parts if part[2]]
    told = ", ".join(f"{name} {version}" for name, version in used.items())
    text = "\n\n".join(f"{title}\n{text_table(head, rows)}" for title, head, rows in parts)
    text += f"\n\n{told}\n{where}\n"
    markdown = "\n\n".join(f"**{title}**\n\n{markdown_table(head, rows)}" for title, head, rows in parts)
    markdown += f"\n\nVersions: {told}. Machine: {where}.\n"

    everything = {"versions": used, "machine": where, "measures": found}
    (options.out / "comparison.json").write_text(json.dumps(everything, indent=2, ensure_ascii=False) + "\n")
    (options.out / "comparison.txt").write_text(text)
    (options.out / "comparison.md").write_text(markdown)
    if options.page:
        page = options.page.read_text()
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        options.page.write_text(f"{before}{BEGIN}\n\n{markdown}\n{END}{after}")
    print(text, end="")


if __name__ == "__main__":
    main()
