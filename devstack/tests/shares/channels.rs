//! Is a rare channel's history whole while publishers, who write the index that finds it, are killed?

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use serde_json::json;

use crate::faults::probe::{get, sql};
use crate::faults::{PATIENCE, Scene, TENANT, alone, stop};

/// Rows of the log that the index lacks, and rows of the index that the log lacks.
const DIFFERENCES: &str = "WITH log AS (SELECT e.tenant_id, c.channel, e.seq FROM carillon.events e, unnest(e.channels) c(channel)),
        index AS (SELECT i.tenant_id, i.channel, s.seq FROM carillon.channel_index i, unnest(i.seqs) s(seq))
    SELECT (SELECT count(*) FROM (SELECT * FROM log EXCEPT ALL SELECT * FROM index) a)
        + (SELECT count(*) FROM (SELECT * FROM index EXCEPT ALL SELECT * FROM log) b)";
const RARE: &str = "order:7";

/// The seqs of a channel's newest events as a WebSocket's history tells them, on a gateway that has come as far as `upto`.
async fn history(scene: &Scene, channel: &str, upto: u64) -> Vec<u64> {
    let claims = Claims::new(TENANT, "anna", now(), 3_600).channels(["order:*"]);
    let token = claims.sign(scene.stack.jwt_secret()).unwrap();
    // A cursor that another node has seen already: this one catches up first.
    let cursor = Cursor { seq: upto, epoch: None };
    let mut wanted = Connect::new(scene.stack.gateway(0).ws_url(), token).since(cursor);
    wanted.patience = PATIENCE;
    let (mut socket, _) = Socket::open(&wanted).await.unwrap();
    let ask = json!({"type": "subscribe", "channel": channel, "history": 1_000, "id": "h"});
    socket.send_json(&ask).await.unwrap();
    let mut seqs = Vec::new();
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        if frame.is("replayed") {
            socket.close().await;
            return seqs;
        }
        assert!(!frame.is("error"), "{frame:?}");
        if frame.is_history() {
            seqs.extend(frame.seq());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channel_index_equals_the_log_after_kills_of_publishers() {
    let _alone = alone().await;
    let config = StackConfig { gateways: 1, publishers: 2, ..StackConfig::default() };
    let scene = Scene::start(config).await;
    let load = scene.load(200.0);
    let mut rare = Vec::new();
    for round in 0..6 {
        let post = Post::new(TENANT, "order.paid", json!({ "round": round })).channel(RARE);
        rare.push(scene.publishers()[round % 2].publish(&post, None).await.unwrap().seq);
        // What was published a moment ago is not in the index yet, and in the history all the same.
        assert_eq!(history(&scene, RARE, rare[round]).await, rare, "round {round}");
        scene.acknowledged_more(40).await;
        scene.stack.publisher((round + 1) % 2).restart().await.unwrap();
    }
    stop(load).await;
    let equal = || async { (sql(&scene.stack, DIFFERENCES).await == "0").then_some(()) };
    wait::until("the index saying what the log says", PATIENCE, equal).await.unwrap();
    let rows = sql(&scene.stack, "SELECT count(*) FROM carillon.channel_index").await;
    assert_ne!(rows, "0", "there is an index");
    assert_eq!(history(&scene, RARE, rare[5]).await, rare);
    let page = get(&scene.stack, &format!("/v1/events?tenant={TENANT}&channel={RARE}")).await;
    let mut listed: Vec<u64> =
        page["events"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    listed.reverse();
    assert_eq!(listed, rare);
    assert!(page["next"].is_null());
    assert_eq!(history(&scene, "order:none", rare[5]).await, Vec::<u64>::new());
}
