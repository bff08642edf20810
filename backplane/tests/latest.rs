//! Is the latest event of a key what was appended last, whatever comes together, and does it go when its time is over?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Append, Appended, Log};
use carillon_protocol::event::Latest;
use carillon_protocol::{Channel, LatestKey, Seq, TypePattern};
use database::{Database, channel, tenant};
use std::collections::BTreeMap;

/// Numbers that look like chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn keyed(tenant_name: &str, id: &str, key: &str, deletes: bool, channels: &[&str]) -> Append {
    let mut append = database::append(tenant_name, 0, id, Some((id, 1)));
    append.event.latest = Some(Latest { key: LatestKey::new(key).unwrap(), deletes });
    append.event.channels = channels.iter().map(|name| channel(name)).collect();
    append
}

/// All pages: each event's number with the channels in which it is the latest.
async fn all(
    log: &Log,
    name: &str,
    channels: &[&str],
    types: &[&str],
    limit: usize,
) -> Vec<(u64, Vec<String>)> {
    let channels: Vec<Channel> = channels.iter().map(|name| channel(name)).collect();
    let types: Vec<TypePattern> = types.iter().map(|text| TypePattern::new(text).unwrap()).collect();
    let (mut after, mut found) = (Seq::ZERO, Vec::new());
    loop {
        let page = log.latest(&tenant(name), &channels, &types, (after, Seq(u64::MAX)), (limit, 60)).await;
        let page = page.unwrap().unwrap();
        assert!(page.events.len() <= limit && page.reached > after, "{page:?}");
        for event in page.events {
            let names = event.channels.iter().map(|it| it.as_str().to_owned()).collect();
            found.push((event.seq.0, names));
        }
        after = page.reached;
        if after >= page.head {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_of_every_key_is_what_a_map_says() {
    const CHANNELS: [&str; 4] = ["a", "b", "c", "tenant"];
    let database = Database::start().await;
    for name in ["x", "y"] {
        database.publisher.open_tenant(&tenant(name), true).await.unwrap();
    }
    let mut dice = Dice(7);
    let mut truth: BTreeMap<(&str, &str, String), (u64, bool, String)> = BTreeMap::new();
    let mut sent: Vec<Append> = Vec::new();
    for round in 0..60 {
        let mut batch: Vec<Append> = (0..1 + dice.below(8))
            .map(|n| {
                let name = ["x", "y"][dice.below(2) as usize];
                let key = format!("k{}", dice.below(6));
                let first = dice.below(4) as usize;
                let upto = first + 1 + dice.below(4 - first as u64) as usize;
                let id = format!("{round}-{n}");
                let mut append = keyed(name, &id, &key, dice.below(5) == 0, &CHANNELS[first..upto]);
                append.event.kind = ["order.new", "paid"][dice.below(2) as usize].into();
                if dice.below(6) == 0 {
                    append.event.latest = None;
                }
                append
            })
            .collect();
        if let (Some(repeat), 0) = (sent.get(dice.below(40) as usize), dice.below(3)) {
            batch.push(repeat.clone());
        }
        let done = database.publisher.append(&batch).await.unwrap();
        for (append, appended) in batch.iter().zip(done) {
            let Appended::Stored { seq, .. } = appended else { continue };
            sent.push(append.clone());
            let name = if append.tenant.as_str() == "x" { "x" } else { "y" };
            let Some(latest) = &append.event.latest else { continue };
            for own in &append.event.channels {
                let own = CHANNELS.iter().find(|known| **known == own.as_str()).unwrap();
                let place = (name, *own, latest.key.as_str().to_owned());
                truth.insert(place, (seq.0, latest.deletes, append.event.kind.clone()));
            }
        }
        for (name, channels, types) in [
            ("x", &CHANNELS[..], &[][..]),
            ("x", &CHANNELS[1..2], &[]),
            ("y", &CHANNELS[..3], &["order.*"]),
            ("y", &["a", "nobody"], &["paid", "x*"]),
        ] {
            let mut wanted: BTreeMap<u64, Vec<String>> = BTreeMap::new();
            for own in channels {
                for ((at, known, _), (seq, deletes, kind)) in &truth {
                    let is_of_type = types.is_empty()
                        || types.iter().any(|text| TypePattern::new(text).unwrap().matches(kind));
                    if at == &name && known == own && !deletes && is_of_type {
                        wanted.entry(*seq).or_default().push((*own).to_owned());
                    }
                }
            }
            for limit in [1_000, 2] {
                let found = all(&database.gateway, name, channels, types, limit).await;
                assert_eq!(
                    found,
                    wanted.clone().into_iter().collect::<Vec<_>>(),
                    "{name} {channels:?} {types:?}"
                );
            }
        }
    }
    assert!(sent.len() > 150 && truth.values().any(|(_, deletes, _)| *deletes));
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_whoever_is_numbered_last_is_the_latest_however_many_append_at_once() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("x"), true).await.unwrap();
    let mut tasks = Vec::new();
    for task in 0..6u64 {
        let log = database.log(carillon_backplane::log::Role::Publisher);
        tasks.push(tokio::spawn(async move {
            let (mut dice, mut done) = (Dice(task), Vec::new());
            for n in 0..60 {
                // New keys all the time: half of these events delete what another task inserts at the same moment.
                let (key, deletes) = (format!("k{}", n / 3), dice.below(2) == 0);
                let batch = [keyed("x", &format!("{task}-{n}"), &key, deletes, &["a"])];
                let Appended::Stored { seq, .. } = log.append(&batch).await.unwrap()[0] else { panic!() };
                done.push((key, (seq.0, deletes)));
            }
            done
        }));
    }
    let mut last: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    for task in tasks {
        for (key, own) in task.await.unwrap() {
            let known = last.entry(key).or_insert(own);
            *known = (*known).max(own);
        }
    }
    assert_eq!(last.len(), 20);
    for (key, (seq, deletes)) in last {
        let same = format!(
            "SELECT count(*) FROM carillon.latest WHERE key = '{key}' AND seq = {seq} AND gone = {deletes}"
        );
        assert_eq!(database.count(&same).await, 1, "{key} is {seq}, deleted: {deletes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_nothing_touches_and_deleted_ones_go_in_slices_and_others_stay() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("x"), true).await.unwrap();
    let batch: Vec<Append> =
        (0..10).map(|n| keyed("x", &n.to_string(), &format!("k{n}"), n >= 8, &["a"])).collect();
    database.publisher.append(&batch).await.unwrap();
    assert_eq!(all(&database.gateway, "x", &["a"], &[], 3).await.len(), 8);
    // The first five were touched last eleven days ago, and the event of one of them is gone with its day.
    database
        .sql(
            "UPDATE carillon.latest SET at = now() - interval '11 days' WHERE seq <= 5;
            UPDATE carillon.latest SET at = now() - interval '2 hours' WHERE key = 'k9'",
        )
        .await;
    let left: Vec<u64> =
        all(&database.gateway, "x", &["a"], &[], 3).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(left, [6, 7, 8], "what a key points at and is not there is passed over");
    let publisher = &database.publisher;
    let first = publisher.forget_latest(10, 3).await.unwrap();
    assert_eq!(first.forgotten, 4, "three that are old and one that was deleted");
    assert!(first.overdue.as_secs() > 80_000, "{first:?}");
    let second = publisher.forget_latest(10, 3).await.unwrap();
    assert_eq!((second.forgotten, second.overdue.as_secs()), (2, 0));
    assert_eq!(publisher.forget_latest(10, 3).await.unwrap().forgotten, 0);
    assert_eq!(
        database.count("SELECT count(*) FROM carillon.latest").await,
        4,
        "k5, k6, k7, and k8 just deleted"
    );
    // A row that an append holds is passed over, and its append waits for nobody.
    database.sql("UPDATE carillon.latest SET at = now() - interval '11 days' WHERE key = 'k5'").await;
    let holder = database.superuser().await;
    holder.batch_execute("BEGIN; UPDATE carillon.latest SET gone = false WHERE key = 'k5'").await.unwrap();
    assert_eq!(publisher.forget_latest(10, 3).await.unwrap().forgotten, 0);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(publisher.forget_latest(10, 3).await.unwrap().forgotten, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_nobody_sees_or_moves_the_keys_of_a_tenant_that_was_not_named() {
    let database = Database::start().await;
    for name in ["x", "y"] {
        database.publisher.open_tenant(&tenant(name), true).await.unwrap();
        database.publisher.append(&[keyed(name, "1", "k", false, &["a"])]).await.unwrap();
    }
    let client = database.superuser().await;
    for role in ["carillon_publisher", "carillon_gateway", "carillon_owner"] {
        client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        for (scope, seen) in [("", 0), ("x", 1), ("x,y", 2)] {
            let set = format!("BEGIN; SELECT set_config('carillon.tenant', '{scope}', true)");
            client.batch_execute(&set).await.unwrap();
            let count = client.query_one("SELECT count(*) FROM carillon.latest", &[]).await.unwrap();
            assert_eq!(count.get::<_, i64>(0), seen, "{role} {scope}");
            client.batch_execute("ROLLBACK").await.unwrap();
        }
        client.batch_execute("RESET ROLE").await.unwrap();
    }
    client
        .batch_execute("SET ROLE carillon_publisher; BEGIN; SELECT set_config('carillon.tenant', 'x', true)")
        .await
        .unwrap();
    let moved =
        client.execute("UPDATE carillon.latest SET seq = 9 WHERE tenant_id = 'y'", &[]).await.unwrap();
    assert_eq!(moved, 0);
    let insert = "INSERT INTO carillon.latest VALUES ('y', 'a', 'other', 1, now(), false)";
    let refused = client.execute(insert, &[]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("row-level security"), "{refused}");
    client.batch_execute("ROLLBACK; SET ROLE carillon_gateway").await.unwrap();
    let refused = client.execute("UPDATE carillon.latest SET seq = 9", &[]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("permission denied"), "{refused}");
}
