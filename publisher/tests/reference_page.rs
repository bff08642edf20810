//! Do docs/CONFIGURATION.md and docs/METRICS.md say what the publisher, and what both services declare?
//!
//! The tables are rendered from the declarations. `make pages` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use carillon_backplane::{api_key, bus, log};
use carillon_platform::ask;
use carillon_platform::auth;
use carillon_platform::config::SHARED;
use carillon_platform::env::{Declared, reference};
use carillon_platform::sockets;
use carillon_platform::telemetry::{self, metrics_reference};
use carillon_publisher::{
    archive, config, escalations, maintenance, metrics, outbox, projector, usage, webhooks, worker,
};
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;

/// One test, for its parts write to the same pages.
#[tokio::test]
async fn the_pages_list_every_variable_and_metric_of_the_publisher_and_of_both_services() {
    let shared = |var: &&dyn Declared| SHARED.iter().any(|known| known.name() == var.name());
    let own: Vec<&dyn Declared> = config::variables().into_iter().filter(|var| !shared(var)).collect();
    check("CONFIGURATION.md", "publisher", &reference(&own));
    check("METRICS.md", "publisher", &metrics_reference(metrics::ALL));
    check("METRICS.md", "publisher-tasks", &metrics_reference(worker::METRICS));
    check("METRICS.md", "publisher-maintenance", &metrics_reference(maintenance::METRICS));
    check("METRICS.md", "publisher-projectors", &metrics_reference(projector::METRICS));
    check("METRICS.md", "publisher-webhooks", &metrics_reference(webhooks::METRICS));
    check("METRICS.md", "publisher-escalations", &metrics_reference(escalations::METRICS));
    check("METRICS.md", "publisher-archive", &metrics_reference(archive::METRICS));
    check("METRICS.md", "publisher-outbox", &metrics_reference(outbox::metrics::ALL));
    check("METRICS.md", "publisher-tenants", &metrics_reference(usage::OF_TENANTS));
    check("METRICS.md", "runtime", &metrics_reference(telemetry::RUNTIME_METRICS));

    check("CONFIGURATION.md", "shared", &reference(SHARED));
    check("METRICS.md", "ask", &metrics_reference(ask::METRICS));
    check("METRICS.md", "sockets", &metrics_reference(sockets::METRICS));
    check("METRICS.md", "tokens", &metrics_reference(auth::METRICS));
    for (part, describe) in [
        ("redis", bus::describe_metrics as fn()),
        ("log", log::describe_metrics),
        ("keys", api_key::describe_metrics),
    ] {
        let described = Described::default();
        ::metrics::with_local_recorder(&described, describe);
        check("METRICS.md", part, &described.table());
    }
    let exposition = telemetry::install("publisher", "0").unwrap().render();
    check("METRICS.md", "process", &process_table(&exposition));
}

/// Keeps what is described, in order.
#[derive(Default)]
struct Described(Mutex<Vec<(String, &'static str, String)>>);

impl Described {
    fn add(&self, name: KeyName, kind: &'static str, what: SharedString) {
        self.0.lock().unwrap().push((name.as_str().to_owned(), kind, what.into_owned()));
    }

    fn table(&self) -> String {
        let mut table = String::from("| metric | kind | meaning |\n|---|---|---|\n");
        for (name, kind, what) in self.0.lock().unwrap().iter() {
            writeln!(table, "| `{name}` | {kind} | {what} |").unwrap();
        }
        table
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, what: SharedString) {
        self.add(name, "counter", what);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, what: SharedString) {
        self.add(name, "gauge", what);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, what: SharedString) {
        self.add(name, "histogram", what);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The metrics every process has, from the exposition itself.
fn process_table(exposition: &str) -> String {
    let mut table = String::from("| metric | kind | meaning |\n|---|---|---|\n");
    let mut help = "";
    for line in exposition.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(text) = line.strip_prefix("# TYPE ") {
            let (name, kind) = text.split_once(' ').unwrap();
            writeln!(table, "| `{name}` | {kind} | {help} |").unwrap();
        }
    }
    table
}

/// Compares the part of a page between `<!-- name -->` and `<!-- /name -->` with what it should be.
fn check(page: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("{page} has no {begin}")) + begin.len();
    let length = text[start..].find(&end).unwrap_or_else(|| panic!("{page} has no {end}"));
    let (before, rest) = text.split_at(start);
    let (found, after) = rest.split_at(length);
    let wanted = format!("\n{table}\n");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, format!("{before}{wanted}{after}")).unwrap();
    } else {
        assert_eq!(found, wanted, "docs/{page} is out of date: make pages writes it anew");
    }
}
