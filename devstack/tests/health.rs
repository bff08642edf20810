//! Does `/v1/health` say how the installation is, also while a part of it is frozen or gone?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::process::Signal;
use carillon_devstack::stack::{KeyTenant, Stack, StackConfig};
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use faults::probe::client;
use faults::{PATIENCE, Scene, TENANT, alone};
use serde_json::{Value, json};

async fn ask_as(stack: &Stack, bearer: &str, path: &str) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let answer = client().get(url).bearer_auth(bearer).send().await.unwrap();
    let (status, retry) = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
    let body: Value = answer.json().await.unwrap();
    assert_eq!(retry.is_some(), status == 503, "{body}");
    (status, body)
}

async fn ask(stack: &Stack, path: &str) -> (u16, Value) {
    ask_as(stack, stack.api_key(), path).await
}

/// Waits until a part is in this state for these reasons alone; the answer.
async fn becomes(stack: &Stack, path: &str, state: &str, reasons: &[&str]) -> (u16, Value) {
    let seen = wait::until(format!("{path} being {state} {reasons:?}"), PATIENCE, || async {
        let answer = ask(stack, path).await;
        let codes: Vec<&str> =
            answer.1["reasons"].as_array()?.iter().filter_map(|each| each["code"].as_str()).collect();
        (answer.1["state"] == state && codes == reasons).then_some(answer)
    });
    match seen.await {
        Ok(answer) => answer,
        Err(timeout) => panic!("{timeout}; it is {:?}", ask(stack, path).await),
    }
}

/// Waits until the publisher has read of both gateways; it is up as soon as it knows one.
async fn both_serve(stack: &Stack) {
    let seen = wait::until("both gateways in the registry", PATIENCE, || async {
        let (_, health) = ask(stack, "/v1/health/websocket").await;
        (health["state"] == "up" && health["nodes"]["serving"] == 2).then_some(())
    });
    seen.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_the_numbers_of_each_part_and_who_may_see_which() {
    let _alone = alone().await;
    let mut scene = Scene::start(StackConfig { gateways: 2, ..StackConfig::default() }).await;
    scene.follow_at(0, 3).await;
    scene.publish(20).await;
    let stack = &scene.stack;
    let connected = wait::until("three connections in the registry", PATIENCE, || async {
        let (_, health) = ask(stack, "/v1/health/websocket").await;
        (health["connections"] == 3 && health["nodes"]["serving"] == 2).then_some(health)
    });
    let websocket = connected.await.unwrap();
    assert_eq!(websocket["state"], "up", "{websocket}");
    assert_eq!(websocket["nodes"], json!({"alive": 2, "serving": 2, "evacuating": 0, "draining": 0}));
    let gateways = websocket["gateways"].as_array().unwrap();
    let of = |gateway: &Value| (gateway["node"].as_str().unwrap().to_owned(), gateway["connections"].clone());
    let each: Vec<_> = gateways.iter().map(of).collect();
    assert_eq!(each, [("gateway-1".to_owned(), json!(3)), ("gateway-2".to_owned(), json!(0))]);

    let read = wait::until("everything read by the projectors", PATIENCE, || async {
        let (_, health) = ask(stack, "/v1/health/events").await;
        (health["projectors"][0]["behind"]["events"] == 0).then_some(health)
    });
    let events = read.await.unwrap();
    assert_eq!((&events["state"], &events["reasons"]), (&json!("up"), &json!([])), "{events}");
    assert_eq!((&events["log"]["writable"], &events["redis"]["up"]), (&json!(true), &json!(true)));
    assert!(events["partitions"]["ahead_days"].as_u64().unwrap() >= 7, "{events}");
    assert!(events["log"]["last_commit_ms"].as_u64().unwrap() > 1_700_000_000_000, "{events}");
    assert_eq!(events["projectors"][0]["name"], "channel_index");
    assert_eq!(events["projectors"][0]["workers"], 1);
    let (status, all) = ask(stack, "/v1/health").await;
    assert_eq!((status, &all["state"], &all["events"]["state"]), (200, &json!("up"), &json!("up")));
    assert_eq!(all["websocket"]["nodes"]["serving"], 2);
    assert!(all["zone_data"].as_str().unwrap() >= "2026f", "{all}");

    // Of one tenant: how it is, and nothing of what others do.
    let key = stack.create_api_key(KeyTenant::One(TENANT), &["read"]).await.unwrap();
    let admin = Claims::new(TENANT, "ana", now(), 600).caps(["admin"]).sign(stack.jwt_secret()).unwrap();
    for bearer in [&key, &admin] {
        let (status, health) = ask_as(stack, bearer, "/v1/health").await;
        assert_eq!((status, &health["state"]), (200, &json!("up")), "{health}");
        let websocket = &health["websocket"];
        assert_eq!(
            (&websocket["nodes"]["serving"], websocket.get("gateways")),
            (&json!(2), None),
            "{health}"
        );
        assert_eq!(websocket.get("connections"), None);
    }
    let mila = scene.token(TENANT, "mila");
    let publishes = stack.create_api_key(KeyTenant::All, &["publish"]).await.unwrap();
    for bearer in [&mila, &publishes] {
        let (status, problem) = ask_as(stack, bearer, "/v1/health/events").await;
        assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")), "{problem}");
    }
    let (status, problem) = ask_as(stack, &key, "/v1/health?tenant=another").await;
    assert_eq!((status, &problem["code"]), (403, &json!("tenant_forbidden")), "{problem}");
    let (status, problem) = ask(stack, "/v1/health/weather").await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{problem}");
    for path in ["/v1/health/notifications".to_owned(), format!("/v1/health/notifications?tenant={TENANT}")] {
        let (status, health) = ask(stack, &path).await;
        assert_eq!(
            (status, &health["state"], &health["reasons"]),
            (200, &json!("up"), &json!([])),
            "{health}"
        );
        assert_eq!(health["escalations"], json!({"due": 0, "seconds": 0.0}), "{health}");
        assert_eq!(
            (&health["webhooks"]["events"], &health["redis"]["up"]),
            (&json!(0), &json!(true)),
            "{health}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_held_up_is_seen_in_events_and_seconds() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    scene.publish(3).await;
    // It reads, and cannot move its cursor.
    let lock = "begin; lock table carillon.projector_cursors in exclusive mode; select pg_sleep(600)";
    let holder = scene.stack.sql_until_dropped(&[lock]).unwrap();
    let held = "select count(*) from pg_locks where relation = 'carillon.projector_cursors'::regclass and mode = 'ExclusiveLock' and granted";
    wait::until("the table to be locked", PATIENCE, || async {
        (scene.stack.sql(held).await.unwrap() == "1").then_some(())
    })
    .await
    .unwrap();
    scene.publish(17).await;
    for path in ["/v1/health/events".to_owned(), format!("/v1/health/events?tenant={TENANT}")] {
        let seen = wait::until(format!("{path} telling the lag"), PATIENCE, || async {
            let (_, health) = ask(&scene.stack, &path).await;
            let behind = &health["projectors"][0]["behind"];
            let enough = behind["events"].as_u64()? >= 17 && behind["seconds"].as_f64()? >= 2.0;
            enough.then_some(health)
        });
        let health = seen.await.unwrap();
        assert!(health["projectors"][0]["behind"]["events"].as_u64().unwrap() <= 20, "{health}");
        assert_eq!(health["projectors"][0]["tenants"], 1, "{health}");
    }
    let (_, other) = ask(&scene.stack, "/v1/health/events?tenant=somebody-else").await;
    assert_eq!(other["projectors"][0]["behind"], json!({"events": 0, "seconds": 0.0}), "{other}");
    // The channel index and analytics.
    let both = ["projector_behind"; 2];
    let (status, _) = becomes(&scene.stack, "/v1/health/events", "degraded", &both).await;
    assert_eq!(status, 200, "degraded does its work");
    let end = "select pg_terminate_backend(pid) from pg_locks where relation = 'carillon.projector_cursors'::regclass and mode = 'ExclusiveLock'";
    scene.stack.sql(end).await.unwrap();
    drop(holder);
    becomes(&scene.stack, "/v1/health/events", "up", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_degraded_and_a_frozen_postgres_is_down() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 2, ..StackConfig::default() }).await;
    let stack = &scene.stack;
    scene.publish(1).await;
    both_serve(stack).await;
    stack.redis().process().freeze().unwrap();
    let (status, websocket) = becomes(stack, "/v1/health/websocket", "degraded", &["redis"]).await;
    assert_eq!((status, &websocket["redis"]["up"]), (200, &json!(false)), "{websocket}");
    let (status, _) = becomes(stack, "/v1/health/events", "degraded", &["redis"]).await;
    assert_eq!(status, 200);
    stack.redis().process().thaw().unwrap();
    becomes(stack, "/v1/health/events", "up", &[]).await;
    both_serve(stack).await;

    stack.postgres().process().freeze().unwrap();
    let (status, events) = becomes(stack, "/v1/health/events", "down", &["database"]).await;
    assert_eq!(status, 503, "{events}");
    // Nobody can be asked whose a key is, nor whether a token was revoked: the state is told all the same.
    let admin = Claims::new(TENANT, "ana", now(), 600).caps(["admin"]).sign(stack.jwt_secret()).unwrap();
    let (status, events) = ask_as(stack, &admin, "/v1/health/events").await;
    assert_eq!((status, &events["state"]), (503, &json!("down")), "{events}");
    let unknown = "crln_0123456789abcdef0123_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWI";
    let (status, without) = ask_as(stack, unknown, "/v1/health/events").await;
    assert_eq!((status, &without["state"], without.get("log")), (503, &json!("down"), None), "{without}");
    let (status, websocket) = ask_as(stack, &admin, "/v1/health/websocket").await;
    assert_eq!((status, &websocket["nodes"]["serving"]), (200, &json!(2)), "{websocket}");
    stack.postgres().process().thaw().unwrap();
    becomes(stack, "/v1/health/events", "up", &[]).await;
}

/// An ACL that lets everybody in and nobody publish: everything is connected, and events come the slow way.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_only_refuses_announcements_is_degraded() {
    let _alone = alone().await;
    let mut scene = Scene::start(StackConfig::default()).await;
    scene.follow_at(0, 1).await;
    let stack = &scene.stack;
    both_serve(stack).await;
    stack.redis().command("ACL SETUSER default -publish").await.unwrap();
    scene.publish(1).await;
    let (status, events) = becomes(stack, "/v1/health/events", "degraded", &["redis"]).await;
    assert_eq!((status, &events["redis"]["up"]), (200, &json!(false)), "{events}");
    assert!(events["reasons"][0]["message"].as_str().unwrap().contains("refused"), "{events}");
    let (status, websocket) = becomes(stack, "/v1/health/websocket", "degraded", &["redis"]).await;
    assert_eq!((status, &websocket["nodes"]["serving"]), (200, &json!(2)), "{websocket}");
    // Nothing is published meanwhile: that it is allowed again is found out all the same.
    stack.redis().command("ACL SETUSER default +publish").await.unwrap();
    becomes(stack, "/v1/health/events", "up", &[]).await;
    becomes(stack, "/v1/health/websocket", "up", &[]).await;
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_gone_or_emptied_are_seen_without_asking_them() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 2, ..StackConfig::default() }).await;
    let stack = &scene.stack;
    becomes(stack, "/v1/health/websocket", "up", &[]).await;
    // One that is frozen answers nobody, and its card stands still.
    stack.gateway(0).freeze().unwrap();
    stack.gateway(1).process().signal(Signal::USR1).unwrap();
    let (status, health) = becomes(stack, "/v1/health/websocket", "down", &["none_serving"]).await;
    assert_eq!((status, &health["nodes"]["evacuating"]), (503, &json!(1)), "{health}");
    let (status, whole) = ask(stack, "/v1/health").await;
    assert_eq!((status, &whole["state"], &whole["events"]["state"]), (503, &json!("down"), &json!("up")));
    stack.gateway(1).kill().unwrap();
    becomes(stack, "/v1/health/websocket", "down", &["no_nodes"]).await;
    stack.gateway(0).thaw().unwrap();
    let (_, health) = becomes(stack, "/v1/health/websocket", "up", &[]).await;
    assert_eq!(health["nodes"]["alive"], 1, "{health}");
}
