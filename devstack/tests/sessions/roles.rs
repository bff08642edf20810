//! Row level security stops to bind a service's role while it runs.

use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;

use crate::faults::probe::{readiness_becomes, readyz_status, sql};
use crate::faults::{Scene, TENANT};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_role_sees_every_tenant_is_unready_and_asks_nothing() {
    let mut scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    scene.follow_at(0, 2).await;
    scene.publish(10).await;
    scene.everything_arrives().await;
    let gateway = scene.stack.gateway(0);
    sql(&scene.stack, "ALTER ROLE carillon_gateway BYPASSRLS").await;
    readiness_becomes(gateway, "unready", Some("database_session")).await;
    assert_eq!(readyz_status(gateway).await, 503);
    readiness_becomes(scene.stack.publisher(0), "ready", None).await;
    // Nobody comes in who would need the log; who is connected stays and is served by Redis.
    let stranger = Connect::new(gateway.ws_url(), scene.token("another-tenant", "late"));
    assert!(Socket::open(&stranger).await.is_err(), "its log would be read without row level security");
    scene.publish(10).await;
    scene.everything_arrives().await;
    sql(&scene.stack, "ALTER ROLE carillon_gateway NOBYPASSRLS").await;
    readiness_becomes(gateway, "ready", None).await;
    scene.follow_at(0, 1).await;
    scene.publish(10).await;
    assert_eq!(scene.acknowledged(), 30, "{TENANT}");
    scene.assert_whole().await;
}
