//! Does the whole system work over sharded pub/sub on a Redis Cluster of three nodes?

use carillon_devstack::client::follow::Follower;
use carillon_devstack::client::ledger::Ledger;
use carillon_devstack::client::load::{Load, LoadPlan, SharedLedger};
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::resume::Follow;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::{Claims, now};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const TENANTS: u64 = 12;
const EVENTS: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn twelve_tenants_are_served_over_three_cluster_nodes_also_when_one_cuts_its_subscribers() {
    let config = StackConfig { redis_cluster: true, ..StackConfig::default() };
    let stack = Stack::start(config).await.expect("the stack starts");
    let followers: Vec<Follower> = (0..TENANTS)
        .flat_map(|n| stack.gateways().iter().map(move |gateway| (n, gateway.ws_url())))
        .map(|(n, url)| {
            let tenant = format!("merchant-{n}");
            let token = Claims::new(&tenant, "42", now(), 3_600).sign(stack.jwt_secret()).expect("a token");
            Follower::start(format!("{tenant} at {url}"), &tenant, Follow::new([url], token))
        })
        .collect();
    for follower in &followers {
        follower.connected(PATIENCE).await.expect("connects");
    }

    let ledger: SharedLedger = Arc::new(Mutex::new(Ledger::new()));
    let publisher = Publisher::new(&stack.publisher(0).url(), stack.api_key()).expect("a publisher");
    let plan = LoadPlan::new(Some(150.0), |n| {
        let order = serde_json::json!({ "order": n });
        Post::new(format!("merchant-{}", n % TENANTS), "new_order", order).tenant_wide()
    });
    let load = Load::start(&[publisher], &ledger, &plan.total(EVENTS));
    // In the middle of it, one node forgets everyone who listens.
    let half =
        || ledger.lock().expect("the ledger").acknowledged_count("merchant-0") as u64 >= EVENTS / TENANTS / 2;
    tokio::time::timeout(PATIENCE, async {
        while !half() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("half of the events are acknowledged");
    stack.redis_nodes()[1].command("CLIENT KILL TYPE pubsub").await.expect("redis obeys");
    let report = load.finished().await;
    assert_eq!((report.acknowledged, report.abandoned), (EVENTS, 0), "{report:?}");

    for follower in &followers {
        follower.reached(EVENTS / TENANTS, PATIENCE).await.expect("everything arrives");
    }
    let witnesses: Vec<_> = followers.iter().map(Follower::witness).collect();
    let verdict = ledger.lock().expect("the ledger").verify(&witnesses);
    assert!(verdict.faults.is_empty(), "{verdict}");

    for gateway in stack.gateways() {
        let heard = gateway.metric("carillon_redis_messages_total").await.unwrap_or(0.0);
        let repaired = gateway.metric("carillon_events_repaired_total").await.unwrap_or(0.0);
        assert!(heard > repaired, "the fast path carried most: {heard} heard, {repaired} repaired");
    }
    stack.stop().await.expect("stops");
}
