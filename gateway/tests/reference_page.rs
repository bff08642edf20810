//! Do docs/CONFIGURATION.md and docs/METRICS.md say what the gateway declares?
//!
//! The tables are rendered from the declarations. `make pages` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use carillon_gateway::{config, metrics};
use carillon_platform::config::SHARED;
use carillon_platform::env::{Declared, reference};
use carillon_platform::telemetry::metrics_reference;
use std::path::Path;

#[test]
fn the_pages_list_every_variable_and_metric_of_the_gateway() {
    let shared = |var: &&dyn Declared| SHARED.iter().any(|known| known.name() == var.name());
    let own: Vec<&dyn Declared> = config::variables().into_iter().filter(|var| !shared(var)).collect();
    check("CONFIGURATION.md", "gateway", &reference(&own));
    check("METRICS.md", "gateway", &metrics_reference(&metrics::all()));
    check("METRICS.md", "gateway-tenants", &metrics_reference(metrics::OF_TENANTS));
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
