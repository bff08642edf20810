//! Is what matches found once and in order, by small statements, with the index and without?

use crate::database::{Database, channel, tenant};
use crate::index::{append, read_all};
use carillon_backplane::log::{EventFilter, Log, Order, Role};
use carillon_protocol::{EventId, Seq, TenantId, TypePattern};

/// Everything a search finds, and by how many statements.
async fn find(
    log: &Log,
    tenant: &TenantId,
    filter: &EventFilter,
    range: (u64, u64),
    order: Order,
    limit: usize,
) -> (Vec<u64>, usize) {
    let range = (Seq(range.0), Seq(range.1));
    let mut search = log.search(tenant, filter.clone(), range, order).await.unwrap();
    let (mut found, mut statements) = (Vec::new(), 0);
    while !search.is_done() {
        let events = log.search_on(&mut search, limit, 10_000).await.unwrap();
        assert!(events.len() <= limit);
        found.extend(events.iter().map(|event| event.seq.0));
        statements += 1;
    }
    (found, statements)
}

fn types(texts: &[&str]) -> Vec<TypePattern> {
    texts.iter().map(|text| TypePattern::new(text).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_office_finds_events_by_each_field() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let shop = tenant("shop");
    log.open_tenant(&shop, true).await.unwrap();
    let mut batch: Vec<_> =
        (0..10).map(|n| append("shop", n, &format!("o{n}"), &["tenant", "user:Mila, 2"])).collect();
    batch[3].event.kind = "order.created".into();
    batch[3].event.body = "{\"note\":\"50% off_\"}".into();
    batch[4].event.kind = "order.paid".into();
    batch[4].event.time = "2020-01-01T00:00:00Z".into();
    batch[5].event.channels = vec![channel("order:7")];
    log.append(&batch).await.unwrap();
    let order_7 = Some("order:7".to_owned());
    let seen = Some(vec![channel("tenant"), channel("user:Mila, 2")]);
    let questions: [(EventFilter, &[u64]); 11] = [
        (EventFilter { types: types(&["order.*"]), ..Default::default() }, &[5, 4]),
        (EventFilter { types: types(&["order.paid"]), ..Default::default() }, &[5]),
        (EventFilter { types: types(&["nothing", "order.paid", "order.c*"]), ..Default::default() }, &[5, 4]),
        (EventFilter { types: types(&["order_*", "o%*"]), ..Default::default() }, &[]),
        (
            EventFilter { types: types(&["order.*"]), channel: Some("tenant".into()), ..Default::default() },
            &[5, 4],
        ),
        (EventFilter { q: Some("0% OFF_".into()), ..Default::default() }, &[4]),
        (EventFilter { to: Some("2021-01-01T00:00:00Z".parse().unwrap()), ..Default::default() }, &[5]),
        (EventFilter { channel: order_7.clone(), ..Default::default() }, &[6]),
        (EventFilter { channel: order_7, audience: seen.clone(), ..Default::default() }, &[]),
        (EventFilter { audience: seen, ..Default::default() }, &[10, 9, 8, 7, 5, 4, 3, 2, 1]),
        (EventFilter { channel: Some("order:8".into()), ..Default::default() }, &[]),
    ];
    for indexed in [false, true] {
        for (filter, expected) in &questions {
            let (found, _) = find(&log, &shop, filter, (0, 10), Order::Descending, 3).await;
            assert_eq!(&found, expected, "{filter:?}, indexed: {indexed}");
            let (mut found, _) = find(&log, &shop, filter, (0, 99), Order::Ascending, 3).await;
            found.reverse();
            assert_eq!(&found, expected, "upwards: {filter:?}, indexed: {indexed}");
        }
        read_all(&log, "a").await;
    }
    let (_, event) = log.event(&shop, &EventId::new("o3").unwrap()).await.unwrap().unwrap();
    assert_eq!(event.seq, Seq(4));
    assert!(log.event(&tenant("iso-b"), &EventId::new("o3").unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_read_whole_from_the_index_and_the_tail_that_it_does_not_know_yet() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    database
        .fill("mixed", 9_000, "CASE WHEN n % 900 = 7 THEN ARRAY['rare','tenant'] ELSE ARRAY['tenant'] END")
        .await;
    read_all(&log, "a").await;
    let tail: Vec<_> = (0..30)
        .map(|n| {
            append("mixed", n, &format!("t{n}"), if n % 10 == 0 { &["rare", "other"] } else { &["tenant"] })
        })
        .collect();
    log.append(&tail).await.unwrap();
    let mut expected: Vec<u64> = (0..10).map(|n| 900 * n + 7).collect();
    expected.extend([9_001, 9_011, 9_021]);
    let gateway = database.log(Role::Gateway);
    // An event in several of the channels comes once.
    let filter = EventFilter::channels(&[channel("rare"), channel("other"), channel("none")]);
    for limit in [1, 4, 100] {
        let range = (0, 9_030);
        let (found, _) = find(&gateway, &tenant("mixed"), &filter, range, Order::Ascending, limit).await;
        assert_eq!(found, expected, "{limit}");
        let (mut found, _) = find(&gateway, &tenant("mixed"), &filter, range, Order::Descending, limit).await;
        found.reverse();
        assert_eq!(found, expected, "backwards, {limit}");
    }
    let (part, _) = find(&gateway, &tenant("mixed"), &filter, (907, 9_011), Order::Ascending, 5).await;
    assert_eq!(part, expected[2..12], "ends are exact");
    let all = EventFilter::channels(&[channel("tenant")]);
    let (found, _) = find(&gateway, &tenant("mixed"), &all, (0, 9_030), Order::Descending, 1_001).await;
    assert_eq!(found.len(), 9_027);
    // A cursor of another epoch says nothing: the log is walked.
    let superuser = database.superuser().await;
    superuser
        .batch_execute("UPDATE carillon.channel_index SET channel = 'nobody''s' WHERE channel = 'rare'")
        .await
        .unwrap();
    superuser.batch_execute("UPDATE carillon.projector_cursors SET epoch = 'older'").await.unwrap();
    let (found, _) = find(&gateway, &tenant("mixed"), &filter, (0, 9_030), Order::Ascending, 100).await;
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_by_bytes_and_still_gets_further() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    log.open_tenant(&tenant("bytes"), true).await.unwrap();
    let mut batch: Vec<_> =
        (0..12).map(|n| append("bytes", n, &format!("b{n}"), &["tenant", "big"])).collect();
    for large in &mut batch[4..7] {
        large.event.body = format!("\"{}\"", "x".repeat(30_000));
    }
    log.append(&batch).await.unwrap();
    let filter = EventFilter::channels(&[channel("big")]);
    for _ in 0..2 {
        for order in [Order::Ascending, Order::Descending] {
            let (mut found, statements) = find(&log, &tenant("bytes"), &filter, (0, 12), order, 100).await;
            found.sort_unstable();
            assert_eq!(found, (1..=12).collect::<Vec<u64>>());
            assert_eq!(statements, 4, "each large event ends a page");
        }
        read_all(&log, "a").await;
    }
}

/// Rows that were fetched from the log by everybody so far. A session tells its numbers when it ends.
async fn rows_fetched(database: &Database) -> i64 {
    let superuser = database.superuser().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'carillon_gateway'";
    while superuser.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    let sql = "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::bigint FROM pg_stat_all_tables
        WHERE schemaname = 'carillon' AND relname ~ '^events_'";
    superuser.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rare_channel_costs_does_not_grow_with_the_log() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let filter = EventFilter::channels(&[channel("rare")]);
    let mut fetched = Vec::new();
    for (name, events) in [("short", 20_000), ("long", 80_000)] {
        database
            .fill(
                name,
                events,
                &format!("CASE WHEN n % ({events} / 10) = 5 THEN ARRAY['rare'] ELSE ARRAY['tenant'] END"),
            )
            .await;
        let newest = async || {
            let before = rows_fetched(&database).await;
            let gateway = database.log(Role::Gateway);
            let head = u64::from(events);
            let (found, statements) =
                find(&gateway, &tenant(name), &filter, (0, head), Order::Descending, 51).await;
            assert_eq!(found.len(), 10);
            drop(gateway);
            (rows_fetched(&database).await - before, statements)
        };
        let (walked, windows) = newest().await;
        assert!(walked >= i64::from(events), "without the index all of it is looked at: {walked}");
        assert!(windows > 1, "in windows");
        read_all(&log, "a").await;
        let (rows, statements) = newest().await;
        assert_eq!(statements, 1);
        fetched.push(rows);
    }
    assert!(fetched[1] <= fetched[0] + 5 && fetched[1] < 40, "{fetched:?} rows of the log looked at");
}

/// Many channels that get much are looked up in windows: at once they would have a candidate for each channel and each
/// event of a page.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_busy_channels_are_searched_by_bounded_statements_and_found_as_by_walking() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let events = 40_000;
    // Each event is in twenty of two thousand channels, whose numbers are all odd or all even.
    database
        .fill(
            "busy",
            events,
            "ARRAY(SELECT 'c:' || (n * 7 + 100 * k) % 2000 FROM generate_series(1, 20) AS k)",
        )
        .await;
    let channels: Vec<_> = (0..1_000).map(|n| channel(&format!("c:{}", 2 * n))).collect();
    let (busy, filter) = (tenant("busy"), EventFilter::channels(&channels));
    let expected: Vec<u64> = (1..=u64::from(events)).filter(|n| n % 2 == 0).collect();
    read_all(&log, "a").await;
    let gateway = database.log(Role::Gateway);
    let range = (Seq(0), Seq(events.into()));
    for order in [Order::Ascending, Order::Descending] {
        let mut search = gateway.search(&busy, filter.clone(), range, order).await.unwrap();
        let (mut found, mut statements) = (Vec::new(), 0);
        while !search.is_done() {
            found.extend(gateway.search_seqs(&mut search, 20_000).await.unwrap().iter().map(|seq| seq.0));
            statements += 1;
        }
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(statements >= 4, "in windows: {statements}");
    }
    let mut search = gateway.search(&busy, filter, range, Order::Descending).await.unwrap();
    let newest = gateway.search_seqs(&mut search, 301).await.unwrap();
    let newest_expected: Vec<Seq> = expected.iter().rev().take(301).map(|seq| Seq(*seq)).collect();
    assert_eq!(newest, newest_expected);
}
