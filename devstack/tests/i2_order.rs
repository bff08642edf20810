//! I2: is `seq` gapless and the same for everyone, however many publish at the same time?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::collections::BTreeMap;

use carillon_devstack::client::load::{Load, LoadPlan};
use carillon_devstack::client::post::Post;
use carillon_devstack::stack::StackConfig;
use faults::{PATIENCE, Scene};
use serde_json::json;

const TENANTS: [&str; 2] = ["studio-nova", "studio-vega"];
const EVENTS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn i2_order_two_publishers_and_two_gateways_agree_on_every_seq() {
    let mut scene = Scene::start(StackConfig { publishers: 2, ..StackConfig::default() }).await;
    for tenant in TENANTS {
        for gateway in [0, 0, 1, 1] {
            let follow = scene.route(tenant, vec![scene.stack.gateway(gateway).ws_url()]);
            scene.follow(tenant, follow).await;
        }
    }
    let plan = LoadPlan::new(None, |n| {
        Post::new(TENANTS[n as usize % 2], "order.paid", json!({ "order": n })).tenant_wide()
    });
    let load = Load::start(&scene.publishers(), &scene.ledger, &plan.tasks(32).total(EVENTS * 2));
    let report = load.finished().await;
    assert_eq!((report.acknowledged, report.abandoned), (EVENTS * 2, 0), "{report:?}");
    for publisher in scene.stack.publishers() {
        let stored = publisher.metric("carillon_events_published_total").await.unwrap_or(0.0);
        assert!(stored > 0.0, "{} had its share", publisher.name());
    }

    for follower in &scene.followers {
        follower.reached(EVENTS, PATIENCE).await.unwrap();
    }
    for tenant in TENANTS {
        let mut agreed: BTreeMap<u64, (String, u64)> = BTreeMap::new();
        for witness in scene.followers.iter().map(|follower| follower.witness()) {
            if witness.tenant != tenant {
                continue;
            }
            let seqs: Vec<u64> = witness.events().map(|event| event.seq).collect();
            assert!(seqs == Vec::from_iter(1..=EVENTS), "{}: ascending without a gap", witness.follower);
            for event in witness.events() {
                let content = (event.id.clone(), event.digest);
                let first = agreed.entry(event.seq).or_insert_with(|| content.clone());
                assert_eq!(*first, content, "{} at seq {}", witness.follower, event.seq);
            }
        }
        assert_eq!(agreed.len() as u64, EVENTS);
    }
    scene.assert_whole().await;
}
