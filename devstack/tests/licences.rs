//! Under which licences does that come which is shipped, and is each of them one that we may ship?
//!
//! docs/LICENCES.md is made here: `UPDATE_PAGES=1 cargo test -p carillon-devstack --test licences`.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// May be shipped in an Apache-2.0 program without more than their text and notice.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OFL-1.1",
    "Unicode-3.0",
    "Zlib",
];

/// Programs that are shipped, and where.
const PROGRAMS: [(&str, &str); 3] = [
    ("carillon-gateway", "image, archive"),
    ("carillon-publisher", "image, archive"),
    ("carillon-devstack", "archive, as `carillon`"),
];

/// npm workspaces that are packages, or are built into the publisher.
const PACKAGES: [&str; 5] = ["client", "react", "ui", "server", "console"];

/// What lies in the repository and is shipped without a package manager knowing it.
const ASSETS: [(&str, &str, &str, &str); 1] =
    [("RapiDoc", "`/docs` of the publisher", "MIT", "publisher/assets/rapidoc.LICENSE.txt")];

#[derive(Debug, Default)]
struct Part {
    licence: String,
    shipped_in: BTreeSet<String>,
}

type Parts = BTreeMap<(String, String), Part>;

#[test]
fn nothing_is_shipped_under_a_licence_that_we_may_not_ship() {
    let parts = crates().into_iter().chain(packages());
    let refused: Vec<String> = parts
        .filter(|(_, part)| !is_allowed(&part.licence))
        .map(|((name, version), part)| format!("{name} {version}: {:?}", part.licence))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}\nThe licences that may be: {ALLOWED:?}");
    for (name, _, licence, file) in ASSETS {
        assert!(is_allowed(licence) && root().join(file).exists(), "{name}");
    }
}

#[test]
fn the_page_of_licences_names_what_is_shipped() {
    let page = page();
    let file = root().join("docs/LICENCES.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(known == page, "docs/LICENCES.md is not what is shipped now; run this test with UPDATE_PAGES=1");
}

#[test]
fn an_expression_is_allowed_if_one_of_its_choices_is_and_each_of_its_parts() {
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0-only OR MIT",
        "Apache-2.0 AND (ISC OR GPL-2.0-only)",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in
        ["", "GPL-3.0-only", "MIT AND GPL-2.0-only", "AGPL-3.0-only OR SSPL-1.0", "(MIT", "MIT OR", "MIT MIT"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}

/// Reads an SPDX expression: AND binds more than OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest).unwrap_or(false) && rest.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = both(words)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        allowed |= both(words)?;
    }
    Some(allowed)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let allowed = either(words)?;
            let [")", rest @ ..] = *words else { return None };
            *words = rest;
            Some(allowed)
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()))
        }
        ["OR" | "AND" | ")", ..] | [] => None,
        [name, rest @ ..] => {
            *words = rest;
            Some(ALLOWED.contains(name))
        }
    }
}

/// The crates of other people whose code is in our programs, as cargo resolves them for Linux: neither what only builds
/// nor what only tests.
fn crates() -> Parts {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, &Value> =
        metadata["packages"].as_array().unwrap().iter().map(|each| (text(&each["id"]), each)).collect();
    let nodes: BTreeMap<String, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (text(&each["id"]), each))
        .collect();
    let mut parts = Parts::new();
    for (program, place) in PROGRAMS {
        let start = packages.iter().find(|(_, package)| package["name"] == program).unwrap().0.clone();
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(id) = next.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let package = packages[&id];
            if !package["source"].is_null() {
                let part = parts.entry((text(&package["name"]), text(&package["version"]))).or_default();
                part.licence = text(&package["license"]);
                part.shipped_in.insert(place.to_owned());
            }
            for dependency in nodes[&id]["deps"].as_array().unwrap() {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                if kinds.iter().any(|kind| kind["kind"].is_null()) {
                    next.push(text(&dependency["pkg"]));
                }
            }
        }
    }
    assert!(parts.len() > 100, "the crates were not found");
    parts
}

/// The npm packages of other people that our packages bring along, or that are built into the console.
fn packages() -> Parts {
    let lock = std::fs::read_to_string(root().join("web/package-lock.json")).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    let known = lock["packages"].as_object().unwrap();
    let mut parts = Parts::new();
    for workspace in PACKAGES {
        let (mut seen, mut next) = (BTreeSet::new(), vec![workspace.to_owned()]);
        while let Some(place) = next.pop() {
            if !seen.insert(place.clone()) {
                continue;
            }
            let package = &known[&place];
            if let Some(name) = place.rsplit_once("node_modules/").map(|(_, name)| name) {
                let version = package["version"].as_str().unwrap().to_owned();
                let part = parts.entry((name.to_owned(), version)).or_default();
                part.licence = package["license"].as_str().unwrap_or_default().to_owned();
                let place = if workspace == "console" { "console" } else { workspace };
                part.shipped_in.insert(format!("npm: {place}"));
            }
            for name in package["dependencies"].as_object().into_iter().flat_map(|each| each.keys()) {
                // The nearest one counts, as Node looks for it.
                let places = [format!("{place}/node_modules/{name}"), format!("node_modules/{name}")];
                let place = places.into_iter().find(|place| known.contains_key(place)).unwrap();
                let target = known[&place]["resolved"].as_str().filter(|_| known[&place]["link"] == true);
                next.push(target.map_or(place.clone(), str::to_owned));
            }
        }
    }
    assert!(parts.keys().any(|(name, _)| name == "react"), "the packages were not found");
    parts
}

fn page() -> String {
    let (crates, packages) = (crates(), packages());
    let mut page = String::from(
        "# Licences of what is shipped\n\n\
         Carillon is Apache-2.0 ([LICENSE](../LICENSE)). Made by `devstack/tests/licences.rs` from what cargo and npm have resolved: what is in programs, packages and pages, not what only builds or tests them. \
         A licence that is not among those that may be shipped fails the gate (`nothing_is_shipped_under_a_licence_that_we_may_not_ship`).\n\n",
    );
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for part in crates.values().chain(packages.values()) {
        *counts.entry(&part.licence).or_default() += 1;
    }
    page.push_str("| licence | parts |\n|---|---|\n");
    for (licence, count) in counts {
        let _ = writeln!(page, "| {licence} | {count} |");
    }
    page.push_str("\nThe images also hold the C library of their base (LGPL-2.1-or-later, linked dynamically), its root certificates (MPL-2.0) and the time zones (public domain); the archive is linked statically against musl (MIT) where that is there.\n");
    page.push_str(
        "\n## Files of others in the repository\n\n| what | where | licence | text |\n|---|---|---|---|\n",
    );
    for (name, place, licence, file) in ASSETS {
        let _ = writeln!(page, "| {name} | {place} | {licence} | [{file}](../{file}) |");
    }
    page.push_str("\n## npm packages\n\n");
    table(&mut page, &packages);
    page.push_str("\n## Crates\n\n");
    table(&mut page, &crates);
    page
}

fn table(page: &mut String, parts: &Parts) {
    page.push_str("| name | version | licence | shipped in |\n|---|---|---|---|\n");
    for ((name, version), part) in parts {
        let places = part.shipped_in.iter().cloned().collect::<Vec<_>>().join("; ");
        let _ = writeln!(page, "| {name} | {version} | {} | {places} |", part.licence);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
