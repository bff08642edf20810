//! Which rows of the outbox does a publisher of this release claim, and which one of a release before?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Log, OutboxAsk, OutboxPlan};
use database::Database;
use std::time::Duration;

/// The statements of publishers that know nothing of a type's audience: of the release before, and of the one before that.
const BEFORE: [&str; 2] = ["claim_outbox_events", "claim_outbox"];

/// A tenant whose second event leaves its audience to its type, and one that has none of these; each in a transaction of its own.
const PUBLISHED: &str = r#"
INSERT INTO carillon.event_types (tenant_id, type, definition)
    VALUES ('acme', 'order.late', '{"title": "Late", "audience": {"tenant": true}}');
CREATE ROLE shop LOGIN IN ROLE carillon_app;
SELECT carillon.allow_app('shop', '*');
SET SESSION AUTHORIZATION shop;
SELECT carillon.publish('acme', 'order', ARRAY['order:1'], id => 'a1');
SELECT carillon.publish('acme', 'order.late', notify => '{}', id => 'a2');
SELECT carillon.publish('acme', 'order', ARRAY['order:1'], id => 'a3');
SELECT carillon.publish('other', 'order', ARRAY['order:1'], id => 'b1');
RESET SESSION AUTHORIZATION"#;

/// What a publisher of a release before claims, in a transaction of its own.
async fn claimed_before(database: &Database, statement: &str, after: i64, whole: bool) -> Vec<String> {
    let client = database.superuser().await;
    client.batch_execute("SET ROLE carillon_publisher; BEGIN").await.unwrap();
    let ask = format!(
        "SELECT event_id FROM carillon.{statement}({after}, {whole}, '', ARRAY[]::text[], 500, 819200)"
    );
    let rows = client.query(&ask, &[]).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What a publisher of this release claims; it appends nothing.
async fn claimed(log: &Log) -> Vec<String> {
    let ask = OutboxAsk {
        after: 0,
        all: true,
        start: String::new(),
        passed: Vec::new(),
        most: 500,
        bytes: 819_200,
        lock_wait: Duration::from_millis(100),
    };
    let mut names = Vec::new();
    let plan = async |rows: Vec<carillon_backplane::log::Outboxed>| {
        names.extend(rows.into_iter().filter_map(|row| row.event_id));
        Ok(OutboxPlan::default())
    };
    log.move_outbox(&ask, plan).await.unwrap();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_leaves_its_audience_to_its_type_is_left_by_publishers_that_know_of_none() {
    let database = Database::start().await;
    for statement in PUBLISHED.split(';') {
        database.sql(statement).await;
    }
    for statement in BEFORE {
        let first = claimed_before(&database, statement, 0, true).await;
        assert_eq!(first, ["a1", "b1"], "{statement}: and what stands behind it keeps its place");
    }
    // As a publisher before this one has moved the others.
    database.sql("DELETE FROM carillon.outbox WHERE event_id IN ('a1', 'b1')").await;
    for (after, whole) in [(0, true), (1, false), (2, false)] {
        let later = claimed_before(&database, BEFORE[0], after, whole).await;
        assert!(later.is_empty(), "after {after}: {later:?}");
    }
    assert_eq!(claimed(&database.publisher).await, ["a2", "a3"]);
    assert_eq!(database.count("SELECT count(*) FROM carillon.outbox").await, 2, "nothing is lost");
}
