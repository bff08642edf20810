#!/usr/bin/env python3
"""What is in each thing that is shipped? One CycloneDX 1.6 document each, from what cargo and npm have resolved; no network.

  deploy/sbom.py OUT        writes OUT/NAME.cdx.json for the services, the archive's program and each npm package

The same commit makes the same documents: nothing in them is of the time or the machine they are made on.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = {
    "carillon-gateway": "image and archive",
    "carillon-publisher": "image and archive",
    "carillon-devstack": "archive, as the program carillon",
}
PACKAGES = ["client", "react", "ui", "server"]
# Built into the publisher: what its packages bring is part of it.
CONSOLE = "console"
# Files of others in the repository that the publisher serves.
ASSETS = [("rapidoc", "MIT", "publisher/assets/rapidoc-min.js")]


def metadata():
    command = ["cargo", "metadata", "--offline", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def licence(text):
    return [{"expression": text.replace("/", " OR ")}] if text else []


def checksums():
    """Checksums of crates, as Cargo.lock has them."""
    found, name, version = {}, None, None
    for line in (ROOT / "Cargo.lock").read_text().splitlines():
        if match := re.match(r'(name|version|checksum) = "(.*)"', line):
            if match[1] == "name":
                name = match[2]
            elif match[1] == "version":
                version = match[2]
            else:
                found[name, version] = match[2]
    return found


def program(known, sums, root):
    packages = {each["id"]: each for each in known["packages"]}
    nodes = {each["id"]: each for each in known["resolve"]["nodes"]}
    reference = lambda id: f"pkg:cargo/{packages[id]['name']}@{packages[id]['version']}"
    start = next(id for id, each in packages.items() if each["name"] == root)
    seen, following, depends = set(), [start], {}
    while following:
        id = following.pop()
        if id in seen:
            continue
        seen.add(id)
        normal = [
            each["pkg"] for each in nodes[id]["deps"] if any(kind["kind"] is None for kind in each["dep_kinds"])
        ]
        depends[reference(id)] = sorted({reference(each) for each in normal})
        following += normal
    components = []
    for id in sorted(seen - {start}, key=reference):
        each = packages[id]
        part = {"type": "library", "bom-ref": reference(id), "name": each["name"], "version": each["version"]}
        part["purl"] = reference(id)
        part["licenses"] = licence(each["license"])
        if sum := sums.get((each["name"], each["version"])):
            part["hashes"] = [{"alg": "SHA-256", "content": sum}]
        components.append(part)
    own = packages[start]
    return document("application", own["name"], own["version"], reference(start), own["license"], components, depends)


def npm_parts(lock, workspace):
    """Packages of others below a workspace, and what depends on what."""
    known = lock["packages"]
    purl = lambda name, version: f"pkg:npm/{name.replace('@', '%40')}@{version}"

    def reference(place):
        each = known[place]
        name = each.get("name") or place.split("node_modules/")[-1]
        return name, each["version"], purl(name, each["version"])

    seen, following, depends, components = set(), [workspace], {}, []
    while following:
        place = following.pop()
        if place in seen:
            continue
        seen.add(place)
        name, version, ref = reference(place)
        below = []
        for dependency in known[place].get("dependencies", {}):
            nearest = f"{place}/node_modules/{dependency}"
            found = nearest if nearest in known else f"node_modules/{dependency}"
            found = known[found]["resolved"] if known[found].get("link") else found
            below.append(found)
        depends[ref] = sorted({reference(each)[2] for each in below})
        following += below
        if place != workspace:
            part = {"type": "library", "bom-ref": ref, "name": name, "version": version, "purl": ref}
            part["licenses"] = licence(known[place].get("license"))
            components.append(part)
    return reference(workspace), sorted(components, key=lambda each: each["bom-ref"]), depends


def document(kind, name, version, reference, licensed, components, depends):
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": kind,
                "bom-ref": reference,
                "name": name,
                "version": version,
                "licenses": licence(licensed),
            }
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in sorted(depends.items())],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    # A name of the content: the same parts have the same number.
    serial = f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    return {**body, "serialNumber": f"urn:uuid:{serial}"}


def check(name, made):
    """Every part has a name, a version and a licence, and everything that is depended on is a part."""
    refs = {made["metadata"]["component"]["bom-ref"]}
    for part in made["components"]:
        if not (part["name"] and part["version"] and part["licenses"]):
            raise SystemExit(f"{name}: {part} lacks something")
        if part["bom-ref"] in refs:
            raise SystemExit(f"{name}: {part['bom-ref']} stands twice")
        refs.add(part["bom-ref"])
    for entry in made["dependencies"]:
        unknown = ({entry["ref"]} | set(entry["dependsOn"])) - refs
        if unknown:
            raise SystemExit(f"{name}: {unknown} are no parts")


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    known, sums = metadata(), checksums()
    lock = json.loads((ROOT / "web/package-lock.json").read_text())
    made = {root: program(known, sums, root) for root in PROGRAMS}
    publisher = made["carillon-publisher"]
    _, below, depends = npm_parts(lock, CONSOLE)
    publisher["components"] += below
    for name, licensed, file in ASSETS:
        content = hashlib.sha256((ROOT / file).read_bytes()).hexdigest()
        part = {"type": "file", "bom-ref": file, "name": name, "version": content[:12], "licenses": licence(licensed)}
        publisher["components"].append({**part, "hashes": [{"alg": "SHA-256", "content": content}]})
    refs = {part["bom-ref"] for part in publisher["components"]}
    publisher["dependencies"] += [
        {"ref": ref, "dependsOn": on} for ref, on in sorted(depends.items()) if ref in refs
    ]
    for workspace in PACKAGES:
        (name, version, ref), parts, depends = npm_parts(lock, workspace)
        licensed = lock["packages"][workspace].get("license")
        made[f"carillon-{workspace}.npm"] = document("library", name, version, ref, licensed, parts, depends)
    for name, content in made.items():
        check(name, content)
        (out / f"{name}.cdx.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        print(f"{out / name}.cdx.json: {len(content['components'])} parts")


main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/sbom"))
