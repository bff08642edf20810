//! Does the system keep its promises beside a fault of today's choice, and would the checker see if it did not?
//!
//! All faults: `make proof`. Here one short one, by the day; `CARILLON_TEST_SEED` repeats a choice.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::{SystemTime, UNIX_EPOCH};

use carillon_devstack::proof::fault::{FAULTS, Fault};
use carillon_devstack::proof::oracle::Oracle;
use carillon_devstack::proof::run::{deceive, run};

/// One system at a time: two share the cores of this machine, and each would be a fault of the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Each day another one; the same for everyone on that day, unless a seed is given.
#[expect(clippy::print_stdout, reason = "the test harness shows it with a failure")]
fn choice() -> (Fault, u64) {
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let given = std::env::var("CARILLON_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or(day);
    let short: Vec<Fault> = FAULTS.into_iter().filter(|fault| fault.short).collect();
    let fault = short[seed as usize % short.len()];
    println!(
        "CARILLON_TEST_SEED={seed}: {}, {}; again: make proof FAULT={} SEED={seed}",
        fault.name, fault.what, fault.name
    );
    (fault, seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_beside_the_fault_of_the_day() {
    let _alone = ALONE.lock().await;
    let (fault, seed) = choice();
    let outcome = run(fault, seed).await.unwrap();
    println!("{}", serde_json::to_string(&outcome.result).unwrap());
    assert!(outcome.report.findings.is_empty(), "{:#?}", outcome.report.findings);
    let result = outcome.result;
    assert!(
        result.kept && result.acknowledged > 60 && result.delivered > 200 && result.messages > 60,
        "{result:?}"
    );
}

/// Nothing in the product is changed: frames are changed on their way, rows behind its back, and an endpoint forgets.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_false_on_the_way_or_in_the_database_turns_its_oracle_red() {
    let _alone = ALONE.lock().await;
    let report = deceive(1).await.unwrap();
    let found = |oracle: Oracle, words: &str| {
        let seen =
            report.findings.iter().any(|finding| finding.oracle == oracle && finding.text.contains(words));
        assert!(seen, "{} {words:?} is not among {:#?}", oracle.name(), report.findings);
    };
    found(Oracle::Whole, "missing (");
    found(Oracle::Once, "arrived again");
    found(Oracle::Order, "out of order, after");
    found(Oracle::Whole, "type or data were altered");
    found(Oracle::Isolation, "belongs to tenant");
    found(Oracle::Gentle, "lost a connection without a word");
    found(Oracle::Durable, "is not in the log");
    found(Oracle::Order, "has 21 after 19");
    found(Oracle::Webhook, "never got");
    found(Oracle::Projector, "analytics of a-b");
    found(Oracle::Inbox, "is not listed");
    found(Oracle::Presence, "listed without being there");
}
