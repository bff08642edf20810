//! Another server becomes the primary. Sessions may stay on the old one, and the address may lead to it for a while.

use crate::faults::PATIENCE;
use crate::faults::pair::Pair;
use crate::faults::probe::{readiness_becomes, readyz_status, sql};
use crate::refused;

async fn twenty_events() -> Pair {
    let mut pair = Pair::start().await;
    pair.scene.follow_at(0, 2).await;
    pair.scene.publish(20).await;
    pair.scene.everything_arrives().await;
    pair.standby_has(20).await;
    pair
}

/// Publishing, following and coming back work, and the epoch has changed once.
async fn goes_on(pair: &Pair) {
    readiness_becomes(pair.scene.stack.publisher(0), "ready", None).await;
    readiness_becomes(pair.scene.stack.gateway(0), "ready", None).await;
    pair.scene.publish(20).await;
    for follower in &pair.scene.followers {
        assert_eq!(follower.reached(40, PATIENCE).await.unwrap().resets, 0);
    }
    pair.scene.assert_whole().await;
    assert_eq!(pair.epochs().await, "0 20");
}

/// The old primary refuses writes and keeps its sessions; nothing closes them when the address moves.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_stay_on_a_fenced_primary_are_left_as_soon_as_the_address_moves() {
    let pair = twenty_events().await;
    let (publisher, gateway) = (pair.scene.stack.publisher(0), pair.scene.stack.gateway(0));
    sql(&pair.scene.stack, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    sql(&pair.scene.stack, "SELECT pg_reload_conf()").await;
    readiness_becomes(publisher, "unready", Some("database_read_only")).await;
    refused::by_name(&pair.scene, "database_read_only", 5).await;
    assert_eq!(readyz_status(gateway).await, 200, "it serves who is connected");
    pair.promote().await;
    for service in [publisher, gateway] {
        pair.address_moves(service).await;
    }
    goes_on(&pair).await;
}

/// The old primary comes back as a standby of the new one before the address moves.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_to_a_standby_is_named_until_it_moves() {
    let pair = twenty_events().await;
    let (publisher, gateway) = (pair.scene.stack.publisher(0), pair.scene.stack.gateway(0));
    pair.scene.stack.postgres().demote(pair.standby.port(), pair.promote()).await.unwrap();
    readiness_becomes(publisher, "unready", Some("database_standby")).await;
    refused::by_name(&pair.scene, "database_standby", 1).await;
    readiness_becomes(gateway, "degraded", Some("database_standby")).await;
    assert_eq!(readyz_status(gateway).await, 200, "it serves who is connected");
    // What is open stays open, on the standby.
    for service in [publisher, gateway] {
        pair.address_moves(service).await;
    }
    goes_on(&pair).await;
}
