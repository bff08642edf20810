//! Is every event counted once, in the hour in which it was appended, whatever happens to those who count?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{
    ANALYTICS_KEYS, Analytics, CountedKey, Dimension, Hours, Log, News, Progress, Role, Turn,
};
use database::{Database, append, tenant};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

const NAME: &str = "analytics";

impl Database {
    /// Rows in which the counts differ from a recount of the log.
    async fn miscounted(&self) -> i64 {
        let sql = "WITH log AS MATERIALIZED (
                SELECT tenant_id, date_bin('1 hour', at, '2000-01-01 00:00+00') AS at, seq, type, source, actor,
                    coalesce(priority, 'normal') AS priority FROM carillon.events
            ), hours AS (
                SELECT tenant_id, at, min(seq), max(seq), count(*) FROM log GROUP BY 1, 2
            ), counts AS (
                SELECT l.tenant_id, d.dimension, l.at, d.key, count(*) FROM log l CROSS JOIN LATERAL (VALUES ('type', type),
                    ('source', source), ('actor', actor), ('priority', priority)) AS d(dimension, key)
                WHERE d.key IS NOT NULL GROUP BY 1, 2, 3, 4
            ), counted_hours AS (
                SELECT tenant_id, at, first_seq, last_seq, events FROM carillon.analytics_hours
            ), counted AS (
                SELECT tenant_id, dimension, at, key, events FROM carillon.analytics_counts
            )
            SELECT (SELECT count(*) FROM (SELECT * FROM hours EXCEPT SELECT * FROM counted_hours) AS a)
                + (SELECT count(*) FROM (SELECT * FROM counted_hours EXCEPT SELECT * FROM hours) AS b)
                + (SELECT count(*) FROM (SELECT * FROM counts EXCEPT SELECT * FROM counted) AS c)
                + (SELECT count(*) FROM (SELECT * FROM counted EXCEPT SELECT * FROM counts) AS d)";
        self.count(sql).await
    }

    /// Events of a tenant, one a minute up to now; `columns` are SQL expressions of the number `n` for type and actor.
    async fn fill(&self, name: &str, (first, last): (u32, u32), (kind, actor): (&str, &str)) {
        self.publisher.open_tenant(&tenant(name), true).await.unwrap();
        self.sql(&format!(
            "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, actor, channels, time, body)
             SELECT '{name}', n, now() - ({last} - n) * interval '20 s', 'e' || n, {kind}, 'api', {actor}, '{{tenant}}', now(), '{{}}'
             FROM generate_series({first}, {last}) AS n;
             UPDATE carillon.tenants SET head = {last} WHERE id = '{name}'"
        ))
        .await;
    }
}

/// Counts until no tenant of this worker's slots has news.
async fn count_all(log: &Log, worker: &str) {
    loop {
        let slots = log.lease_slots(NAME, worker).await.unwrap();
        let news = log.projector_news(NAME, &slots, None, 100).await.unwrap();
        if news.is_empty() {
            return;
        }
        for News { tenant, slot, .. } in news {
            let slot = *slots.iter().find(|held| held.number == slot).unwrap();
            let turn = Turn { tenant: &tenant, slot, worker };
            assert_ne!(log.project(&Analytics, turn).await.unwrap(), Progress::LeaseLost);
        }
    }
}

fn all_hours() -> Hours {
    let at = |hours| Timestamp::now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    Hours { from: at(-48), to: at(2) }
}

/// Steps are cut off at any moment, and workers take each other's slots.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_counts_once_whatever_dies_between_two_steps() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    for name in ["north", "south"] {
        log.open_tenant(&tenant(name), true).await.unwrap();
    }
    let (mut cut, mut finished) = (0, 0);
    for round in 0..60_u64 {
        let batch: Vec<_> = (0..1 + round % 17)
            .map(|n| append(["north", "south"][(n % 2) as usize], n as u32, &format!("{round}-{n}"), None))
            .collect();
        log.append(&batch).await.unwrap();
        let worker = ["a", "b"][(round % 2) as usize];
        if round % 5 == 0 {
            database
                .sql("UPDATE carillon.projector_slots SET lease_until = now() - interval '1 s'; DELETE FROM carillon.projector_workers")
                .await;
        }
        let slots = log.lease_slots(NAME, worker).await.unwrap();
        for news in log.projector_news(NAME, &slots, None, 10).await.unwrap() {
            let slot = *slots.iter().find(|slot| slot.number == news.slot).unwrap();
            let turn = Turn { tenant: &news.tenant, slot, worker };
            // Every third has time enough, however slow the machine is.
            let patience =
                Duration::from_micros(if round % 3 == 0 { 10_000_000 } else { round * 7_919 % 15_000 });
            match timeout(patience, log.project(&Analytics, turn)).await {
                Ok(result) => {
                    result.unwrap();
                    finished += 1;
                }
                Err(_) => cut += 1,
            }
        }
    }
    assert!(cut > 0 && finished > 0, "{cut} steps cut off, {finished} not");
    database.sql("DELETE FROM carillon.projector_workers; UPDATE carillon.projector_slots SET lease_until = '-infinity'").await;
    count_all(&log, "last").await;
    assert_eq!(database.miscounted().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_has_its_hours_counted_again() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let kinds = ("'order.' || n % 3", "'user-' || n % 7");
    // Ten hours and more; the cut is in the middle of one.
    database.fill("shop", (1, 2_000), kinds).await;
    count_all(&log, "a").await;
    assert_eq!(database.miscounted().await, 0);
    database
        .sql("DELETE FROM carillon.events WHERE seq > 1403; UPDATE carillon.tenants SET head = 1403, epoch = 'another' WHERE id = 'shop'")
        .await;
    assert!(database.miscounted().await > 0, "what was lost is still counted");
    database.fill("shop", (1_404, 1_500), kinds).await;
    count_all(&log, "a").await;
    assert_eq!(database.miscounted().await, 0);
    // Within one epoch, before anybody has noticed.
    database.sql("DELETE FROM carillon.events WHERE seq > 1450; UPDATE carillon.tenants SET head = 1450 WHERE id = 'shop'").await;
    count_all(&log, "a").await;
    assert_eq!(database.miscounted().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_calls_every_event_otherwise_has_a_bounded_number_of_counts() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let events = ANALYTICS_KEYS + 3_000;
    log.open_tenant(&tenant("made-up"), true).await.unwrap();
    database
        .sql(&format!(
            "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, actor, channels, time, body)
             SELECT 'made-up', n, now(), 'e' || n, CASE WHEN n % 2 = 0 THEN 'usual' ELSE 'kind.' || n END, 'api', 'user-' || n,
                '{{tenant}}', now(), '{{}}' FROM generate_series(1, {events}) AS n;
             UPDATE carillon.tenants SET head = {events} WHERE id = 'made-up'"
        ))
        .await;
    count_all(&log, "a").await;
    let rows = async |dimension: &str| {
        let sql = format!(
            "SELECT max(keys) FROM (SELECT count(*) AS keys FROM carillon.analytics_counts WHERE dimension = '{dimension}' GROUP BY at) AS x"
        );
        database.count(&sql).await
    };
    assert_eq!(rows("actor").await, i64::from(ANALYTICS_KEYS) + 1, "one more for all others");
    assert!(rows("type").await <= i64::from(ANALYTICS_KEYS));
    let shop = tenant("made-up");
    let top = log.counted_by(&shop, all_hours(), Dimension::Type, 1).await.unwrap();
    assert_eq!(top, [CountedKey { key: Some("usual".to_owned()), events: u64::from(events) / 2 }]);
    let total = log.counted(&shop, all_hours()).await.unwrap();
    assert_eq!((total.events, total.people, total.more_people), (events.into(), ANALYTICS_KEYS.into(), true));
    let others = log.counted_by(&shop, all_hours(), Dimension::Actor, ANALYTICS_KEYS + 10).await.unwrap();
    assert_eq!(others.last(), Some(&CountedKey { key: None, events: 3_000 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_the_tenants_own_and_go_when_they_are_old() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    database.fill("shop", (1, 600), ("'order.paid'", "CASE WHEN n % 2 = 0 THEN 'mila' END")).await;
    database.fill("school", (1, 10), ("'absence'", "NULL")).await;
    count_all(&log, "a").await;
    let total = log.counted(&tenant("shop"), all_hours()).await.unwrap();
    assert_eq!((total.events, total.people, total.more_people), (600, 1, false));
    let types = log.counted_by(&tenant("school"), all_hours(), Dimension::Type, 5).await.unwrap();
    assert_eq!(types, [CountedKey { key: Some("absence".to_owned()), events: 10 }]);
    let by_hour = log.counted_over_time(&tenant("shop"), all_hours(), false, 100).await.unwrap();
    assert!((4..=5).contains(&by_hour.len()), "200 minutes: {by_hour:?}");
    assert_eq!(by_hour.iter().map(|row| row.total.events).sum::<u64>(), 600);
    // A gateway has nothing to do with it.
    let gateway = database.log(Role::Gateway);
    assert!(gateway.counted(&tenant("shop"), all_hours()).await.is_err());
    database
        .sql(
            "UPDATE carillon.analytics_hours SET at = at - interval '401 days' WHERE tenant_id = 'shop';
              UPDATE carillon.analytics_counts SET at = at - interval '401 days' WHERE tenant_id = 'shop'",
        )
        .await;
    let hours = by_hour.len() as u64;
    assert_eq!(log.forget_analytics(400, 2).await.unwrap().forgotten, 2);
    assert_eq!(log.forget_analytics(400, 100).await.unwrap().forgotten, hours - 2);
    assert_eq!(
        database.count("SELECT count(*) FROM carillon.analytics_counts WHERE tenant_id = 'shop'").await,
        0
    );
    // The others' hours stay.
    let sql = "SELECT (count(*) FILTER (WHERE tenant_id = 'shop') = 0 AND count(*) > 0)::int::bigint FROM carillon.analytics_hours";
    assert_eq!(database.count(sql).await, 1);
}
