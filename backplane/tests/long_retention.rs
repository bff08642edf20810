//! Does a log that is kept for years answer everything, with the locks that a database has by default?
//!
//! In the gate with 500 partitions and a tenth of the locks; `make retention` runs it with 4,000 and Postgres's defaults.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{
    Appended, ChannelIndex, Dropped, EventFilter, Log, LogError, News, Order, Progress, Reader, Role, Turn,
};
use carillon_protocol::{EventId, Seq, Tag, TenantId, TypePattern};
use std::sync::Arc;
use tokio::sync::Semaphore;

use database::{Database, append, channel, tenant};

/// Events of a day on which there are some.
const PER_DAY: u64 = 3;
/// There are some every so many days, the last time today.
const EVERY: i32 = 10;

/// A log of so many days, in a database in which a statement that names no days finds too few locks.
async fn kept_for_years() -> (Database, i32) {
    let partitions = std::env::var("CARILLON_RETENTION_PARTITIONS");
    let days: i32 = partitions.map_or(500, |partitions| partitions.parse().unwrap());
    // 64 x 100 places for locks, and some more, are the default; a twelfth of them for an eighth of the partitions.
    let default = [("max_connections", "100"), ("max_locks_per_transaction", "64")];
    let few = [("max_connections", "40"), ("max_locks_per_transaction", "10"), ("max_worker_processes", "0")];
    let settings: &[(&str, &str)] = if days < 2_000 { &few } else { &default };
    let database = Database::start_with(settings).await;
    database.days_ago(2..days).await;
    (database, days)
}

impl Database {
    /// A partition for each of these days, so many days ago, and one of the index.
    async fn days_ago(&self, days: std::ops::Range<i32>) {
        // A few at a time: they hold more locks than the lock table has places.
        for from in days.clone().step_by(10) {
            let to = (from + 10).min(days.end) - 1;
            for table in ["events", "channel_index"] {
                self.sql(&format!(
                    "SET timezone = 'UTC'; SET ROLE carillon_owner;
                     DO $$ DECLARE day date; BEGIN
                        FOR n IN {from}..{to} LOOP
                            day := current_date - n;
                            EXECUTE format('CREATE TABLE carillon.{table}_%s PARTITION OF carillon.{table}
                                FOR VALUES FROM (%L) TO (%L)', to_char(day, 'YYYYMMDD'), day::timestamptz, (day + 1)::timestamptz);
                        END LOOP;
                     END $$; RESET ROLE"
                ))
                .await;
            }
        }
    }

    /// Events of a tenant that were appended so many days ago: `rare` gets the first of them, `tenant` all.
    async fn had(&self, name: &str, days_ago: i32, first: u64, count: u64) {
        let channels = format!("CASE WHEN n = {first} THEN '{{tenant,rare}}' ELSE '{{tenant}}' END");
        self.had_in(&channels, name, days_ago, first, count).await;
    }

    /// The same in these channels, an SQL expression of the number `n`.
    async fn had_in(&self, channels: &str, name: &str, days_ago: i32, first: u64, count: u64) {
        let last = first + count - 1;
        self.sql(&format!(
            "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
             SELECT '{name}', n, now() - interval '{days_ago} days' + n * interval '1 ms', '{name}-' || n,
                CASE WHEN n = {first} THEN 'order.first' ELSE 'order.paid' END, 'api',
                ({channels})::text[], now(),
                '{{\"id\":\"{name}-' || n || '\"}}' FROM generate_series({first}, {last}) AS n;
             UPDATE carillon.tenants SET head = greatest(head, {last}) WHERE id = '{name}'"
        ))
        .await;
    }

    /// A tenant's events of a day are no more.
    async fn lost(&self, name: &str, days_ago: i32) {
        self.sql(&format!(
            "DO $$ BEGIN EXECUTE format('DELETE FROM carillon.events_%s WHERE tenant_id = %L',
                to_char(now() - interval '{days_ago} days', 'YYYYMMDD'), '{name}'); END $$"
        ))
        .await;
    }

    /// A tenant with some events every ten days since the log began. Answers how many.
    async fn steady(&self, name: &str, days: i32) -> u64 {
        self.publisher.open_tenant(&tenant(name), true).await.unwrap();
        let mut head = 0;
        for ago in (0..days).rev().filter(|ago| ago % EVERY == 0) {
            self.had(name, ago, head + 1, PER_DAY).await;
            head += PER_DAY;
        }
        head
    }
}

/// Every number that a reader gets from a cursor on, page by page.
async fn numbers(log: &Log, tenant: &TenantId, after: u64, upto: u64) -> Vec<u64> {
    let (mut numbers, mut cursor) = (Vec::new(), Seq(after));
    loop {
        let page = log.read(tenant, cursor, Seq(upto)).await.unwrap();
        numbers.extend(page.events.iter().map(|event| event.seq.0));
        if page.complete {
            return numbers;
        }
        cursor = page.events.last().unwrap().seq;
    }
}

/// Every number that a search finds.
async fn found(
    log: &Log,
    tenant: &TenantId,
    filter: &EventFilter,
    range: (u64, u64),
    order: Order,
) -> Vec<u64> {
    let range = (Seq(range.0), Seq(range.1));
    let mut search = log.search(tenant, filter.clone(), range, order).await.unwrap();
    let mut found = Vec::new();
    while !search.is_done() {
        let events = log.search_on(&mut search, 50, 100_000).await.unwrap();
        found.extend(events.iter().map(|event| event.seq.0));
    }
    found
}

/// The same in both directions.
async fn found_either_way(log: &Log, tenant: &TenantId, filter: &EventFilter, range: (u64, u64)) -> Vec<u64> {
    let forward = found(log, tenant, filter, range, Order::Ascending).await;
    let mut backward = found(log, tenant, filter, range, Order::Descending).await;
    backward.reverse();
    assert_eq!(forward, backward, "{filter:?} in {range:?}");
    forward
}

/// Reads on until the channel index knows everything.
async fn read_all(log: &Log) {
    let name = ChannelIndex.name();
    loop {
        let slots = log.lease_slots(name, "worker").await.unwrap();
        let news = log.projector_news(name, &slots, None, 100).await.unwrap();
        if news.is_empty() {
            return;
        }
        for News { tenant, slot, .. } in news {
            let slot = *slots.iter().find(|held| held.number == slot).unwrap();
            let turn = Turn { tenant: &tenant, slot, worker: "worker" };
            assert_ne!(log.project(&ChannelIndex, turn).await.unwrap(), Progress::LeaseLost);
        }
    }
}

fn all(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_kept_for_years_is_opened_read_searched_and_written_with_few_locks() {
    let (database, days) = kept_for_years().await;
    // The fault: statements that name no days lock each partition and its indexes; some at a time find none left.
    let unbounded = "BEGIN; SELECT seq FROM carillon.events WHERE tenant_id = 'shop' ORDER BY seq LIMIT 1";
    let mut sessions = Vec::new();
    let error = loop {
        assert!(sessions.len() < 10, "there are locks for all");
        let session = database.superuser().await;
        if let Err(error) = session.batch_execute(unbounded).await {
            // It is told before the locks are given back.
            session.batch_execute("ROLLBACK").await.unwrap();
            break error;
        }
        sessions.push(session);
    };
    assert!(matches!(LogError::from(error), LogError::Exhausted(_)));
    for session in sessions {
        session.batch_execute("ROLLBACK").await.unwrap();
    }

    let head = database.steady("shop", days).await;
    let (shop, log, gateway) = (tenant("shop"), database.log(Role::Publisher), database.log(Role::Gateway));
    let rare: Vec<u64> = all(1, head).into_iter().filter(|seq| seq % PER_DAY == 1).collect();

    // Opening, coming back, replaying.
    assert_eq!(gateway.oldest(&shop).await.unwrap(), Some(Seq(1)));
    for after in [0, 1, head / 3, head / 2, head - 40, head - 3, head - 1, head] {
        assert_eq!(numbers(&gateway, &shop, after, head).await, all(after + 1, head), "after {after}");
    }
    assert_eq!(numbers(&gateway, &shop, 4, head / 2).await, all(5, head / 2));
    for seq in [1, 2, head / 2, head] {
        let event = gateway.event_at(&shop, Seq(seq)).await.unwrap().unwrap();
        assert_eq!(event.body, format!("{{\"id\":\"shop-{seq}\"}}"));
        // An epoch ends where the log has another event than was delivered, and nowhere else.
        let Some(opened) = gateway.open_tenant(&shop, false).await.unwrap() else { panic!("it is there") };
        let same = Tag::of(event.body.as_bytes());
        assert!(!gateway.end_epoch(&shop, &opened.head.epoch, Seq(seq), same).await.unwrap());
        let other = Tag::of(b"another event");
        assert!(gateway.end_epoch(&shop, &opened.head.epoch, Seq(seq), other).await.unwrap(), "{seq}");
    }
    assert_eq!(gateway.event_at(&shop, Seq(head + 1)).await.unwrap(), None);

    // Searches, by walking and by the index.
    let by_channel = EventFilter::channels(&[channel("rare"), channel("nobody")]);
    let by_type = EventFilter { types: vec![TypePattern::new("order.first").unwrap()], ..Default::default() };
    let by_both = EventFilter { channel: Some("rare".into()), ..by_type.clone() };
    let text = EventFilter { q: Some(format!("shop-{head}\"")), ..Default::default() };
    let nothing = EventFilter::channels(&[channel("nobody")]);
    for indexed in [false, true] {
        for filter in [&by_channel, &by_type, &by_both] {
            assert_eq!(
                found_either_way(&gateway, &shop, filter, (0, head)).await,
                rare,
                "indexed: {indexed}"
            );
            let (from, to) = (head / 3, head / 2);
            let part: Vec<u64> = rare.iter().copied().filter(|seq| (from + 1..=to).contains(seq)).collect();
            assert_eq!(found_either_way(&gateway, &shop, filter, (from, to)).await, part);
        }
        assert_eq!(found_either_way(&gateway, &shop, &EventFilter::default(), (0, head)).await, all(1, head));
        assert_eq!(found_either_way(&gateway, &shop, &text, (0, head)).await, [head]);
        assert!(found_either_way(&gateway, &shop, &nothing, (0, head)).await.is_empty());
        read_all(&log).await;
    }
    for seq in [1, head / 2, head] {
        let id = EventId::new(format!("shop-{seq}")).unwrap();
        assert_eq!(gateway.event(&shop, &id).await.unwrap().unwrap().1.seq, Seq(seq));
    }
    assert!(gateway.event(&shop, &EventId::new("nothing").unwrap()).await.unwrap().is_none());

    // Writing, repeating, and looking after the partitions.
    for expected in ["stored", "repeated"] {
        let appended = log.append(&[append("shop", 0, "new", Some(("key", 1)))]).await.unwrap();
        let seq = match &appended[..] {
            [Appended::Stored { seq, .. }] if expected == "stored" => *seq,
            [Appended::Replayed { seq, .. }] if expected == "repeated" => *seq,
            other => panic!("{other:?} is not {expected}"),
        };
        assert_eq!(seq, Seq(head + 1));
    }
    log.prove_writable().await.unwrap();
    log.create_partitions(9).await.unwrap();
    ChannelIndex.maintain(&log).await.unwrap();
    let keep = days as u32 - 2;
    assert!(matches!(log.drop_due_partition(keep).await.unwrap(), Dropped::One { .. }));
    ChannelIndex.maintain(&log).await.unwrap();
    assert_eq!(log.partition_state(keep).await.unwrap().due, 0);
}

/// Tenants whose logs have long pauses, begin late, or are past retention as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn sparse_young_and_forgotten_logs_are_read_right() {
    let (database, days) = kept_for_years().await;
    for name in ["sparse", "young", "forgotten", "clock", "wide"] {
        database.publisher.open_tenant(&tenant(name), true).await.unwrap();
    }
    let (oldest, middle) = (days - 1, days / 2);
    for (ago, first) in [(oldest, 1), (middle, 3), (0, 5)] {
        database.had("sparse", ago, first, 2).await;
        database.had_in("'{old}'", "wide", ago, first, 1).await;
        database.had_in("'{tenant}'", "wide", ago, first + 1, 1).await;
    }
    database.had("young", 0, 1, 2).await;
    database.sql("UPDATE carillon.tenants SET head = 7 WHERE id = 'forgotten'").await;
    // A clock that was set back, by less than a day, over the border of two stretches.
    for (ago, seq) in [(40, 1), (39, 2), (40, 3), (39, 4), (0, 5)] {
        database.had("clock", ago, seq, 1).await;
    }
    // What the index of an earlier release made of years that it read at once: one row, of the time of its newest event.
    database
        .sql(&format!(
            "INSERT INTO carillon.channel_index (tenant_id, channel, last_seq, seqs, since, at)
                 VALUES ('wide', 'old', 6, '{{1,3,5}}', now() - interval '{} days', now());
             INSERT INTO carillon.projector_cursors (tenant_id, projector, epoch, seq, at)
                 SELECT id, 'channel_index', epoch, 6, now() FROM carillon.tenants WHERE id = 'wide'",
            oldest + 1
        ))
        .await;
    let (log, gateway) = (database.log(Role::Publisher), database.log(Role::Gateway));
    let old = EventFilter::channels(&[channel("old")]);
    assert_eq!(found_either_way(&gateway, &tenant("wide"), &old, (0, 6)).await, [1, 3, 5]);
    let sparse = tenant("sparse");
    for after in 0..=6 {
        assert_eq!(numbers(&gateway, &sparse, after, 6).await, all(after + 1, 6));
    }
    for (name, first) in [("sparse", Some(1)), ("young", Some(1)), ("forgotten", None)] {
        assert_eq!(gateway.oldest(&tenant(name)).await.unwrap(), first.map(Seq), "{name}");
    }
    assert!(numbers(&gateway, &tenant("forgotten"), 3, 7).await.is_empty());
    assert_eq!(numbers(&gateway, &tenant("clock"), 0, 5).await, all(1, 5));
    let rare = EventFilter::channels(&[channel("rare")]);
    for _indexed in [false, true] {
        assert_eq!(found_either_way(&gateway, &sparse, &rare, (0, 6)).await, [1, 3, 5]);
        assert_eq!(found_either_way(&gateway, &sparse, &rare, (1, 4)).await, [3]);
        assert_eq!(found_either_way(&gateway, &tenant("clock"), &rare, (0, 5)).await, all(1, 5));
        assert!(found_either_way(&gateway, &tenant("forgotten"), &rare, (0, 7)).await.is_empty());
        read_all(&log).await;
    }
    // The log lost its end, which reaches back for years, and the index forgets it.
    database.lost("sparse", middle).await;
    database.lost("sparse", 0).await;
    database.sql("UPDATE carillon.tenants SET head = 2, epoch = 'another' WHERE id = 'sparse'").await;
    read_all(&log).await;
    database.had("sparse", 0, 3, 1).await;
    read_all(&log).await;
    assert_eq!(found_either_way(&gateway, &sparse, &rare, (0, 3)).await, [1, 3]);
}

/// After a restart, all at once, as many at a time as a gateway opens.
#[tokio::test(flavor = "multi_thread")]
async fn eighty_tenants_come_back_at_once() {
    let (database, _) = kept_for_years().await;
    let names: Vec<String> = (0..80).map(|n| format!("t{n}")).collect();
    for name in &names {
        database.publisher.open_tenant(&tenant(name), true).await.unwrap();
        database.had(name, 0, 1, 5).await;
    }
    let (gateway, turns) = (database.log(Role::Gateway), Arc::new(Semaphore::new(4)));
    let returning = names.into_iter().map(|name| {
        let (gateway, turns) = (gateway.clone(), turns.clone());
        tokio::spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let tenant = tenant(&name);
            gateway.open_tenant(&tenant, false).await.unwrap().unwrap();
            assert_eq!(gateway.oldest(&tenant).await.unwrap(), Some(Seq(1)));
            numbers(&gateway, &tenant, 2, 5).await
        })
    });
    for numbers in returning.collect::<Vec<_>>() {
        assert_eq!(numbers.await.unwrap(), [3, 4, 5]);
    }
}

/// Somebody else holds all locks that there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_no_locks_left_is_told_until_it_has_some() {
    let database =
        Database::start_with(&[("max_locks_per_transaction", "10"), ("max_connections", "40")]).await;
    let (shop, gateway) = (tenant("shop"), database.log(Role::Gateway));
    database.publisher.open_tenant(&shop, true).await.unwrap();
    database.had("shop", 0, 1, 5).await;
    assert_eq!(numbers(&gateway, &shop, 0, 5).await, all(1, 5));
    gateway.ping().await.unwrap();
    assert_eq!(gateway.exhausted(), None);
    let holder = database.superuser().await;
    let take = "SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) AS n";
    assert!(matches!(LogError::from(holder.query(take, &[]).await.unwrap_err()), LogError::Exhausted(_)));
    // What a session needs little for goes on, and says nothing about the others.
    for _ in 0..3 {
        assert!(matches!(gateway.read(&shop, Seq(0), Seq(5)).await, Err(LogError::Exhausted(_))));
        gateway.ping().await.unwrap();
    }
    assert!(matches!(gateway.exhausted(), Some(LogError::Exhausted(_))));
    holder.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(numbers(&gateway, &shop, 0, 5).await, all(1, 5));
    assert_eq!(gateway.exhausted(), None);
}

/// Others have all connections that there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_no_connection_left_is_busy_and_told_until_it_has_one() {
    let database = Database::start_with(&[("max_connections", "12"), ("max_wal_senders", "2")]).await;
    let gateway = database.log(Role::Gateway);
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await {
        tokio::spawn(connection);
        others.push(client);
    }
    for _ in 0..3 {
        let refused = gateway.ping().await.unwrap_err();
        assert!(matches!(refused, LogError::Busy(_)), "nobody is to leave it alone for that: {refused}");
    }
    assert!(matches!(gateway.exhausted(), Some(LogError::Busy(_))));
    others.clear();
    while gateway.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.exhausted(), None);
}
