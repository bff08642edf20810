//! Is what is stored of connections right, whatever is repeated, and who is given up?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{ConnectionFilter, GatewayRun, Log, PutWebhook, Role, SessionState};
use database::{Database, tenant};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

fn run(node: &str) -> GatewayRun {
    GatewayRun { node: node.into(), number: u64::MAX - 1 }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn state<'a>(connection: &'a str, user: &'a str, ended: Option<(u64, &'a str)>) -> SessionState<'a> {
    SessionState {
        tenant: "acme",
        connection,
        user,
        device: None,
        transport: "websocket",
        address: None,
        opened_ms: now_ms() - 60_000,
        rtt_ms: Some(12),
        lost_pings: 1,
        channels: "tenant\u{1f}contact:7",
        ended,
    }
}

async fn open(log: &Log) -> Vec<String> {
    let found = log.connections(&tenant("acme"), &ConnectionFilter::default(), "", 100).await.unwrap();
    found.into_iter().map(|open| open.connection).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_open_and_then_ended_once_however_often_it_is_told() {
    let database = Database::start().await;
    let (gateway, publisher) = (&database.gateway, &database.publisher);
    publisher.open_tenant(&tenant("acme"), true).await.unwrap();
    let (a, b) = (state("a", "mila", None), state("b", "ana", None));
    assert!(gateway.store_sessions(&run("one"), &[a, b]).await.unwrap(), "nobody knew of it");
    assert!(!gateway.store_sessions(&run("one"), &[b, a]).await.unwrap());
    assert_eq!(open(publisher).await, ["a", "b"]);
    let found = ConnectionFilter { channel: Some("contact:7".into()), ..ConnectionFilter::default() };
    let page = publisher.connections(&tenant("acme"), &found, "a", 100).await.unwrap();
    assert_eq!((page.len(), page[0].rtt_ms, page[0].lost_pings, page[0].behind), (1, Some(12), 1, None));
    let named = ConnectionFilter { connection: Some("b".into()), ..ConnectionFilter::default() };
    let page = publisher.connections(&tenant("acme"), &named, "", 100).await.unwrap();
    assert_eq!((page.len(), &*page[0].user), (1, "ana"));
    let ended = state("b", "ana", Some((now_ms(), "left")));
    let never_told = state("c", "eva", Some((now_ms() - 10, "bye")));
    for _ in 0..3 {
        gateway.store_sessions(&run("one"), &[ended, never_told]).await.unwrap();
    }
    assert_eq!(open(publisher).await, ["a"]);
    assert_eq!(database.count("SELECT count(*) FROM carillon.sessions").await, 2);
    // A clock that is ahead finds a partition, too.
    let ahead = state("d", "ana", Some((now_ms() + 30 * 86_400_000, "left")));
    gateway.store_sessions(&run("one"), &[ahead]).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM carillon.sessions WHERE closed_at <= now()").await, 3);
    // So does one that is far behind.
    let behind = state("e", "ana", Some((now_ms() - 30 * 86_400_000, "left")));
    gateway.store_sessions(&run("one"), &[behind]).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM carillon.sessions").await, 4);
    // Of another tenant nothing is seen.
    let other = publisher.connections(&tenant("other"), &ConnectionFilter::default(), "", 100).await;
    assert!(other.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_been_silent_is_given_up_slice_by_slice_and_then_forgotten() {
    let database = Database::start().await;
    let (gateway, publisher) = (&database.gateway, &database.publisher);
    publisher.open_tenant(&tenant("acme"), true).await.unwrap();
    let names: Vec<String> = (0..5).map(|n| format!("dead-{n}")).collect();
    let dead: Vec<SessionState<'_>> = names.iter().map(|name| state(name, "mila", None)).collect();
    gateway.store_sessions(&run("dead"), &dead).await.unwrap();
    gateway.store_sessions(&run("living"), &[state("x", "ana", None)]).await.unwrap();
    assert!(publisher.silent_runs(30).await.unwrap().is_empty());
    assert_eq!(publisher.close_lost_sessions(&run("dead"), 30, 100).await.unwrap(), 0, "it has just written");
    database
        .sql("UPDATE carillon.gateway_runs SET seen_at = now() - interval '31 s' WHERE node = 'dead'")
        .await;
    assert_eq!(publisher.silent_runs(30).await.unwrap(), [run("dead")]);
    assert_eq!(publisher.close_lost_sessions(&run("dead"), 30, 3).await.unwrap(), 3);
    assert_eq!(publisher.close_lost_sessions(&run("dead"), 30, 3).await.unwrap(), 2);
    assert_eq!(publisher.close_lost_sessions(&run("dead"), 30, 3).await.unwrap(), 0);
    assert!(publisher.silent_runs(30).await.unwrap().is_empty());
    assert_eq!(open(publisher).await, ["x"]);
    let lost = "SELECT count(*) FROM carillon.sessions WHERE reason = 'node_lost' AND closed_at < now() - interval '30 s'";
    assert_eq!(database.count(lost).await, 5, "as of when it was last heard");
    // It lives after all.
    assert!(gateway.store_sessions(&run("dead"), &[]).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_back_while_it_is_given_up_tells_all_once_more() {
    let database = Database::start().await;
    let (gateway, publisher) = (&database.gateway, &database.publisher);
    publisher.open_tenant(&tenant("acme"), true).await.unwrap();
    let ahead = SessionState { opened_ms: now_ms() + 30 * 86_400_000, ..state("c", "mila", None) };
    let all = [state("a", "mila", None), state("b", "mila", None), ahead];
    gateway.store_sessions(&run("slow"), &all).await.unwrap();
    database.sql("UPDATE carillon.gateway_runs SET seen_at = now() - interval '31 s'").await;
    assert_eq!(publisher.close_lost_sessions(&run("slow"), 30, 2).await.unwrap(), 2);
    assert!(gateway.store_sessions(&run("slow"), &[]).await.unwrap(), "two of its connections were closed");
    assert!(!gateway.store_sessions(&run("slow"), &all).await.unwrap(), "it is told so once");
    assert_eq!(open(publisher).await, ["a", "b", "c"]);
    // One that has not been heard for days, and whose clock was ahead, can be closed, too.
    database.sql("UPDATE carillon.gateway_runs SET seen_at = now() - interval '40 days'").await;
    assert_eq!(publisher.close_lost_sessions(&run("slow"), 30, 9).await.unwrap(), 3);
    assert_eq!(open(publisher).await, [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_forgets_its_own_connections_and_no_others() {
    let database = Database::start().await;
    let (gateway, publisher) = (&database.gateway, &database.publisher);
    publisher.open_tenant(&tenant("acme"), true).await.unwrap();
    gateway.store_sessions(&run("one"), &[state("a", "mila", None), state("b", "mila", None)]).await.unwrap();
    gateway.store_sessions(&run("two"), &[state("c", "mila", None)]).await.unwrap();
    assert_eq!(gateway.forget_connections(&run("one"), 1).await.unwrap(), 1);
    assert_eq!(gateway.forget_connections(&run("one"), 9).await.unwrap(), 1);
    assert_eq!(open(publisher).await, ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_sessions_are_there_ahead_and_go_one_by_one() {
    let database = Database::start().await;
    let publisher = &database.publisher;
    for days in [40, 35, 31] {
        let day = format!("current_date - {days}");
        database
            .sql(&format!(
                "DO $$ BEGIN EXECUTE format('CREATE TABLE carillon.%I PARTITION OF carillon.sessions FOR VALUES FROM (%L) TO (%L)',
                    'sessions_' || to_char({day}, 'YYYYMMDD'), ({day})::timestamptz, ({day} + 1)::timestamptz); END $$"
            ))
            .await;
    }
    let kept = publisher.keep_sessions(30, 7).await.unwrap();
    assert_eq!((kept.made, kept.due), (0, 2), "{kept:?}");
    assert!(kept.dropped.is_some());
    // Somebody reads them: nobody waits, and it goes later.
    let reader = database.superuser().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM carillon.sessions").await.unwrap();
    let kept = publisher.keep_sessions(30, 7).await.unwrap();
    assert_eq!((kept.dropped, kept.due), (None, 2));
    reader.batch_execute("COMMIT").await.unwrap();
    for left in [1, 0, 0] {
        assert_eq!(publisher.keep_sessions(30, 7).await.unwrap().due, left);
    }
    let ahead = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'carillon.sessions'::regclass";
    assert_eq!(database.count(ahead).await, 9);
}

/// Sets a webhook of `acme` that asks for these types.
async fn ask(database: &Database, id: &str, types: &[&str]) {
    let types: Vec<String> = types.iter().map(|&name| name.to_owned()).collect();
    let put = PutWebhook {
        id,
        url: "https://app.example/",
        types: &types,
        channels: &[],
        ordered: true,
        secret: None,
        fresh: "whsec_x",
        most: 50,
    };
    database.publisher.put_webhook(&tenant("acme"), put).await.unwrap();
}

/// What stands in the outbox from this number on: type, subject and how many connections there are.
async fn told(database: &Database, after: usize) -> Vec<(String, String, i64)> {
    let sql = "SELECT type, subject, (data::jsonb->>'connections')::bigint FROM carillon.outbox ORDER BY id";
    let rows = database.superuser().await.query(sql, &[]).await.unwrap();
    rows.iter().skip(after).map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn expected(all: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    all.iter().map(|&(kind, subject, count)| (kind.to_owned(), subject.to_owned(), count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_asks_is_told_of_connections_and_channels_once_and_no_other_is() {
    let database = Database::start().await;
    let (gateway, publisher) = (&database.gateway, &database.publisher);
    publisher.open_tenant(&tenant("acme"), true).await.unwrap();
    let in_channels = |state: SessionState<'static>, channels| SessionState { channels, ..state };
    let first = state("a", "mila", None);
    gateway.store_sessions(&run("one"), &[first]).await.unwrap();
    assert!(told(&database, 0).await.is_empty(), "nobody has asked");
    assert_eq!(database.count("SELECT count(*) FROM carillon.channel_occupancy").await, 0);
    ask(
        &database,
        "main",
        &["connection.opened", "connection.closed", "channel.occupied", "channel.vacated"],
    )
    .await;
    // What is open already is counted; a second device of mila's, and somebody of another tenant.
    let second = in_channels(state("b", "mila", None), "tenant\u{1f}contact:8");
    let other = SessionState { tenant: "other", ..state("x", "zoe", None) };
    for _ in 0..3 {
        gateway.store_sessions(&run("two"), &[second, other]).await.unwrap();
    }
    let so_far = [("connection.opened", "mila", 2), ("channel.occupied", "contact:8", 1)];
    assert_eq!(told(&database, 0).await, expected(&so_far));
    // It leaves a channel; then it goes, and somebody comes and goes within one statement.
    gateway.store_sessions(&run("two"), &[in_channels(second, "tenant")]).await.unwrap();
    let now = Some((now_ms() - 1_000, "left"));
    let ended = in_channels(state("b", "mila", now), "tenant");
    let brief = in_channels(state("c", "eva", now), "contact:9");
    for _ in 0..3 {
        gateway.store_sessions(&run("two"), &[ended, brief]).await.unwrap();
    }
    let mut all = told(&database, 2).await;
    all[1..].sort();
    let mut left = expected(&[
        ("channel.vacated", "contact:8", 0),
        ("connection.closed", "eva", 0),
        ("connection.closed", "mila", 1),
        ("connection.opened", "eva", 0),
    ]);
    left[1..].sort();
    assert_eq!(all, left);
    // A node that is given up, and one that had no room to note who left.
    database
        .sql("UPDATE carillon.gateway_runs SET seen_at = now() - interval '31 s' WHERE node = 'one'")
        .await;
    assert_eq!(publisher.close_lost_sessions(&run("one"), 30, 100).await.unwrap(), 1);
    let gone = told(&database, 6).await;
    let vacated = |all: &[(String, String, i64)]| {
        all.iter()
            .filter(|told| told.0 == "channel.vacated")
            .map(|told| told.1.clone())
            .collect::<BTreeSet<_>>()
    };
    let channels: BTreeSet<String> = ["contact:7", "tenant", "user:mila"].map(str::to_owned).into();
    assert_eq!((vacated(&gone), &gone[3]), (channels, &expected(&[("connection.closed", "mila", 0)])[0]));
    let reason = "SELECT count(*) FROM carillon.outbox WHERE data::jsonb->>'reason' = 'node_lost'";
    assert_eq!(database.count(reason).await, 1);
    gateway.store_sessions(&run("two"), &[second]).await.unwrap();
    assert_eq!(gateway.forget_connections(&run("two"), 9).await.unwrap(), 2);
    let last = told(&database, 10).await;
    assert_eq!(last.last().cloned(), expected(&[("connection.closed", "mila", 0)]).pop());
    assert_eq!(database.count("SELECT count(*) FROM carillon.channel_occupancy").await, 0);
    assert_eq!(database.count("SELECT count(*) FROM carillon.outbox WHERE tenant_id <> 'acme'").await, 0);
    // Only what is asked for; and nothing once nobody asks.
    ask(&database, "main", &["connection.opened"]).await;
    let before = told(&database, 0).await.len();
    gateway.store_sessions(&run("two"), &[second]).await.unwrap();
    assert_eq!(told(&database, before).await, expected(&[("connection.opened", "mila", 1)]));
    publisher.delete_webhook(&tenant("acme"), "main").await.unwrap();
    gateway.store_sessions(&run("two"), &[state("d", "ana", None)]).await.unwrap();
    assert_eq!(told(&database, before + 1).await, []);
    assert_eq!(database.count("SELECT count(*) FROM carillon.channel_occupancy").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_channels_equal_a_recount_whatever_gateways_write_at_once() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("acme"), true).await.unwrap();
    let one = async |node: &'static str, log: Log| {
        for n in 0..150_usize {
            let names: Vec<String> = (0..8).map(|k| format!("{node}-{}", (n * 7 + k * 3) % 24)).collect();
            let mut names: Vec<&String> = names.iter().collect();
            names.sort_unstable();
            names.dedup();
            let users: Vec<String> = names.iter().map(|name| format!("u{}", name.len() + n % 2)).collect();
            let channels = ["tenant", "tenant\u{1f}a", "a\u{1f}b", "b\u{1f}c"];
            let states: Vec<SessionState<'_>> = names
                .iter()
                .zip(&users)
                .enumerate()
                .map(|(place, (name, user))| {
                    let ended = ((n + place) % 3 == 0).then(|| (now_ms() - 10_000 + n as u64, "left"));
                    SessionState { channels: channels[(n + place) % 4], ..state(name, user, ended) }
                })
                .collect();
            log.store_sessions(&run(node), &states).await.unwrap();
            if n % 50 == 49 {
                log.forget_connections(&run(node), 5).await.unwrap();
            }
        }
    };
    let asks = async {
        for n in 0..12 {
            let all = ["connection.opened", "connection.closed", "channel.occupied", "channel.vacated"];
            ask(&database, "main", if n % 3 == 1 { &[] } else { &all }).await;
        }
    };
    tokio::join!(
        one("one", database.log(Role::Gateway)),
        one("two", database.log(Role::Gateway)),
        one("three", database.log(Role::Gateway)),
        asks
    );
    assert_eq!(
        database.count("SELECT count(*) FROM carillon.connection_event_types").await,
        1,
        "the last one asks"
    );
    assert!(database.count("SELECT count(*) FROM carillon.outbox").await > 0);
    let differing = "SELECT count(*) FROM (
            SELECT c.tenant_id, n.name, count(*) AS connections FROM carillon.connections c
                CROSS JOIN LATERAL unnest(c.channels || ('user:' || c.user_id)) AS n(name) GROUP BY 1, 2
        ) AS r FULL JOIN carillon.channel_occupancy o ON o.tenant_id = r.tenant_id AND o.channel = r.name
        WHERE o.connections IS DISTINCT FROM r.connections";
    assert_eq!(database.count(differing).await, 0);
}
