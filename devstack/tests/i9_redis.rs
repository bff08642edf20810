//! I9: what does the loss of Redis cost? Time, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::Duration;

use carillon_devstack::client::load::Load;
use carillon_devstack::stack::StackConfig;
use faults::probe::{metric, readiness_becomes, readyz_status};
use faults::{Scene, stop};

/// Events that must be acknowledged and delivered while Redis is away.
const MEANWHILE: u64 = 250;

async fn under_load() -> (Scene, Load) {
    let config = StackConfig { publishers: 2, chaos: true, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 3).await;
    scene.follow_at(1, 3).await;
    let load = scene.load(50.0);
    scene.acknowledged_more(30).await;
    (scene, load)
}

async fn services_become(scene: &Scene, status: &str, reason: Option<&str>) {
    for service in scene.stack.gateways().iter().chain(scene.stack.publishers()) {
        readiness_becomes(service, status, reason).await;
        assert_eq!(readyz_status(service).await, 200, "degraded still serves");
    }
}

/// Publishing goes on, and what is published arrives.
async fn goes_on(scene: &Scene) {
    for _ in 0..5 {
        scene.acknowledged_more(MEANWHILE / 5).await;
        scene.everything_arrives().await;
    }
}

/// Everything is as before, nobody had to reconnect, and nobody waited long for an acknowledgement.
async fn assert_unharmed(scene: Scene, load: Load) {
    scene.acknowledged_more(50).await;
    let report = stop(load).await;
    assert_eq!(report.retried, 0, "no publish failed: {report:?}");
    assert!(report.slowest < Duration::from_secs(10), "{report:?}");
    scene.assert_whole().await;
    for follower in &scene.followers {
        assert_eq!(follower.status().connections, 1, "{}", follower.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_redis_killed_and_back_empty() {
    let (scene, load) = under_load().await;
    scene.stack.redis().process().kill().unwrap();
    services_become(&scene, "degraded", Some("redis")).await;
    goes_on(&scene).await;
    scene.stack.redis().restart().await.unwrap();
    services_become(&scene, "ready", None).await;
    let heard = metric(scene.stack.gateway(0), "carillon_redis_messages_total").await;
    scene.acknowledged_more(30).await;
    scene.everything_arrives().await;
    assert!(
        metric(scene.stack.gateway(0), "carillon_redis_messages_total").await > heard,
        "the fast path is back"
    );
    assert_unharmed(scene, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_redis_frozen_and_thawed() {
    let (scene, load) = under_load().await;
    scene.stack.redis().process().freeze().unwrap();
    services_become(&scene, "degraded", Some("redis")).await;
    goes_on(&scene).await;
    scene.stack.redis().process().thaw().unwrap();
    services_become(&scene, "ready", None).await;
    assert_unharmed(scene, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_redis_dropping_its_subscribers_again_and_again() {
    let (scene, load) = under_load().await;
    for _ in 0..5 {
        // Two seconds' worth of events.
        scene.acknowledged_more(100).await;
        let killed = scene.stack.redis().command("CLIENT KILL TYPE pubsub").await.unwrap();
        assert!(killed.parse::<u32>().unwrap() >= 1, "{killed} subscribers were there to be dropped");
    }
    for gateway in scene.stack.gateways() {
        assert!(metric(gateway, "carillon_redis_interruptions_total").await >= 3.0, "it was felt");
    }
    services_become(&scene, "ready", None).await;
    assert_unharmed(scene, load).await;
}

/// One gateway's packets to Redis vanish: no reset, no end, only silence. Everyone else has Redis.
#[tokio::test(flavor = "multi_thread")]
async fn i9_redis_behind_a_black_hole_for_one_gateway() {
    let (scene, load) = under_load().await;
    let (alone, other) = (scene.stack.gateway(0), scene.stack.gateway(1));
    let link = &alone.links().unwrap().redis;
    link.blackhole();
    readiness_becomes(alone, "degraded", Some("redis")).await;
    assert_eq!(other.readiness().await.unwrap().status, "ready");
    goes_on(&scene).await;
    for service in scene.stack.publishers() {
        assert_eq!(service.readiness().await.unwrap().status, "ready");
    }
    link.restore().await.unwrap();
    readiness_becomes(alone, "ready", None).await;
    assert_unharmed(scene, load).await;
}

/// A gateway that starts while there is no Redis serves all the same.
#[tokio::test(flavor = "multi_thread")]
async fn i9_redis_not_there_when_a_tenant_is_opened() {
    let config = StackConfig { publishers: 2, chaos: true, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.stack.redis().process().kill().unwrap();
    services_become(&scene, "degraded", Some("redis")).await;
    scene.stack.gateway(1).process().restart().unwrap();
    readiness_becomes(scene.stack.gateway(1), "degraded", Some("redis")).await;
    scene.follow_anywhere(4).await;
    scene.publish(50).await;
    scene.assert_whole().await;
    scene.stack.redis().restart().await.unwrap();
    services_become(&scene, "ready", None).await;
    scene.publish(50).await;
    scene.assert_whole().await;
}
