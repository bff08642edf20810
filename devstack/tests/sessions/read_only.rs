//! The database answers and may not be written to: somebody, or a provider whose disk is nearly full, made it read-only.

use carillon_devstack::stack::StackConfig;

use crate::faults::probe::{readiness_becomes, sql};
use crate::faults::{Scene, stop};
use crate::refused;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_named_and_everything_goes_on_when_it_may_be_written_to() {
    let mut scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    scene.follow_at(0, 2).await;
    let load = scene.load(40.0);
    scene.acknowledged_more(20).await;
    sql(&scene.stack, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    sql(&scene.stack, "SELECT pg_reload_conf()").await;
    let (publisher, gateway) = (scene.stack.publisher(0), scene.stack.gateway(0));
    readiness_becomes(publisher, "unready", Some("database_read_only")).await;
    refused::by_name(&scene, "database_read_only", 5).await;
    readiness_becomes(gateway, "ready", None).await;
    sql(&scene.stack, "ALTER SYSTEM RESET default_transaction_read_only").await;
    sql(&scene.stack, "SELECT pg_reload_conf()").await;
    readiness_becomes(publisher, "ready", None).await;
    scene.acknowledged_more(20).await;
    stop(load).await;
    scene.assert_whole().await;
}
