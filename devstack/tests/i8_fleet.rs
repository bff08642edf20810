//! I8 in a fleet: does nobody lose anything while nodes are emptied, added and replaced, and is the load even afterwards?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::Duration;

use carillon_devstack::process::Signal;
use carillon_devstack::stack::{Service, StackConfig};
use carillon_devstack::wait;
use faults::probe::{metric, readiness_becomes, sample};
use faults::{PATIENCE, Scene, alone, stop};

/// Rebalancing begins 15 s after the fleet last changed and takes its time.
const BALANCED_WITHIN: Duration = Duration::from_secs(120);

/// Gateways that drain within seconds and even out their load within a quarter of a minute.
fn fleet(gateways: u16) -> StackConfig {
    StackConfig { lb: true, gateways, publishers: 2, ..StackConfig::default() }
        .gateway_var("CARILLON_DRAIN_MS", 3_000)
        .gateway_var("CARILLON_DRAIN_DELAY_MS", 1_500)
        .gateway_var("CARILLON_REBALANCE", "on")
        .gateway_var("CARILLON_REBALANCE_PERCENT", 500)
}

async fn connections(gateway: &Service) -> f64 {
    metric(gateway, "carillon_connections").await
}

/// Every gateway's connections.
async fn loads(scene: &Scene) -> Vec<f64> {
    let mut loads = Vec::new();
    for gateway in scene.stack.gateways() {
        loads.push(connections(gateway).await);
    }
    loads
}

/// Waits until no gateway is further from the mean than these factors.
async fn evens_out(scene: &Scene, least: f64, most: f64) {
    let even = wait::until("an even load", BALANCED_WITHIN, || async {
        let loads = loads(scene).await;
        let mean = loads.iter().sum::<f64>() / loads.len() as f64;
        let is_even = loads.iter().all(|load| (mean * least..=mean * most).contains(load));
        (is_even && mean > 0.0).then_some(())
    });
    if let Err(timeout) = even.await {
        panic!("{timeout}: {:?}", loads(scene).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_an_evacuated_node_is_empty_stays_up_and_takes_clients_again_when_told() {
    let _alone = alone().await;
    let mut scene = Scene::start(fleet(2)).await;
    scene.follow_balanced(160).await;
    let load = scene.load(40.0);
    let emptied = scene.stack.gateway(0);
    assert!(connections(emptied).await > 20.0);
    emptied.process().signal(Signal::USR1).unwrap();
    readiness_becomes(emptied, "unready", Some("evacuating")).await;
    // Not only gone from here, but there, too: each waits before it comes back.
    let moved = wait::until("everybody being on the other node", PATIENCE, || async {
        (loads(&scene).await == [0.0, 160.0]).then_some(())
    });
    moved.await.unwrap();
    assert!(sample(emptied, r#"carillon_told_to_leave_total{cause="evacuate"}"#).await > 20.0);
    assert_eq!(sample(emptied, "carillon_drain_state").await, 1.0);
    scene.acknowledged_more(20).await;

    emptied.process().signal(Signal::USR2).unwrap();
    readiness_becomes(emptied, "ready", None).await;
    // The other node is not evacuated: its surplus comes back by itself.
    evens_out(&scene, 0.8, 1.2).await;
    stop(load).await;
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_a_new_node_gets_its_share_by_rebalance_alone() {
    let _alone = alone().await;
    let mut scene = Scene::start(fleet(2)).await;
    scene.follow_balanced(400).await;
    let load = scene.load(20.0);
    let added = scene.stack.add_gateway(&[]).await.unwrap();
    evens_out(&scene, 0.8, 1.2).await;
    let told = sample(scene.stack.gateway(0), r#"carillon_told_to_leave_total{cause="rebalance"}"#).await;
    assert!(told > 20.0, "{told} were moved");
    let fleet = sample(scene.stack.gateway(added), "carillon_fleet_nodes").await;
    assert_eq!(fleet, 3.0, "they know of each other");
    stop(load).await;
    scene.assert_whole().await;
}

/// Every gateway is replaced, twice, while events are published all the time.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_rolling_restart_loses_nothing_and_leaves_an_even_load() {
    let _alone = alone().await;
    let mut scene = Scene::start(fleet(3)).await;
    scene.follow_balanced(450).await;
    let load = scene.load(20.0);
    for _ in 0..2 {
        for index in 0..3 {
            let gateway = scene.stack.gateway(index);
            assert_eq!(
                gateway.terminate().await.unwrap().code(),
                Some(0),
                "{}",
                gateway.process().log_tail()
            );
            gateway.restart().await.unwrap();
            scene.acknowledged_more(20).await;
        }
    }
    let report = stop(load).await;
    assert_eq!(report.abandoned, 0);
    scene.all_connected().await;
    evens_out(&scene, 0.5, 1.5).await;
    scene.publish(10).await;
    scene.assert_whole().await;
}
