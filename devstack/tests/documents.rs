//! Do the pages point at what exists?
//!
//! A link that leads nowhere, a file that was renamed and an invariant without a test are found here, not by a reader.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        for target in links(&text).filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { folder.join(file) };
            if !path.exists() {
                broken.push(format!("{}: {target} does not exist", page.display()));
            } else if !anchor.is_empty()
                && !anchors(&std::fs::read_to_string(&path).unwrap()).contains(anchor)
            {
                broken.push(format!("{}: {target} has no such heading", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_architecture_names_only_files_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let mut missing = Vec::new();
    let crates = [
        "protocol/",
        "backplane/",
        "platform/",
        "gateway/",
        "publisher/",
        "devstack/",
        "loadtest/",
        "migrations/",
    ];
    for name in text.split('`').skip(1).step_by(2) {
        if crates.iter().any(|folder| name.starts_with(folder)) && !root().join(name).exists() {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names what is not there: {missing:?}");
}

#[test]
fn every_invariant_has_tests_that_carry_its_name() {
    let tests = test_names();
    for number in 1..=10 {
        let marks = [format!("i{number}_"), format!("_i{number}_")];
        let named = tests.iter().any(|name| name.starts_with(&marks[0]) || name.contains(&marks[1]));
        assert!(named, "no test carries the name of invariant I{number}");
    }
}

#[test]
fn the_pages_name_only_tests_that_exist() {
    let tests = test_names();
    let mut missing = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let names = text.split('`').skip(1).step_by(2).filter(|name| is_name_of_a_test(name));
        missing.extend(
            names.filter(|name| !tests.contains(*name)).map(|name| format!("{}: {name}", page.display())),
        );
    }
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

#[test]
fn each_promise_of_the_readme_has_tests() {
    let rows = |file: &str, heading: &str| -> Vec<(String, String)> {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let section =
            text.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap().to_owned();
        let cells =
            section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        cells.map(|(when, then)| (when.to_owned(), then.to_owned())).collect()
    };
    let promises = rows("README.md", "What happens when");
    let shown = rows("docs/ARCHITECTURE.md", "What happens when, and the tests that show it");
    assert!(promises.len() > 10);
    let tests = test_names();
    for (when, _) in &promises {
        let named = shown.iter().find(|(other, _)| other == when).map(|(_, tests)| tests.as_str());
        let real = named.unwrap_or_default().split('`').filter(|name| tests.contains(*name)).count();
        assert!(real > 0, "docs/ARCHITECTURE.md names no test for: {when}");
    }
    for (when, _) in shown.iter().skip(1) {
        assert!(promises.iter().any(|(promise, _)| promise == when), "README does not promise: {when}");
    }
}

/// Whether it reads as a sentence does, in the form of a function's name: no variable, metric or table has so many words.
/// What the contract says of event stream clients is what `make clients` saw: each is named in the row of what it does.
#[test]
fn the_contract_says_of_event_stream_clients_what_was_seen() {
    let table = |file: &str, heading: &str, head: &str| -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let section = text.split(heading).nth(1).unwrap();
        let lines = section.lines().skip_while(|line| !line.starts_with(head)).skip(2);
        let rows = lines.take_while(|line| line.starts_with('|'));
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let seen = table("docs/CLIENTS.md", "\n## Event streams", "| language | client |");
    assert!(seen.len() > 20, "{}", seen.len());
    let columns = ["200 and the end", "503, 429", "port refused"];
    let text = std::fs::read_to_string(root().join("docs/CLIENTS.md")).unwrap();
    let titles = text.lines().rfind(|line| line.starts_with("| language | client |")).unwrap();
    let place = |title: &str| titles.split('|').position(|cell| cell.trim() == title).unwrap();
    let does = |row: &[String]| columns.map(|title| row[place(title)].clone());
    let seen: BTreeSet<(String, String, [String; 3])> = seen
        .iter()
        .map(|row| {
            // A browser is named with its version.
            let version = row[3].split('.').next().unwrap();
            let name = if row[1] == "browser" { format!("{} {version}", row[2]) } else { row[2].clone() };
            (row[1].clone(), name.replace('`', ""), does(row))
        })
        .collect();
    let mut told = BTreeSet::new();
    for row in table("docs/PROTOCOL.md", "\n### 3.6", "| client | 200 and the end |") {
        for group in row[1].split(';') {
            let (language, names) = group.split_once(':').unwrap();
            for name in names.split(": they").next().unwrap().split(',') {
                let note = name.find(" (throw").unwrap_or(name.len());
                let name = name[..note].replace('`', "").replace("(with ", "(").trim().to_owned();
                let does = [row[2].clone(), row[3].clone(), row[4].clone()];
                told.insert((language.trim().to_owned(), name, does));
            }
        }
    }
    assert_eq!(told, seen);
}

fn is_name_of_a_test(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    is_plain && name.matches('_').count() >= 5 && !name.starts_with("carillon_")
}

/// README and everything under docs and migrations.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/adr", "migrations"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    assert!(pages.len() > 10);
    pages
}

/// The targets of `[text](target)` and `src="target"`, code blocks left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    let code_free = prose.flat_map(|part| part.split('`').step_by(2));
    code_free.flat_map(|part| {
        let markdown = part.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let html = part.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
        markdown.chain(html).collect::<Vec<_>>()
    })
}

/// What a page's headings can be linked to as: lower case, letters and digits, spaces as hyphens.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The names of all functions in the project's Rust files.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders: Vec<PathBuf> =
        ["protocol", "backplane", "platform", "gateway", "publisher", "devstack", "loadtest"]
            .map(|name| root().join(name))
            .into();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let named = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
                names.extend(named.map(str::to_owned));
            }
        }
    }
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
