//! Do the balancers themselves accept every file that is shipped, without a warning?

use std::path::Path;
use std::process::Command;

use carillon_devstack::ports::{free, loopback};

use crate::shipped::{Kind, Node, Places, arguments};

/// What the program's own check says, and whether it is content.
fn check(kind: Kind, folder: &Path, text: &str) -> (bool, String) {
    let file = folder.join("balancer.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(kind.program());
    match kind {
        Kind::Haproxy | Kind::ProxyProtocol => command.arg("-c").arg("-f").arg(&file),
        Kind::Nginx => command.arg("-t").args(arguments(kind, folder, &file)),
        Kind::Envoy => command.args(["--mode", "validate", "-c"]).arg(&file),
    };
    let output = command.output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

fn places() -> Places {
    let node = |name: &str| Node {
        name: name.into(),
        addr: loopback(free().unwrap()),
        ops: free().unwrap(),
        retired: false,
    };
    let port = || loopback(free().unwrap());
    Places {
        public: port(),
        rest: port(),
        ops: port(),
        gateways: vec![node("gateway-1"), node("gateway-2"), node("gateway-3")],
        publishers: vec![node("publisher-1")],
    }
}

#[test]
fn every_shipped_file_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut texts: Vec<(Kind, String)> = [Kind::Haproxy, Kind::ProxyProtocol, Kind::Nginx, Kind::Envoy]
        .map(|kind| (kind, places().fill(kind)))
        .into();
    // The servers of these are named by DNS, and need not be there yet.
    for kind in [Kind::Haproxy, Kind::ProxyProtocol, Kind::Envoy] {
        texts.push((kind, std::fs::read_to_string(kind.file()).unwrap()));
    }
    for (kind, text) in texts {
        let (content, words) = check(kind, folder.path(), &text);
        assert!(content, "{kind:?}: {words}");
        let warns = words.lines().any(|line| line.contains("WARNING") || line.contains("[warn]"));
        // A machine that allows few descriptors has nginx say that its limits would not be reached.
        assert!(!warns || words.contains("exceed open file resource limit"), "{kind:?}: {words}");
    }
}

/// The twin: what the programs do not know is found out.
#[test]
fn a_misspelt_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, right, wrong) in [
        (Kind::Haproxy, "balance leastconn", "balance leastcon"),
        (Kind::ProxyProtocol, "send-proxy-v2", "send-proxy-v3"),
        (Kind::Nginx, "proxy_buffering off", "proxy_bufering off"),
        (Kind::Envoy, "no_traffic_interval", "no_trafic_interval"),
    ] {
        let text = places().fill(kind);
        assert!(text.contains(right), "{kind:?} has {right}");
        let (content, words) = check(kind, folder.path(), &text.replace(right, wrong));
        assert!(!content && words.contains(wrong.split(' ').next().unwrap()), "{kind:?}: {words}");
    }
}

/// What HAProxy says itself stands in two files, and is one text.
#[test]
fn both_files_of_haproxy_say_the_same_when_nobody_answers() {
    let answers = |kind: Kind| {
        let text = std::fs::read_to_string(kind.file()).unwrap();
        text.split_once("# --- answers").unwrap().1.split_once("# ---\n").unwrap().0.to_owned()
    };
    assert_eq!(answers(Kind::Haproxy), answers(Kind::ProxyProtocol));
}

/// The chart's page says which lines of these files a controller takes for the moment in which nobody answers.
#[test]
fn the_lines_that_the_charts_page_names_are_in_the_shipped_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let page = read("helm/carillon/README.md");
    for (named, file, lines) in [
        ("the lines from `# --- answers` to `# ---`", "deploy/haproxy/haproxy.cfg", "# --- answers: "),
        ("`local_reply_config`", "deploy/envoy/envoy.yaml", "local_reply_config:"),
        ("`@no_gateway`", "deploy/nginx/nginx.conf", "location @no_gateway {"),
        ("`@no_publisher`", "deploy/nginx/nginx.conf", "location @no_publisher {"),
        ("`/no-stream`", "deploy/nginx/nginx.conf", "location = /no-stream {"),
        ("`error_page`", "deploy/nginx/nginx.conf", "error_page 502 503 504 = @no_publisher;"),
        ("the `failover`", "deploy/traefik/carillon.yml", "failover: { service: publisher-servers"),
    ] {
        let row = page.lines().find(|line| line.starts_with('|') && line.contains(named));
        assert!(row.is_some_and(|row| row.contains(&format!("../../{file}"))), "{named}");
        assert!(read(file).contains(lines), "{file}: {lines}");
    }
}
