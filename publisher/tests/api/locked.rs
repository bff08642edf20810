//! What do others notice when one tenant's row is locked for long?

use crate::harness::{Api, Database};
use carillon_platform::config::Tenants as Policy;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use http::Method;
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn event(tenant: &str) -> serde_json::Value {
    json!({"tenant": tenant, "type": "t", "channels": ["c"]})
}

/// A transaction of somebody else that holds rows of `tenants`, or all of it, until it is released.
pub(crate) struct Lock(Child);

impl Lock {
    fn hold(database: &Database, which: &str) -> Self {
        Self::hold_by(database, &format!("update carillon.tenants set head = head where {which}"))
    }

    /// What this statement locks.
    pub(crate) fn hold_by(database: &Database, statement: &str) -> Self {
        let psql = carillon_devstack::find::servers().unwrap().postgres_bin.join("psql");
        let statement = format!("begin; {statement}; select pg_advisory_lock(4711); select pg_sleep(60)");
        let child = Command::new(psql)
            .args([&database.url, "-Atqc", &statement])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let held = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711";
        while database.sql(held) != "1" {
            assert!(Instant::now() < deadline, "the lock is not held");
        }
        Self(child)
    }

    pub(crate) fn release(mut self, database: &Database) {
        database.sql(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 4711",
        );
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_tenant_waits_alone_and_the_others_notice_nothing() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    let others = ["a", "b", "c", "d", "e"];
    for tenant in others.into_iter().chain(["locked"]) {
        assert_eq!(api.post(event(tenant)).await.seq(), 1);
    }
    let lock = Lock::hold(&api.database, "id = 'locked'");
    // The locked tenant's requests come first, and on all sides of the others'.
    let waiting = join_all((0..10).map(|_| api.post(event("locked"))));
    let busy = async {
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        let mut stored = 0;
        while began.elapsed() < Duration::from_millis(2_500) {
            for reply in join_all(others.map(|tenant| {
                let (api, asked) = (&api, Instant::now());
                async move { (api.post(event(tenant)).await, asked.elapsed()) }
            }))
            .await
            {
                assert_eq!(reply.0.status, 201, "{:?}", reply.0.json);
                slowest = slowest.max(reply.1);
                stored += 1;
            }
        }
        (stored, slowest)
    };
    let (refused, (stored, slowest)) = tokio::join!(waiting, busy);
    for reply in refused {
        reply.problem(503, "tenant_busy");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert!(stored >= 50, "{stored} events of the others in 2.5 s");
    assert!(slowest < Duration::from_millis(1_500), "{slowest:?}");

    // Whoever waits when the lock goes gets its numbers, in order and without a gap.
    let (replies, ()) = tokio::join!(join_all((0..5).map(|_| api.post(event("locked")))), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lock.release(&api.database);
    });
    let mut seqs: Vec<u64> = replies.iter().map(|reply| reply.seq()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [2, 3, 4, 5, 6], "what was refused was not stored");
    assert_eq!(api.post(event("locked")).await.seq(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_several_tenants_waits_whole_for_the_locked_one() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    for tenant in ["free", "locked", "other"] {
        assert_eq!(api.post(event(tenant)).await.seq(), 1);
    }
    let lock = Lock::hold(&api.database, "id in ('locked', 'other')");
    let both = json!([event("free"), event("locked")]);
    let (whole, alone, other) = tokio::join!(
        api.post(&both),
        async {
            let reply = api.post(event("free")).await;
            lock.release(&api.database);
            reply
        },
        api.post(event("other")),
    );
    assert_eq!(alone.seq(), 2, "the free tenant goes on");
    assert_eq!(whole.status, 201, "{:?}", whole.json);
    assert_eq!(whole.json[0]["seq"], 3);
    assert_eq!(whole.json[1]["seq"], 2);
    assert_eq!(other.seq(), 2);
}

/// An exclusive lock of a table is no tenant's fault: it is waited for, and nobody is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_waited_for() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("a")).await.seq(), 1);
    let database = api.database.clone();
    let holding = tokio::task::spawn_blocking(move || {
        database.sql("begin; lock table carillon.events; select pg_sleep(0.6); commit");
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.database.sql("select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'carillon.events'::regclass") == "0" {
        assert!(Instant::now() < deadline && !holding.is_finished(), "the table is not locked");
    }
    assert_eq!(api.post(event("a")).await.seq(), 2);
    holding.await.unwrap();
}

/// A reader's first question to the log, where it ends, needs a turn like all that follow.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_without_end_is_refused_before_the_log_is_asked() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("reads")).await.seq(), 1);
    let lock = Lock::hold_by(&api.database, "lock table carillon.tenants in access exclusive mode");
    let mut asking: FuturesUnordered<_> = (0..40).map(|_| api.get("/v1/events?tenant=reads")).collect();
    // One asks, and sixteen wait behind it.
    for _ in 0..40 - 17 {
        asking.next().await.unwrap().problem(429, "too_many_requests");
    }
    let asked =
        "select count(*) from pg_stat_activity where query like '%open_tenant%' and wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.database.sql(asked) != "1" {
        assert!(Instant::now() < deadline, "{} questions", api.database.sql(asked));
    }
    lock.release(&api.database);
}

/// Every request about channel rules reads all of an owner's: one key's many wait behind one of them.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_rules_without_end_is_refused_before_the_database_is_asked() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    let one = "/v1/channel-rules/a?tenant=rules";
    let tried = "/v1/channel-rules/test?tenant=rules&user=a&channel=a";
    let call = async |method: Method, path: &str| {
        api.call(method, path, &[("content-type", "application/json")], "{}").await
    };
    assert_eq!(call(Method::PUT, one).await.status, 200);
    let lock = Lock::hold_by(&api.database, "lock table carillon.channel_rules in access exclusive mode");
    let forms = [
        (Method::GET, "/v1/channel-rules?tenant=rules"),
        (Method::GET, one),
        (Method::GET, tried),
        (Method::PUT, one),
        (Method::DELETE, one),
    ];
    let mut asking: FuturesUnordered<_> =
        (0..8).flat_map(|_| forms.clone()).map(|(method, path)| call(method, path)).collect();
    // One asks, and sixteen wait behind it.
    for _ in 0..40 - 17 {
        asking.next().await.unwrap().problem(429, "too_many_requests");
    }
    let asked = "select count(*) from pg_stat_activity where query like '%channel_rules%' and wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.database.sql(asked) != "1" {
        assert!(Instant::now() < deadline, "{} questions", api.database.sql(asked));
    }
    lock.release(&api.database);
}
