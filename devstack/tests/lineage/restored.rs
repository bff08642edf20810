//! A log that lost its end while nobody was online, and no gateway followed the tenant.

use crate::faults::probe::{client, sql};
use crate::faults::{PATIENCE, Scene, TENANT};
use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::find;
use carillon_devstack::stack::StackConfig;
use serde_json::Value;

/// A scene whose log has ten events, in which epoch, and their ids. No gateway has heard of the tenant.
async fn ten_events() -> (Scene, String, Vec<String>) {
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    scene.publish(10).await;
    let ids = sql(&scene.stack, "SELECT id FROM carillon.events ORDER BY seq").await;
    let epoch = epoch(&scene).await;
    (scene, epoch, ids.lines().map(str::to_owned).collect())
}

async fn epoch(scene: &Scene) -> String {
    sql(&scene.stack, "SELECT epoch FROM carillon.tenants").await
}

/// Cuts the log off behind event `keep`.
async fn cut(scene: &Scene, keep: u64) {
    sql(
        &scene.stack,
        &format!(
            "DELETE FROM carillon.events WHERE seq > {keep}; DELETE FROM carillon.idempotency WHERE seq > {keep};
             UPDATE carillon.tenants SET head = {keep}"
        ),
    )
    .await;
}

/// The same as an older snapshot of the same server has it.
async fn restore_snapshot(scene: &Scene, keep: u64) {
    cut(scene, keep).await;
    let tag = "(SELECT carillon.tag(body) FROM carillon.events WHERE tenant_id = t.id AND seq = t.head)";
    sql(&scene.stack, &format!("UPDATE carillon.tenants t SET tag_seq = head, tag = {tag}")).await;
}

/// How a WebSocket with this cursor begins: `resumed`, the epoch, and the next frame's reason or seq.
async fn begins(scene: &Scene, cursor: &Cursor, last: Option<&str>) -> (String, String, String) {
    let mut url = scene.stack.gateway(0).ws_url();
    if let Some(last) = last {
        url = format!("{url}?last={last}");
    }
    let wanted = Connect::new(url, scene.token(TENANT, "late")).since(cursor.clone());
    let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
    let next = socket.next_frame(PATIENCE).await.unwrap();
    let next = next.text("reason").map_or_else(|| next.seq().unwrap_or(0).to_string(), str::to_owned);
    socket.close().await;
    (welcome.resumed, welcome.epoch, next)
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_log_cut_off_while_nobody_was_online_resets_exactly_who_saw_the_lost_events() {
    let (scene, old, _) = ten_events().await;
    cut(&scene, 5).await;
    scene.publish(7).await;
    let new = epoch(&scene).await;
    assert_ne!(new, old);
    for (seq, resumed, next) in [
        (10, "reset", "epoch_changed"),
        (6, "reset", "epoch_changed"),
        (5, "replay", "6"),
        (3, "replay", "4"),
    ] {
        let told = begins(&scene, &Cursor::new(seq, &old), None).await;
        assert_eq!(told, (resumed.to_owned(), new.clone(), next.to_owned()), "from {seq}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_who_comes_before_the_log_has_grown_again_is_told_a_new_epoch() {
    let (scene, old, _) = ten_events().await;
    cut(&scene, 5).await;
    let (resumed, new, reason) = begins(&scene, &Cursor::new(10, &old), None).await;
    assert_eq!((resumed.as_str(), reason.as_str()), ("reset", "epoch_changed"));
    assert_ne!(new, old);
    scene.publish(7).await;
    assert_eq!(epoch(&scene).await, new, "once");
    assert_eq!(begins(&scene, &Cursor::new(5, &old), None).await.2, "6");
}

/// What OPERATIONS tells an operator to do about a snapshot of the volume, before anything is published.
#[tokio::test(flavor = "multi_thread")]
async fn i4_an_operator_ends_the_epoch_of_a_restored_snapshot() {
    let (scene, old, _) = ten_events().await;
    restore_snapshot(&scene, 5).await;
    let mut rotate = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap());
    rotate.args(["rotate-epoch", "--all", "--nothing-published-since"]);
    let said = rotate.env("DATABASE_URL", scene.stack.database_url()).output().await.unwrap();
    assert!(said.status.success() && said.stdout.starts_with(b"1 tenant has a new epoch"), "{said:?}");
    scene.publish(7).await;
    let new = epoch(&scene).await;
    for (seq, resumed, next) in [(10, "reset", "epoch_changed"), (5, "replay", "6")] {
        let told = begins(&scene, &Cursor::new(seq, &old), None).await;
        assert_eq!(told, (resumed.to_owned(), new.clone(), next.to_owned()), "from {seq}");
    }
}

/// Nothing in the log shows that it is an older snapshot; the client's own last event does.
#[tokio::test(flavor = "multi_thread")]
async fn i4_another_event_than_the_clients_last_is_a_reset() {
    let (scene, old, ids) = ten_events().await;
    restore_snapshot(&scene, 5).await;
    let (resumed, now, reason) = begins(&scene, &Cursor::new(10, &old), None).await;
    assert_eq!((resumed.as_str(), reason.as_str(), &now), ("reset", "epoch_changed", &old));
    assert_eq!(epoch(&scene).await, old, "what a client says ends no epoch");
    scene.publish(7).await;
    let last = |seq: usize| format!("{seq}:{}", ids[seq - 1]);
    for (seq, claimed, told) in [
        (10, last(10), ("reset", "event_changed")),
        (10, last(7), ("reset", "event_changed")),
        (10, "99:nothing".to_owned(), ("reset", "event_changed")),
        (10, last(5), ("replay", "11")),
        (5, last(5), ("replay", "6")),
    ] {
        let (resumed, _, next) = begins(&scene, &Cursor::new(seq, &old), Some(&claimed)).await;
        assert_eq!((resumed.as_str(), next.as_str()), told, "from {seq} with {claimed}");
        // The other transports answer the same.
        let url = scene.stack.gateway(0).url();
        let get = |path: &str| {
            let url = format!("{url}/v1/{path}?since={seq}&epoch={old}&last={claimed}");
            client().get(url).bearer_auth(scene.token(TENANT, "late")).send()
        };
        let polled: Value = get("poll").await.unwrap().json().await.unwrap();
        assert_eq!(polled["reset"].as_str().is_some(), resumed == "reset", "{polled}");
        let mut stream = get("sse").await.unwrap();
        let mut text = String::new();
        while !text.contains("\"type\":\"reset\"") && !text.contains("\"type\":\"event\"") {
            text += std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap();
        }
        assert_eq!(text.contains("event_changed"), resumed == "reset", "{text}");
    }
}

/// A quiet tenant: its last event is older than what is kept, so nothing can be compared, and nothing has changed.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_log_whose_every_event_is_past_retention_resets_nobody_who_names_the_last() {
    let (scene, epoch, ids) = ten_events().await;
    sql(&scene.stack, "DELETE FROM carillon.events").await;
    let cursor = Cursor::new(10, &epoch);
    let wanted = |last: &str| {
        let url = format!("{}?last={last}", scene.stack.gateway(0).ws_url());
        Connect::new(url, scene.token(TENANT, "late")).since(cursor.clone())
    };
    // The second is answered without asking the log.
    for _ in 0..2 {
        let (socket, welcome) = Socket::open(&wanted(&format!("10:{}", ids[9]))).await.unwrap();
        assert_eq!((welcome.resumed.as_str(), welcome.epoch.as_str(), welcome.seq), ("live", &*epoch, 10));
        socket.close().await;
    }
    let (resumed, _, reason) = begins(&scene, &cursor, Some("11:never")).await;
    assert_eq!((resumed.as_str(), reason.as_str()), ("reset", "event_changed"));
}
