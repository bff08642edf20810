//! Does the index say what the log says, whatever happens to those who write it?

use crate::database::{Database, tenant};
use crate::index::{append, read_all};
use carillon_backplane::log::{ChannelIndex, Reader, Role, Turn};
use std::time::Duration;
use tokio::time::timeout;

const NAME: &str = "channel_index";

/// Small and good enough to choose among a few things.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Two workers read four tenants' logs while events come; their steps are cut off at any moment, their leases end or are
/// taken over, and they are replaced by others of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_skipped_and_none_is_doubled_whatever_dies_between_two_steps() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let names = ["north", "south", "east", "west"];
    for name in names {
        log.open_tenant(&tenant(name), true).await.unwrap();
    }
    let superuser = database.superuser().await;
    let seed = std::process::id().into();
    let mut dice = Dice(seed);
    let (mut cut, mut finished) = (0, 0);
    for round in 0..60 {
        let events = 1 + dice.roll(40);
        let batch: Vec<_> = (0..events)
            .map(|n| {
                let (name, rare) = (names[dice.roll(4) as usize], format!("order:{}", dice.roll(50)));
                append(name, n as u32, &format!("{round}-{n}"), &["tenant", &rare])
            })
            .collect();
        log.append(&batch).await.unwrap();
        let worker = ["a", "b"][dice.roll(2) as usize];
        let slots = log.lease_slots(NAME, worker).await.unwrap();
        if dice.roll(4) == 0 {
            superuser
                .batch_execute(
                    "UPDATE carillon.projector_slots SET lease_until = now() - interval '1 s';
                     DELETE FROM carillon.projector_workers",
                )
                .await
                .unwrap();
            log.lease_slots(NAME, ["a", "b"][dice.roll(2) as usize]).await.unwrap();
        }
        for news in log.projector_news(NAME, &slots, None, 10).await.unwrap() {
            let slot = *slots.iter().find(|slot| slot.number == news.slot).unwrap();
            let turn = Turn { tenant: &news.tenant, slot, worker };
            // Every third has time enough, however slow the machine is.
            let patience = Duration::from_micros(match dice.roll(3) {
                0 => 10_000_000,
                _ => dice.roll(12_000),
            });
            match timeout(patience, log.project(&ChannelIndex, turn)).await {
                Ok(result) => {
                    result.unwrap();
                    finished += 1;
                }
                Err(_) => cut += 1,
            }
        }
    }
    assert!(cut > 0 && finished > 0, "seed {seed}: {cut} steps cut off, {finished} not");
    superuser.batch_execute("DELETE FROM carillon.projector_workers").await.unwrap();
    superuser.batch_execute("UPDATE carillon.projector_slots SET lease_until = '-infinity'").await.unwrap();
    read_all(&log, "last").await;
    assert_eq!(database.differences().await, 0, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_leaves_no_wrong_rows_and_misses_none() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    log.open_tenant(&tenant("shop"), true).await.unwrap();
    let events = |life: &str, n: u32| -> Vec<_> {
        (0..n)
            .map(|n| append("shop", n, &format!("{life}-{n}"), &["tenant", &format!("{life}:{n}")]))
            .collect()
    };
    log.append(&events("first", 30)).await.unwrap();
    read_all(&log, "a").await;
    // The end is lost with the index knowing it, and the log goes on in a new epoch.
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "DELETE FROM carillon.events WHERE seq > 10;
             UPDATE carillon.tenants SET head = 10, epoch = 'another' WHERE id = 'shop'",
        )
        .await
        .unwrap();
    log.append(&events("second", 25)).await.unwrap();
    assert!(database.differences().await > 0, "what was lost is still in the index");
    read_all(&log, "a").await;
    assert_eq!(database.differences().await, 0);
    // Within one epoch, before anybody has noticed.
    superuser
        .batch_execute("DELETE FROM carillon.events WHERE seq > 20; UPDATE carillon.tenants SET head = 20")
        .await
        .unwrap();
    read_all(&log, "a").await;
    assert_eq!(database.differences().await, 0);
    log.append(&events("third", 5)).await.unwrap();
    read_all(&log, "a").await;
    assert_eq!(database.differences().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_dropped_is_passed_over() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    database.fill("long", 30_000, "ARRAY['tenant']").await;
    let superuser = database.superuser().await;
    superuser.batch_execute("DELETE FROM carillon.events WHERE seq <= 29900").await.unwrap();
    let slots = log.lease_slots(NAME, "a").await.unwrap();
    let mut steps = 0;
    while let [news] = &log.projector_news(NAME, &slots, None, 10).await.unwrap()[..] {
        let slot = *slots.iter().find(|slot| slot.number == news.slot).unwrap();
        log.project(&ChannelIndex, Turn { tenant: &news.tenant, slot, worker: "a" }).await.unwrap();
        steps += 1;
    }
    assert_eq!(steps, 2, "once over the gap, once through the rest");
    assert_eq!(database.differences().await, 0);
}

/// A clock that was set back by days puts an event into a partition that the projector does not look at first.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_a_clock_that_was_set_back_is_read_too() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let superuser = database.superuser().await;
    log.open_tenant(&tenant("clock"), true).await.unwrap();
    superuser
        .batch_execute(
            "CREATE TABLE carillon.events_20200101 (LIKE carillon.events INCLUDING ALL);
             ALTER TABLE carillon.events_20200101 OWNER TO carillon_owner;
             ALTER TABLE carillon.events ATTACH PARTITION carillon.events_20200101
                 FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')",
        )
        .await
        .unwrap();
    ChannelIndex.maintain(&log).await.unwrap();
    log.append(&[append("clock", 0, "one", &["tenant"])]).await.unwrap();
    read_all(&log, "a").await;
    superuser
        .batch_execute(
            "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
                 VALUES ('clock', 2, '2020-01-01 10:00+00', 'two', 't', 's', '{order:7}', now(), '{}');
             UPDATE carillon.tenants SET head = 2",
        )
        .await
        .unwrap();
    read_all(&log, "a").await;
    assert_eq!(database.differences().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_has_the_partitions_that_the_log_has() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let superuser = database.superuser().await;
    let days = async |table: &str| -> Vec<String> {
        let sql = format!(
            "SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid
             WHERE inhparent = 'carillon.{table}'::regclass AND c.relrowsecurity AND c.relforcerowsecurity ORDER BY 1"
        );
        superuser.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(days("events").await, days("channel_index").await, "from the beginning");
    log.create_partitions(9).await.unwrap();
    ChannelIndex.maintain(&log).await.unwrap();
    assert_eq!(days("events").await, days("channel_index").await, "as days come");
    let oldest = &days("events").await[0];
    superuser.batch_execute(&format!("DROP TABLE carillon.events_{oldest}")).await.unwrap();
    // Somebody who reads the index for long is not disturbed, and disturbs nobody.
    let reader = database.superuser().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM carillon.channel_index").await.unwrap();
    ChannelIndex.maintain(&log).await.unwrap();
    assert_eq!(days("channel_index").await.len(), days("events").await.len() + 1, "not while it is in use");
    reader.batch_execute("COMMIT").await.unwrap();
    ChannelIndex.maintain(&log).await.unwrap();
    assert_eq!(days("events").await, days("channel_index").await, "as days go");
}
