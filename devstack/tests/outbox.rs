//! Is everything that an application committed published, once, and nothing that it rolled back, whoever is killed at whatever moment?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use carillon_devstack::client::dice::Dice;
use carillon_devstack::find;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait;
use faults::probe::{metric_reaches, sql};
use faults::{PATIENCE, Scene, alone, dice};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Transactions that are begun at least; `make outbox` has 100,000.
const TRANSACTIONS: u64 = 3_000;
/// Least number of times that something is killed.
const KILLS: usize = 6;
/// Of one session of `psql`.
const SESSION: u64 = 25;
const TENANTS: usize = 5;

const SHOP: &str = "
CREATE SCHEMA shop;
CREATE TABLE shop.orders (n bigint PRIMARY KEY, tenant text NOT NULL);
CREATE ROLE shop LOGIN IN ROLE carillon_app;
GRANT USAGE ON SCHEMA shop TO shop;
GRANT SELECT, INSERT ON shop.orders TO shop;
SELECT carillon.allow_app('shop', '*')";

/// Orders without their two events, events without their order, and what came twice or in the wrong log.
const WRONG: &str = "
SELECT count(*) FROM (SELECT n, tenant, step FROM shop.orders, unnest(ARRAY['placed', 'paid']) AS step) AS o
FULL JOIN (SELECT (body::json->'data'->>'n')::bigint AS n, body::json->'data'->>'step' AS step, min(tenant_id) AS tenant, count(*) AS times
    FROM carillon.events WHERE type = 'order' GROUP BY 1, 2) AS e USING (n, step)
WHERE o.n IS NULL OR e.n IS NULL OR e.times <> 1 OR o.tenant <> e.tenant";

/// Pairs of events of one transaction that stand in the wrong order.
const DISORDERED: &str = "
SELECT count(*) FROM carillon.events a JOIN carillon.events b
    ON a.tenant_id = b.tenant_id AND a.body::json->'data'->>'n' = b.body::json->'data'->>'n'
WHERE a.type = 'order' AND b.type = 'order' AND a.body::json->'data'->>'step' = 'placed'
    AND b.body::json->'data'->>'step' = 'paid' AND a.seq > b.seq";

#[tokio::test(flavor = "multi_thread")]
async fn i1_i3_what_transactions_published_is_there_once_after_kills_of_publishers_and_postgres() {
    let _alone = alone().await;
    // Not ephemeral: with fsync, as in production.
    let config = StackConfig { publishers: 2, ephemeral: false, ..StackConfig::default() };
    let scene = Scene::start(config).await;
    sql(&scene.stack, SHOP).await;
    let wanted = std::env::var("CARILLON_OUTBOX_TRANSACTIONS");
    let wanted: u64 = wanted.map_or(TRANSACTIONS, |text| text.parse().unwrap());
    let (begun, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let url = scene.stack.database_url();
    let mut sessions = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (begun, done, url, mut dice) = (begun.clone(), done.clone(), url.clone(), Dice::fresh());
        sessions.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let first = begun.fetch_add(SESSION, Ordering::SeqCst);
                // A session that was cut off has done a part of it; the next begins when there is a server again.
                if !psql(&url, &script(first..first + SESSION, &mut dice)).await {
                    let back = || async { psql(&url, "SELECT 1;").await.then_some(()) };
                    wait::until("the database answering again", PATIENCE, back).await.unwrap();
                }
            }
        });
    }
    let (mut dice, mut kills) = (dice(), 0);
    let step = u32::try_from(wanted / 12).unwrap();
    while begun.load(Ordering::SeqCst) < wanted || kills < KILLS {
        let goal = begun.load(Ordering::SeqCst) + u64::from(dice.between(step / 2, step));
        let more = || async { (begun.load(Ordering::SeqCst) >= goal).then_some(()) };
        wait::until("more transactions beginning", PATIENCE * 10, more).await.unwrap();
        if kills % 4 == 3 {
            scene.stack.postgres().process().kill().unwrap();
            scene.stack.postgres().restart().await.unwrap();
        } else {
            scene.stack.publisher(kills % 2).restart().await.unwrap();
        }
        kills += 1;
    }
    done.store(true, Ordering::SeqCst);
    while sessions.join_next().await.is_some() {}
    let begun = begun.load(Ordering::SeqCst);
    emptied(&scene.stack).await;
    let orders: u64 = sql(&scene.stack, "SELECT count(*) FROM shop.orders").await.parse().unwrap();
    assert!(orders > begun / 2 && orders < begun, "some are rolled back: {orders} of {begun}");
    assert_eq!(sql(&scene.stack, WRONG).await, "0", "published = committed, {orders} orders");
    assert_eq!(sql(&scene.stack, DISORDERED).await, "0");
    assert_eq!(sql(&scene.stack, "SELECT count(*) FROM carillon.outbox_parked").await, "0");
    // The same check finds an event that is missing, one that came twice, and one of a transaction that was rolled back.
    sql(&scene.stack, "DELETE FROM carillon.events WHERE type = 'order' AND seq = 1").await;
    let lost: usize = sql(&scene.stack, WRONG).await.parse().unwrap();
    assert_eq!(lost, TENANTS, "the first event of each log");
    sql(&scene.stack, "DELETE FROM shop.orders WHERE n = (SELECT max(n) FROM shop.orders)").await;
    let more: usize = sql(&scene.stack, WRONG).await.parse().unwrap();
    assert!((lost + 1..=lost + 2).contains(&more), "{more}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_an_outbox_is_taken_over_when_its_publisher_stands_still() {
    let scene = Scene::start(StackConfig { publishers: 2, ..StackConfig::default() }).await;
    sql(&scene.stack, SHOP).await;
    scene.stack.publisher(0).freeze().unwrap();
    assert!(psql(&scene.stack.database_url(), &script(0..SESSION, &mut dice())).await);
    emptied(&scene.stack).await;
    metric_reaches(scene.stack.publisher(1), "carillon_outbox_events_total", 1.0).await;
    scene.stack.publisher(0).thaw().unwrap();
    assert_eq!(sql(&scene.stack, WRONG).await, "0");
}

/// Waits until every committed event was moved.
async fn emptied(stack: &Stack) {
    let empty = || async {
        (stack.sql("SELECT count(*) FROM carillon.outbox").await.ok()?.trim() == "0").then_some(())
    };
    wait::until("the outbox being empty", PATIENCE, empty).await.unwrap();
}

/// Transactions of these orders, a fifth of them rolled back.
fn script(orders: std::ops::Range<u64>, dice: &mut Dice) -> String {
    let mut text = "SET SESSION AUTHORIZATION shop;\n".to_owned();
    for n in orders {
        let tenant = format!("shop-{}", dice.below(TENANTS));
        // With an id of its own a repeat would be taken for what it is; without one nothing but the move itself is once.
        let id = if dice.chance(50) { format!(", id => 'order-{n}'") } else { String::new() };
        let end = if dice.chance(20) { "ROLLBACK" } else { "COMMIT" };
        text += &format!(
            "BEGIN;\nINSERT INTO shop.orders VALUES ({n}, '{tenant}');
SELECT carillon.publish('{tenant}', 'order', ARRAY['order:{n}'], '{{\"n\": {n}, \"step\": \"placed\"}}'{id});
SELECT carillon.publish('{tenant}', 'order', ARRAY['order:{n}'], '{{\"n\": {n}, \"step\": \"paid\"}}');\n{end};\n"
        );
    }
    text
}

/// Runs a script until its end, or until the server is killed; whether it came to its end.
async fn psql(url: &str, script: &str) -> bool {
    let mut psql = Command::new(find::servers().unwrap().postgres_bin.join("psql"));
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", url]).env_clear();
    psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut psql = psql.spawn().unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    let _ = stdin.write_all(script.as_bytes()).await;
    drop(stdin);
    psql.wait().await.is_ok_and(|status| status.success())
}
