//! Do channel rules hold on every gateway, as soon as they are set, however a client comes in?
//!
//! One stack with two gateways for what leaves it whole; whoever kills something has one of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod excepted;
mod faults;
mod followed;
mod past;
mod stored;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Shared, ask};

/// How long a rule may take at most to be followed everywhere.
const FOLLOWED: Duration = Duration::from_secs(5);

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    let start = || async {
        let mut stack = Stack::start(StackConfig::default()).await.unwrap();
        stack.add_gateway(&wire::variables(&[("CARILLON_HEAD_WATCH_MS", "10000")])).await.unwrap();
        stack
    };
    SHARED.stack(start).await
}

/// The gateway that looks at the database every ten seconds only: what it knows sooner it was told by Redis.
const TOLD: usize = 2;

/// Sets a rule over REST; the answer's status and JSON.
async fn put(stack: &Stack, tenant: &str, pattern: &str, rule: Value) -> (u16, Value) {
    let request = reqwest::Client::new().put(rule_url(stack, tenant, pattern)).json(&rule);
    let answer = request.bearer_auth(stack.api_key()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn set(stack: &Stack, tenant: &str, pattern: &str, rule: Value) {
    let (status, answer) = put(stack, tenant, pattern, rule).await;
    assert_eq!(status, 200, "{answer}");
}

async fn delete(stack: &Stack, tenant: &str, pattern: &str) {
    let request = reqwest::Client::new().delete(rule_url(stack, tenant, pattern));
    let answer = request.bearer_auth(stack.api_key()).send().await.unwrap();
    assert_eq!(answer.status(), 204);
}

fn rule_url(stack: &Stack, tenant: &str, pattern: &str) -> String {
    let pattern = pattern.replace('{', "%7B").replace('}', "%7D");
    format!("{}/v1/channel-rules/{pattern}?tenant={tenant}", stack.publisher(0).url())
}

async fn subscribe(socket: &mut Socket, channel: &str) -> Frame {
    ask(socket, json!({"type": "subscribe", "id": channel, "channels": [channel]})).await
}

/// Subscribes as soon as the rules allow it, and says how long that took.
async fn subscribes(socket: &mut Socket, channel: &str) -> Duration {
    let began = Instant::now();
    loop {
        let answer = subscribe(socket, channel).await;
        if answer.is("ok") {
            return began.elapsed();
        }
        assert_eq!(answer.code(), Some("forbidden"), "{answer:?}");
        assert!(began.elapsed() < PATIENCE, "the rule is not followed");
        // Each costs a frame of the client's allowance.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Waits until the client is told that it was taken out of this channel, and says how long that took.
async fn is_taken_out(socket: &mut Socket, channel: &str) -> Duration {
    let began = Instant::now();
    let told = socket.next_of("error", PATIENCE).await.unwrap();
    assert_eq!((told.code(), told.channels()), (Some("forbidden"), vec![channel.to_owned()]), "{told:?}");
    assert!(told.0["id"].is_null(), "nobody asked: {told:?}");
    began.elapsed()
}
