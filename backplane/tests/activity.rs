//! Is what people did stored once, whatever is repeated, and for as many days as it shall be?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{ActivityQuery, Did, LogError};
use database::{Database, tenant};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_MS: u64 = 86_400_000;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

fn did<'a>(tenant: &'a str, at_ms: u64, id: &'a str, (user, name): (&'a str, &'a str)) -> Did<'a> {
    Did { tenant, at_ms, id, user, device: None, connection: "gateway-1-a-0-0-1", name, data: "{}" }
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|_| uuid::Uuid::new_v4().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_stored_again_is_the_same_rows_and_what_fits_nowhere_is_left_out() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("one"), true).await.unwrap();
    let (ids, now) = (ids(5), now_ms());
    let batch: Vec<Did<'_>> =
        ids.iter().zip(0..).map(|(id, n)| did("one", now - n, id, ("mila", "click"))).collect();
    for _ in 0..3 {
        assert_eq!(database.gateway.store_activity(&batch).await.unwrap(), 0);
    }
    assert_eq!(database.count("SELECT count(*) FROM carillon.activity").await, 5);
    let (old, ahead) = (now - 400 * DAY_MS, now + 30 * DAY_MS);
    let elsewhere = [
        did("one", old, &ids[0], ("mila", "click")),
        did("one", ahead, &ids[1], ("mila", "click")),
        did("no-tenant", now, &ids[2], ("mila", "click")),
        did("one", now - DAY_MS, &ids[3], ("ana", "click")),
    ];
    assert_eq!(database.gateway.store_activity(&elsewhere).await.unwrap(), 3, "no partition, no tenant");
    assert_eq!(database.count("SELECT count(*) FROM carillon.activity").await, 6);
    // A gateway writes and does not read, a publisher reads its tenant's and does not write.
    let read =
        database.gateway.activity(&tenant("one"), ActivityQuery { limit: 9, ..Default::default() }).await;
    assert!(matches!(read, Err(LogError::Database(_))), "{read:?}");
    let written = database.publisher.store_activity(&batch).await;
    assert!(matches!(written, Err(LogError::Database(_))), "{written:?}");
    let others = ActivityQuery { limit: 9, ..Default::default() };
    assert_eq!(database.publisher.activity(&tenant("two"), others).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_what_people_did_are_whole_newest_first_and_each_filter_holds() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("one"), true).await.unwrap();
    let (ids, now) = (ids(60), now_ms());
    let who = ["mila", "ana", "jan"];
    let what = ["page.opened", "click"];
    // Many in the same millisecond: the place of a page is a moment and a name.
    let batch: Vec<Did<'_>> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| did("one", now - n as u64 / 7, id, (who[n % 3], what[n % 2])))
        .collect();
    database.gateway.store_activity(&batch).await.unwrap();
    let log = &database.publisher;
    let all = ActivityQuery { limit: 100, ..Default::default() };
    let everything = log.activity(&tenant("one"), all).await.unwrap();
    assert_eq!(everything.len(), 60);
    let place = |row: &carillon_backplane::log::StoredActivity| (row.at, row.id.clone());
    assert!(everything.windows(2).all(|pair| place(&pair[0]) > place(&pair[1])));
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let from = after.as_ref().map(|(at, id): &(jiff::Timestamp, String)| (*at, id.as_str()));
        let page =
            log.activity(&tenant("one"), ActivityQuery { after: from, limit: 7, ..all }).await.unwrap();
        after = page.last().map(place);
        let done = page.len() < 7;
        paged.extend(page);
        if done {
            break;
        }
    }
    assert_eq!(paged, everything);
    let of = |query: ActivityQuery<'static>| {
        let log = log.clone();
        async move { log.activity(&tenant("one"), query).await.unwrap().len() }
    };
    assert_eq!(of(ActivityQuery { user: Some("mila"), ..all }).await, 20);
    assert_eq!(of(ActivityQuery { name: Some("click"), ..all }).await, 30);
    assert_eq!(of(ActivityQuery { user: Some("mila"), name: Some("click"), ..all }).await, 10);
    let at = |ms: u64| jiff::Timestamp::from_millisecond(ms as i64).ok();
    assert_eq!(of(ActivityQuery { from: at(now), ..all }).await, 7);
    assert_eq!(of(ActivityQuery { to: at(now), ..all }).await, 53);
    assert_eq!(of(ActivityQuery { from: at(now - 1), to: at(now), user: Some("ana"), ..all }).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_partitions_is_made_ahead_and_old_ones_go_one_at_a_time() {
    let database = Database::start().await;
    let log = &database.publisher;
    for days in [40, 41, 45] {
        let day = format!("current_date - {days}");
        let part = format!("'activity_' || to_char({day}, 'YYYYMMDD')");
        database
            .sql(&format!(
                "SET ROLE carillon_owner; DO $$ BEGIN EXECUTE format('CREATE TABLE carillon.%I PARTITION OF carillon.activity FOR VALUES FROM (%L) TO (%L)',
                 {part}, ({day})::timestamptz, ({day} + 1)::timestamptz); END $$; RESET ROLE"
            ))
            .await;
    }
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'carillon.activity'::regclass";
    assert_eq!(database.count(partitions).await, 3 + 10);
    let first = log.follow_activity(9, 30).await.unwrap();
    assert_eq!((first.created, first.dropped, first.due), (2, 1, 2), "two more days, one of three goes");
    let second = log.follow_activity(9, 30).await.unwrap();
    assert_eq!((second.created, second.dropped, second.due), (0, 1, 1));
    let third = log.follow_activity(9, 30).await.unwrap();
    assert_eq!((third.dropped, third.due), (1, 0));
    assert_eq!(log.follow_activity(9, 30).await.unwrap().dropped, 0);
    assert_eq!(database.count(partitions).await, 12);
    let open = "SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE i.inhparent = 'carillon.activity'::regclass AND NOT (c.relrowsecurity AND c.relforcerowsecurity)";
    assert_eq!(database.count(open).await, 0, "row level security is on for each");
}
