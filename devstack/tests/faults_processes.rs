//! Is anything lost, doubled or reordered when processes die at the worst moment? (research: the fault matrix.)

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::Duration;

use carillon_devstack::client::follow::Status;
use carillon_devstack::process::Signal;
use carillon_devstack::stack::StackConfig;
use faults::probe::{metric, readiness_becomes};
use faults::{PATIENCE, Scene, alone, dice, stop};

/// Fault 4 and 5: killed anywhere, also between COMMIT and PUBLISH and before the answer; the callers try again.
#[tokio::test(flavor = "multi_thread")]
async fn publishers_killed_again_and_again_lose_and_double_nothing() {
    let _alone = alone().await;
    let mut scene = Scene::start(StackConfig { publishers: 2, ..StackConfig::default() }).await;
    scene.follow_anywhere(6).await;
    let load = scene.load(300.0);
    let mut dice = dice();
    for round in 0..16 {
        scene.acknowledged_more(u64::from(dice.between(10, 80))).await;
        scene.stack.publisher(round % 2).restart().await.unwrap();
    }
    scene.acknowledged_more(50).await;
    let report = stop(load).await;
    assert!(report.retried > 0, "the kills were felt: {report:?}");
    scene.assert_whole().await;
}

/// Fault 1: one of two gateways dies with half of 300 followers, who come through the balancer.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_s_followers_go_on_at_the_other_one() {
    const FOLLOWERS: usize = 300;
    let _alone = alone().await;
    let config = StackConfig { lb: true, publishers: 2, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_balanced(FOLLOWERS).await;
    let load = scene.load(25.0);
    scene.acknowledged_more(30).await;
    let orphans = metric(scene.stack.gateway(0), "carillon_connections").await;
    assert!(orphans > FOLLOWERS as f64 / 4.0, "{orphans} followers are there");
    scene.stack.gateway(0).kill().unwrap();
    let here = |status: &Status| status.node.as_deref() == Some("gateway-2");
    for follower in &scene.followers {
        follower.until("arrive at the other gateway", PATIENCE, here).await.unwrap();
    }
    scene.acknowledged_more(30).await;
    scene.stack.gateway(0).restart().await.unwrap();
    // And the other one, so that everybody has moved at least once.
    scene.stack.gateway(1).kill().unwrap();
    let there = |status: &Status| status.node.as_deref() == Some("gateway-1");
    for follower in &scene.followers {
        follower.until("come back to the first gateway", PATIENCE, there).await.unwrap();
    }
    scene.acknowledged_more(30).await;
    stop(load).await;
    scene.assert_whole().await;
}

/// Fault 14: `pg_ctl stop -m immediate` under load.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_stopped_at_once_and_started_again() {
    let _alone = alone().await;
    let config = StackConfig { publishers: 2, ephemeral: false, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 3).await;
    scene.follow_at(1, 3).await;
    let load = scene.load(150.0);
    for _ in 0..3 {
        scene.acknowledged_more(120).await;
        let postgres = scene.stack.postgres();
        postgres.process().signal(Signal::QUIT).unwrap();
        postgres.process().wait_exit(PATIENCE).await.unwrap();
        readiness_becomes(scene.stack.gateway(0), "degraded", Some("database")).await;
        for publisher in scene.stack.publishers() {
            readiness_becomes(publisher, "unready", Some("database")).await;
        }
        postgres.restart().await.unwrap();
        for service in scene.stack.gateways().iter().chain(scene.stack.publishers()) {
            readiness_becomes(service, "ready", None).await;
        }
    }
    scene.acknowledged_more(60).await;
    stop(load).await;
    scene.assert_whole().await;
    for follower in &scene.followers {
        assert_eq!(follower.status().connections, 1, "{} stayed through all of it", follower.name());
    }
}

/// Fault 3: a frozen gateway wakes up with an old view of the world.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_frozen_repeats_and_skips_nothing() {
    let _alone = alone().await;
    let config = StackConfig { publishers: 2, ..StackConfig::default() }
        .gateway_var("CARILLON_RING_EVENTS", 32)
        .gateway_var("CARILLON_HEARTBEAT_MS", 1_500);
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 2).await;
    scene.follow_anywhere(6).await;
    let load = scene.load(60.0);
    scene.acknowledged_more(60).await;
    scene.stack.gateway(0).freeze().unwrap();
    // Long enough that clients who hear no heartbeat give it up.
    let elsewhere = |status: &Status| status.node.as_deref() == Some("gateway-2");
    for follower in &scene.followers[2..] {
        follower.until("go to the other gateway", PATIENCE, elsewhere).await.unwrap();
    }
    scene.acknowledged_more(120).await;
    scene.stack.gateway(0).thaw().unwrap();
    readiness_becomes(scene.stack.gateway(0), "ready", None).await;
    scene.acknowledged_more(60).await;
    stop(load).await;
    scene.assert_whole().await;
}

/// Fault 12 and 13 at once: links that delay, vanish and reset in turn.
#[tokio::test(flavor = "multi_thread")]
async fn bad_links_to_redis_and_postgres_cost_time_only() {
    let _alone = alone().await;
    let config = StackConfig { publishers: 2, chaos: true, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_anywhere(6).await;
    let load = scene.load(60.0);
    scene.acknowledged_more(30).await;
    let gateway = scene.stack.gateway(0).links().unwrap();
    let publisher = scene.stack.publisher(0).links().unwrap();
    for link in [&gateway.redis, &gateway.postgres, &publisher.redis, &publisher.postgres] {
        link.delay(Duration::from_millis(150));
        scene.acknowledged_more(60).await;
        link.blackhole();
        scene.acknowledged_more(60).await;
        link.cut().await.unwrap();
        scene.acknowledged_more(30).await;
        link.restore().await.unwrap();
        scene.acknowledged_more(30).await;
    }
    stop(load).await;
    scene.assert_whole().await;
}
