//! Does the code still have the shape that docs/ARCHITECTURE.md promises?
//!
//! Which crate may know which, who may speak to Postgres, Redis and the environment, what stays free of I/O, and how
//! large a file may grow. Every rule carries its reason, so whoever breaks one reads why it is there.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const SERVICES_AND_LIBRARIES: [&str; 5] = ["protocol", "backplane", "platform", "gateway", "publisher"];

/// Our crates, and which of our crates each may depend on.
const DIRECTION: [(&str, &[&str]); 9] = [
    ("protocol", &[]),
    ("backplane", &["protocol"]),
    ("platform", &["protocol"]),
    ("gateway", &["protocol", "backplane", "platform"]),
    ("publisher", &["protocol", "backplane", "platform"]),
    ("devstack", &["protocol"]),
    ("loadtest", &["protocol"]),
    ("goose", &["protocol"]),
    // The one crate above the services: it hands their readers hostile bytes, without a network between.
    ("fuzz", &["protocol", "platform", "gateway", "publisher"]),
];

/// Libraries that only some crates may depend on.
const OWNED_LIBRARIES: [(&str, &[&str], &str); 8] = [
    ("fred", &["backplane"], "Redis is spoken to by backplane alone"),
    ("tokio-postgres", &["backplane"], "Postgres is spoken to by backplane alone"),
    ("deadpool", &["backplane"], "Postgres is spoken to by backplane alone"),
    ("deadpool-postgres", &["backplane"], "Postgres is spoken to by backplane alone"),
    ("refinery", &["backplane"], "migrations are part of the log"),
    (
        "jsonwebtoken",
        &["platform", "devstack", "goose", "loadtest"],
        "tokens are believed in one place (platform/src/auth); the others only mint them for tests",
    ),
    ("mio", &["gateway"], "only shards own sockets without a runtime"),
    ("metrics-exporter-prometheus", &["platform"], "one exporter, one set of buckets"),
];

#[test]
fn crates_depend_only_downwards() {
    let allowed: BTreeMap<&str, &[&str]> = DIRECTION.into();
    let mut broken = Broken::because(
        "protocol <- backplane, platform <- gateway, publisher; nothing depends on a service, and devstack and \
         loadtest see only protocol and the network: what they test is what users get",
    );
    let packages = packages();
    let names: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "a crate came or went: give it its place in DIRECTION"
    );
    for (name, package) in &packages {
        for dependency in &package.dependencies {
            let Some(ours) = dependency.name.strip_prefix("carillon-") else { continue };
            let harness =
                dependency.dev && ours == "devstack" && !["protocol", "loadtest"].contains(&name.as_str());
            if !allowed[name.as_str()].contains(&ours) && !harness {
                broken.add(format!("{name} depends on {ours}"));
            }
        }
    }
    broken.check();
}

#[test]
fn each_library_has_its_owners() {
    let mut broken =
        Broken::because("a library that many crates know cannot be replaced or kept safe in one place");
    for (library, owners, reason) in OWNED_LIBRARIES {
        for (name, package) in packages() {
            let uses =
                package.dependencies.iter().any(|dependency| !dependency.dev && dependency.name == library);
            if uses && !owners.contains(&name.as_str()) {
                broken.add(format!("{name} depends on {library}: {reason}"));
            }
        }
    }
    broken.check();
}

#[test]
fn redis_is_known_to_one_file_and_postgres_to_one_folder() {
    let mut broken = Broken::because(
        "fred has traps that one file closes (backplane/src/bus/fred.rs); row level security holds because one folder \
         opens every transaction (backplane/src/log)",
    );
    for source in sources(&["src"]) {
        let at = source.path.as_str();
        if source.names_crate("fred") && at != "backplane/src/bus/fred.rs" {
            broken.add(format!("{at} names fred"));
        }
        for library in
            ["tokio_postgres", "deadpool", "deadpool_postgres", "tokio_postgres_rustls", "refinery"]
        {
            if source.names_crate(library) && !at.starts_with("backplane/src/log/") {
                broken.add(format!("{at} names {library}"));
            }
        }
        let judges_tokens = at.starts_with("platform/src/auth/");
        let service = SERVICES_AND_LIBRARIES.contains(&source.package());
        if service && source.names_crate("jsonwebtoken") && !judges_tokens {
            broken.add(format!("{at} names jsonwebtoken; tokens are judged in platform/src/auth"));
        }
    }
    broken.check();
}

#[test]
fn a_statement_about_the_log_names_its_days() {
    let mut broken = Broken::because(
        "one that does not locks every partition: with years of them nothing is answered any more (docs/adr/0016)",
    );
    let mut seen = 0;
    for source in sources(&["src"]).into_iter().filter(|source| source.path.starts_with("backplane/src/log/"))
    {
        let text: String = source.production().collect::<Vec<_>>().join("\n");
        for table in ["FROM carillon.events", "FROM carillon.channel_index"] {
            for (at, _) in text.match_indices(table) {
                seen += 1;
                let statement: String = text[at..].chars().take(400).collect();
                if !statement.contains("at >= $") && !statement.contains("{days") {
                    let line = text[..at].lines().count();
                    broken.add(format!("{}, about line {line}: {table}", source.path));
                }
            }
        }
    }
    assert!(seen >= 10, "{seen} statements were found");
    broken.check();
}

#[test]
fn the_environment_is_read_in_one_file() {
    let mut broken = Broken::because(
        "a variable that platform/src/env.rs does not read is in no reference page, has no check and no exit code 64",
    );
    for source in sources(&["src"]) {
        let service = SERVICES_AND_LIBRARIES.contains(&source.package());
        if !service || source.path == "platform/src/env.rs" {
            continue;
        }
        for call in ["env::var(", "env::vars(", "env::var_os(", "env::vars_os(", "env::set_var("] {
            if source.production().any(|line| line.contains(call)) {
                broken.add(format!("{} calls {call}…)", source.path));
            }
        }
    }
    broken.check();
}

#[test]
fn the_heart_does_no_io_and_reads_no_clock() {
    let mut broken = Broken::because(
        "the contract's types, the sequencer, the ring and the WebSocket codec are functions of values (time is passed \
         in), which is why properties can be tested over millions of cases",
    );
    let pure = |path: &str| {
        path.starts_with("protocol/src/")
            || path.starts_with("gateway/src/ws/")
            || ["gateway/src/stream/sequencer.rs", "gateway/src/stream/ring.rs"].contains(&path)
    };
    for source in sources(&["src"]).into_iter().filter(|source| pure(&source.path)) {
        for library in ["tokio", "mio", "axum", "hyper", "socket2", "metrics", "tracing"] {
            if source.names_crate(library) {
                broken.add(format!("{} names {library}", source.path));
            }
        }
        // Addresses may be parsed; sockets may not be opened.
        let io =
            ["std::net::Tcp", "std::net::Udp", "ToSocketAddrs", "std::fs", "std::thread", "std::process"];
        let clocks = ["SystemTime", "Instant::now"];
        for needle in io.into_iter().chain(clocks) {
            if source.production().any(|line| line.contains(needle)) {
                broken.add(format!("{} uses {needle}", source.path));
            }
        }
    }
    broken.check();
}

#[test]
fn the_shards_files_know_only_what_lies_below_them() {
    let mut broken = Broken::because(
        "a circle of files is one file that nobody can read: parts of a shard leave marks, and only what stands further down \
         in the module table of gateway/src/shard/mod.rs may know them (docs/adr/0012)",
    );
    let all = sources(&["src"]);
    let folder = "gateway/src/shard/";
    let table = all.iter().find(|source| source.path == format!("{folder}mod.rs")).unwrap();
    let order: Vec<&str> = table
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("//! | [`")?.split_once("`]").map(|(name, _)| name))
        .collect();
    assert!(order.len() > 20, "the table was not found");
    let mut seen = 0;
    for source in &all {
        let Some(name) = source.path.strip_prefix(folder).and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        if name == "mod" || name.contains('/') || name.ends_with("_tests") {
            continue;
        }
        let Some(own) = order.iter().position(|other| *other == name) else {
            broken.add(format!("{name} has no line in the table"));
            continue;
        };
        seen += 1;
        for (place, other) in order.iter().enumerate() {
            let knows = source.production().any(|line| line.contains(&format!("super::{other}::")));
            if knows && place >= own {
                broken.add(format!("{name} knows {other}"));
            }
        }
    }
    assert_eq!(seen, order.len(), "every line of the table is a file");
    broken.check();
}

#[test]
fn files_stay_small_and_say_what_they_answer() {
    let mut broken = Broken::because(
        "a file answers one question and its first line says which; past 500 lines it is two",
    );
    let all = sources(&["src", "tests"]);
    let large = all.iter().filter(|source| source.lines() > 400).count();
    if large * 10 > all.len() {
        broken
            .add(format!("{large} of {} files have more than 400 lines; at most one in ten may", all.len()));
    }
    for source in &all {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        if source.lines() > 500 {
            broken.add(format!("{} has {} lines", source.path, source.lines()));
        }
        let is_test = !source.path.contains("/src/") || name == "tests.rs" || name.ends_with("_tests.rs");
        if !is_test && !source.text.starts_with("//! ") {
            broken.add(format!("{} does not begin with the question it answers (//! …)", source.path));
        }
        let drawers = ["util", "utils", "common", "helpers", "misc", "manager"];
        if source.path.split(['/', '.']).any(|part| drawers.contains(&part)) {
            broken.add(format!("{} is a drawer: name what is in it", source.path));
        }
    }
    broken.check();
}

#[test]
fn nothing_is_left_for_later() {
    let mut broken = Broken::because(
        "a mark left for later is either an issue or a defect; a test that does not run proves nothing",
    );
    // Put together here, or this file would break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let calls = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];
    for (path, text) in files(&["rs", "sql", "md", "sh", "py", "js", "mjs", "toml", "svg"]) {
        if path.contains("/assets/") {
            continue;
        }
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| marks.contains(word))
        {
            broken.add(format!("{path} says {word}"));
        }
        for call in calls {
            if text.contains(call) {
                broken.add(format!("{path} has {call}"));
            }
        }
    }
    broken.check();
}

#[test]
fn comments_hold_no_code_that_nobody_compiles() {
    let mut broken = Broken::because(
        "examples in comments would be one more build of everything: code that shows how something is used is a test",
    );
    for source in sources(&["src", "tests"]) {
        let comments = source.text.lines().filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).map(str::trim)
        });
        let fences = comments.filter(|comment| comment.starts_with("```"));
        for fence in fences.step_by(2).filter(|fence| !["```text", "```json"].contains(fence)) {
            broken.add(format!("{} has {fence}: say text or json, or make it a test", source.path));
        }
    }
    broken.check();
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let mut broken = Broken::because(
        "a git or path dependency from outside cannot be audited, cached or built again later",
    );
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        if line != "source = \"registry+https://github.com/rust-lang/crates.io-index\"" {
            broken.add(line.to_owned());
        }
    }
    broken.check();
}

#[test]
fn the_rules_see_what_they_look_for() {
    let names =
        |text: &str| Source { path: "gateway/src/x.rs".into(), text: text.into() }.names_crate("fred");
    for naming in
        ["use fred::clients::Client;", "    let x = fred::types::Value::Null;", "use ::fred::types;"]
    {
        assert!(names(naming), "{naming}");
    }
    for other in [
        "use super::fred::Link;",
        "// fred::Client",
        "alfred::Butler",
        "a\n#[cfg(test)]\nmod tests { use fred::x; }",
    ] {
        assert!(!names(other), "{other}");
    }
}

/// What a rule found, and why the rule is there.
struct Broken {
    reason: &'static str,
    found: BTreeSet<String>,
}

impl Broken {
    fn because(reason: &'static str) -> Self {
        Self { reason, found: BTreeSet::new() }
    }

    fn add(&mut self, what: String) {
        self.found.insert(what);
    }

    fn check(&self) {
        let list = self.found.iter().fold(String::new(), |mut list, what| {
            let _ = writeln!(list, "  {what}");
            list
        });
        assert!(self.found.is_empty(), "\n{list}because: {}\n", self.reason);
    }
}

struct Package {
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    dev: bool,
}

/// The workspace's crates by their short name, as cargo itself describes them.
fn packages() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dependency = |value: &Value| Dependency { name: text(&value["name"]), dev: value["kind"] == "dev" };
    let package = |value: &Value| {
        let dependencies = value["dependencies"].as_array().unwrap().iter().map(dependency).collect();
        (text(&value["name"]).trim_start_matches("carillon-").to_owned(), Package { dependencies })
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Lines of code that run in production: no comments, nothing after the file's test module begins.
    fn production(&self) -> impl Iterator<Item = &str> {
        let is_test = self.path.ends_with("tests.rs");
        let code = self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        code.lines().filter(move |line| !is_test && !line.trim_start().starts_with("//"))
    }

    /// Whether the code names a crate by its path (`fred::…`, not `super::fred::…`).
    fn names_crate(&self, name: &str) -> bool {
        let path = format!("{name}::");
        self.production().any(|line| {
            line.match_indices(&path).any(|(at, _)| {
                let before = line[..at].trim_end_matches("::");
                let rooted = before.len() == at || before.ends_with([' ', '(', '<', '&']);
                rooted && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        })
    }
}

/// The Rust files in these folders of every crate.
fn sources(folders: &[&str]) -> Vec<Source> {
    let ours = |path: &str| DIRECTION.iter().any(|(name, _)| path.split('/').next() == Some(name));
    let inside = |path: &str| folders.iter().any(|folder| path.split('/').nth(1) == Some(folder));
    let found = files(&["rs"]).into_iter().filter(|(path, _)| ours(path) && inside(path));
    let sources: Vec<Source> = found.map(|(path, text)| Source { path, text }).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

/// Every file of the project with one of these endings: its path and text.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden =
                name.starts_with('.') || ["target", "node_modules", "__pycache__"].contains(&name.as_str());
            if hidden {
                continue;
            }
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
