//! Publishing: what do others notice of an importer, and of a tenant whose row somebody has locked?

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::{PublishError, Publisher};
use carillon_devstack::find;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait;
use futures_util::future::join_all;
use serde_json::json;

use crate::faults::probe::{sample, sql};
use crate::faults::{PATIENCE, Scene, alone};
use crate::figures::{Figures, Switch, assert_unhurt, assert_unhurt_in_turns};

/// Those who do nothing special.
const INNOCENT: [&str; 5] = ["amber", "birch", "cedar", "delta", "ember"];
/// How often each of them publishes.
const PAUSE: Duration = Duration::from_millis(25);
/// Each innocent tenant publishes `count` events, one every [`PAUSE`].
pub(crate) async fn innocents(publisher: &Publisher, count: usize) -> Figures {
    let one = |tenant: &'static str| async move {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut times, mut refused) = (Vec::new(), Vec::new());
        for n in 0..count {
            ticks.tick().await;
            let began = Instant::now();
            match publisher.publish(&event(tenant, n), None).await {
                Ok(_) => times.push(began.elapsed()),
                Err(error) => refused.push(error.to_string()),
            }
        }
        (times, refused)
    };
    let all = Instant::now();
    let (times, refused): (Vec<_>, Vec<_>) = join_all(INNOCENT.map(one)).await.into_iter().unzip();
    Figures::new(times.concat(), refused.concat(), all.elapsed())
}

fn event(tenant: &str, n: usize) -> Post {
    Post::new(tenant, "t", json!({ "n": n })).tenant_wide()
}

/// What one who publishes as much as it can was answered.
#[derive(Debug, Default)]
struct Flood {
    stored: AtomicU64,
    refused: AtomicU64,
}

/// What a flood's requests may be told.
const OWN: [&str; 4] = ["caller_share_full", "tenant_share_full", "tenant_busy", "overloaded"];

/// The innocents are not hurt by a flood of these requests, each sent again and again on a connection of its own.
async fn flooded(what: &str, publisher: &Publisher, requests: &[Vec<Post>]) -> Flood {
    innocents(publisher, 2).await;
    let (switch, flood) = (Switch::new(), Flood::default());
    let send = async |posts: &[Post]| {
        while let Some(under_way) = switch.next().await {
            match publisher.publish_many(posts, None).await {
                Ok(_) => flood.stored.fetch_add(posts.len() as u64, Ordering::Relaxed),
                Err(PublishError::Refused(problem)) => {
                    assert!(OWN.contains(&problem.code.as_str()), "{problem:?}");
                    assert!(problem.retry_after.is_some(), "{problem:?}");
                    // Does not wait as long as it is told to.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    flood.refused.fetch_add(1, Ordering::Relaxed)
                }
                Err(other) => panic!("{other}"),
            };
            drop(under_way);
        }
    };
    let watched = async {
        let (measure, hostile) = (async || innocents(publisher, 14).await, async |on| switch.turn(on).await);
        assert_unhurt_in_turns(what, measure, hostile).await;
        switch.end();
    };
    tokio::join!(join_all(requests.iter().map(|posts| send(posts))), watched);
    flood
}

#[tokio::test(flavor = "multi_thread")]
async fn an_importer_on_forty_connections_is_noticed_by_nobody_else() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let array: Vec<Post> = (0..500).map(|n| event("importer", n)).collect();
    let publisher = &scene.publishers()[0];
    let flood = flooded("importer", publisher, &vec![array.clone(); 40]).await;
    assert!(flood.stored.into_inner() >= 1_000, "it gets on as well");

    // While its row is locked nothing of it is stored, and 20,000 events are more than its share of the intake.
    let counted = async || {
        let reason = r#"carillon_publish_refused_total{reason="caller_share"}"#;
        sample(scene.stack.publisher(0), reason).await
    };
    let (lock, before) = (Lock::hold(&scene.stack, "importer").await, counted().await);
    let answers = join_all((0..40).map(|_| publisher.publish_many(&array, None))).await;
    let codes: Vec<String> = answers
        .into_iter()
        .map(|answer| match answer {
            Err(PublishError::Refused(problem)) => problem.code,
            other => panic!("its row is locked: {other:?}"),
        })
        .collect();
    lock.release(&scene.stack).await;
    let by_share = codes.iter().filter(|code| *code == "caller_share_full").count();
    assert!(by_share >= 10 && codes.iter().all(|code| OWN.contains(&code.as_str())), "{codes:?}");
    assert_eq!(counted().await - before, by_share as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_that_publishes_for_many_tenants_at_once_is_noticed_by_nobody_else() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    // Neighbours share most of their tenants.
    let request = |n: usize| (0..100).map(|k| event(&format!("many-{}", (n * 8 + k) % 250), k)).collect();
    let requests: Vec<Vec<Post>> = (0..20).map(request).collect();
    let flood = flooded("one key", &scene.publishers()[0], &requests).await;
    assert!(flood.stored.into_inner() >= 1_000, "it gets on as well");
    let log = std::fs::read_to_string(scene.stack.publisher(0).process().log_path()).unwrap();
    assert!(!log.contains("row has been locked"), "nobody but the publisher itself wants these rows");
}

/// A transaction of somebody else that holds a tenant's row until it is let go.
struct Lock(Child);

impl Lock {
    async fn hold(stack: &Stack, tenant: &str) -> Self {
        let psql = find::servers().unwrap().postgres_bin.join("psql");
        let statement = format!(
            "begin; update carillon.tenants set head = head where id = '{tenant}'; \
             select pg_advisory_lock(4711); select pg_sleep(600)"
        );
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-c", &statement]).arg(stack.database_url());
        let session = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let held = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711 and granted";
        wait::until("the lock being held", PATIENCE, || async {
            (sql(stack, held).await == "1").then_some(())
        })
        .await
        .unwrap();
        Self(session)
    }

    /// The server would notice only at the end of the statement that its client went away.
    async fn release(mut self, stack: &Stack) {
        sql(
            stack,
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 4711",
        )
        .await;
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_tenant_is_noticed_by_nobody_else() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let publisher = &scene.publishers()[0];
    publisher.publish(&event("locked", 0), None).await.unwrap();
    innocents(publisher, 2).await;
    let compare = async || {
        let mut without = innocents(publisher, 20).await;
        let lock = Lock::hold(&scene.stack, "locked").await;
        let stopping = AtomicBool::new(false);
        let hopeful = async || {
            let mut codes = Vec::new();
            while !stopping.load(Ordering::Relaxed) {
                match publisher.publish(&event("locked", 1), None).await {
                    Err(PublishError::Refused(problem)) => codes.push((problem.code, problem.retry_after)),
                    other => panic!("its row is locked: {other:?}"),
                }
            }
            codes
        };
        let watched = async {
            let mut with = Figures::default();
            for _ in 0..4 {
                with.join(innocents(publisher, 30).await);
            }
            stopping.store(true, Ordering::Relaxed);
            with
        };
        let (refused, with) = tokio::join!(join_all((0..10).map(|_| hopeful())), watched);
        let refused = refused.concat();
        let busy = refused.iter().filter(|(code, wait)| code == "tenant_busy" && wait.is_some()).count();
        assert!(busy >= 10 && busy == refused.len(), "{refused:?}");

        lock.release(&scene.stack).await;
        without.join(innocents(publisher, 20).await);
        (without, with)
    };
    assert_unhurt("locked row", compare).await;
    let acknowledged = publisher.publish(&event("locked", 2), None).await.unwrap();
    assert_eq!(acknowledged.seq, 2, "nothing that was refused was stored");
}
