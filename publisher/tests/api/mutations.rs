//! Does any body, however mangled, bring the publisher out of step?

use crate::harness::Api;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const SEEDS: [&str; 3] = [
    r#"{"tenant":"mut","type":"order.paid","source":"s","subject":"x","actor":"a","priority":"low","channels":["c:1"],"users":["1"],"roles":["r"],"tenant_wide":true,"time":"2026-03-01T09:30:00Z","data":{"a":[1,2.5e3,"\u00e9",null]}}"#,
    r#"[{"tenant":"mut","type":"t","channel":"c"},{"tenant":"mut","type":"t","users":["2"],"data":"x"}]"#,
    r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","tenant":"mut","channels":"a,b","ext":1,"data_base64":"AQID"}"#,
];
const TYPES: [&str; 3] =
    ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"];
const PIECES: [&str; 16] = [
    "null",
    "[]",
    "{}",
    "\"",
    "\\",
    "\\ud800",
    "1e999",
    "-0",
    "\u{0}",
    "é",
    ",",
    ":",
    "[[[[",
    "}}}}",
    "true",
    "\"id\":\"1\",",
];

/// A body that was cut, doubled, overwritten or had pieces put in.
fn mangled() -> impl Strategy<Value = String> {
    let change = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..4u8,
        prop::sample::select(&PIECES[..]),
    );
    (prop::sample::select(&SEEDS[..]), prop::collection::vec(change, 0..4)).prop_map(|(seed, changes)| {
        let mut text: Vec<char> = seed.chars().collect();
        for (at, to, kind, piece) in changes {
            if text.is_empty() {
                break;
            }
            let (a, b) = (at.index(text.len()), to.index(text.len()));
            let (from, upto) = (a.min(b), a.max(b));
            match kind {
                0 => drop(text.splice(from..from, piece.chars())),
                1 => drop(text.splice(from..upto.min(from + 6), piece.chars())),
                2 => drop(text.drain(from..upto.min(from + 12))),
                _ => {
                    let copy = text[from..upto].to_vec();
                    drop(text.splice(upto..upto, copy));
                }
            }
        }
        text.into_iter().collect()
    })
}

#[test]
fn five_hundred_mangled_bodies_never_make_a_server_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let api = runtime.block_on(Api::new());
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(mangled(), prop::sample::select(&TYPES[..])), |(body, media)| {
        let reply = runtime.block_on(api.post_with(&[("content-type", media)], &body));
        prop_assert!(reply.status.as_u16() < 500, "{} {:?}", reply.status, reply.json);
        prop_assert!(reply.status == 201 || reply.json["code"].is_string());
        Ok(())
    });
    runtime.block_on(async { drop(api) });
    outcome.unwrap();
}
