//! Do signals reach those who are in the channel, on every node, and nobody else?
//!
//! One stack with two gateways for what leaves it whole; whoever kills something has one of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod commands;
mod faults;
mod reach;
mod refused;
mod typing;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Shared, claims, client, publish};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(|| async { Stack::start(StackConfig::default()).await.unwrap() }).await
}

/// Sets a rule over REST.
async fn set(stack: &Stack, tenant: &str, pattern: &str, rule: Value) {
    let pattern = pattern.replace('{', "%7B").replace('}', "%7D");
    let url = format!("{}/v1/channel-rules/{pattern}?tenant={tenant}", stack.publisher(0).url());
    let request = reqwest::Client::new().put(url).json(&rule).bearer_auth(stack.api_key());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
}

/// What lets everybody do everything in pages.
async fn open_pages(stack: &Stack, tenant: &str) {
    let anyone = json!(["anyone"]);
    let rule = json!({"subscribe": anyone, "publish": anyone, "signal": anyone, "rate": 1000});
    set(stack, tenant, "page:{page}", rule).await;
}

/// Somebody in a channel, at a gateway.
async fn join(stack: &Stack, gateway: usize, tenant: &str, user: &str, channel: &str) -> Socket {
    let wanted = client(stack, stack.gateway(gateway), &claims(tenant, user)).channels([channel]);
    Socket::open(&wanted).await.unwrap().0
}

fn moved(channel: &str, n: u64) -> Value {
    json!({"type": "publish", "id": n, "channel": channel, "event": {"type": "cursor.moved", "data": {"n": n}}})
}

fn typing(channel: &str, state: &str) -> Value {
    json!({"type": "typing", "id": state, "channel": channel, "state": state})
}

async fn next_signal(socket: &mut Socket) -> Frame {
    socket.next_of("signal", PATIENCE).await.unwrap()
}

/// The state of the next signal, which must be somebody's typing, and how long it took.
async fn next_typing(socket: &mut Socket, user: &str, within: Duration) -> (String, Duration) {
    let began = Instant::now();
    let signal = socket.next_of("signal", within).await.unwrap();
    assert_eq!((signal.text("from"), &signal.event()["type"]), (Some(user), &json!("typing")), "{signal:?}");
    (signal.event()["data"]["state"].as_str().unwrap().to_owned(), began.elapsed())
}

/// The signals that came before now: an event is published and awaited.
async fn signals_until_now(stack: &Stack, tenant: &str, channel: &str, socket: &mut Socket) -> Vec<Frame> {
    let seq = publish(stack, tenant, &[channel], json!({})).await.seq;
    let mut signals = Vec::new();
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        if frame.is("event") && frame.seq() == Some(seq) {
            return signals;
        }
        signals.extend(frame.is("signal").then_some(frame));
    }
}
