//! One user asks for answers and reads none of them: what does it cost the gateway, and who notices?

use std::time::Duration;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::post::Post;
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::faults::probe::{memory, metric, sample};
use crate::faults::{PATIENCE, Scene, TENANT, alone};
use crate::figures::{Figures, assert_unhurt};

const POLLS: usize = 400;
/// Of 8 KB each: more than an answer holds.
const EVENTS: u64 = 60;

/// A poll for everything whose answer is never read.
async fn ask_and_look_away(scene: &Scene) -> TcpStream {
    let address = scene.stack.gateway(0).url().trim_start_matches("http://").to_owned();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(address.parse().unwrap()).await.unwrap();
    let token = scene.token(TENANT, "eve");
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    socket.write_all(format!("GET /v1/poll?since=0 HTTP/1.1\r\n{head}").as_bytes()).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_polls_that_nobody_reads_cost_the_gateway_little() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let post = |tenant, n| Post::new(tenant, "big", json!({"n": n, "note": "x".repeat(8_000)})).tenant_wide();
    for tenant in [TENANT, "other"] {
        let posts: Vec<Post> = (0..EVENTS).map(|n| post(tenant, n)).collect();
        scene.publishers()[0].publish_many(&posts, None).await.unwrap();
    }
    let gateway = scene.stack.gateway(0);
    let poll = |tenant| {
        let cursor = Cursor { seq: 0, epoch: None };
        let listen = Listen::new(&gateway.url(), scene.token(tenant, "anna")).unwrap().since(cursor);
        async move { listen.poll(Some(Duration::from_secs(10))).await.map(|answer| answer.events.len()) }
    };
    let whole = poll("other").await.unwrap();
    // Whole answers, one after the other.
    let others = async || match poll("other").await {
        Ok(events) if events == whole => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let compare = async || {
        let mut without = Figures::of(30, &others).await;
        let (answered_before, small_before) = (
            metric(gateway, "carillon_deliveries_total").await,
            metric(gateway, "carillon_small_replies_total").await,
        );
        let polls = r#"carillon_fallback_requests_total{kind="poll"}"#;
        let polls_before = sample(gateway, polls).await;
        let before = memory(gateway);
        let mut unread = Vec::new();
        for _ in 0..POLLS {
            unread.push(ask_and_look_away(&scene).await);
        }
        let asked = wait::until("every poll being answered", PATIENCE, || async {
            let answered =
                metric(gateway, "carillon_deliveries_total").await >= answered_before + POLLS as f64;
            (sample(gateway, polls).await >= polls_before + POLLS as f64 && answered).then_some(())
        });
        asked.await.unwrap();
        let cost = memory(gateway).saturating_sub(before);
        println!("{} unread answers cost the gateway {} KiB", unread.len(), cost >> 10);
        assert!(cost < 24 << 20, "{cost} bytes");
        let small = metric(gateway, "carillon_small_replies_total").await - small_before;
        assert!(small >= (POLLS - 16) as f64, "{small}");
        let with = Figures::of(60, &others).await;
        assert!(poll(TENANT).await.unwrap() >= whole, "and so is another user's");
        drop(unread);
        without.join(Figures::of(30, &others).await);
        (without, with)
    };
    assert_unhurt("unread polls", compare).await;
}
