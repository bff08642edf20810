//! Does a tenant's application decide where a channel rule says `ask`, and is nothing but its clear yes a yes?
//!
//! One stack with two gateways; the application is a server of the test.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod application;
mod decides;
mod ends;
mod faults;
mod places;
mod sending;

use application::Application;
use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Shared, ask};

/// How long a refusal may take at most to be followed everywhere.
const FOLLOWED: Duration = Duration::from_secs(5);

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(StackConfig::default()).await.unwrap()).await
}

/// Sends JSON as an administrator of all tenants; the answer's status and JSON.
async fn put(stack: &Stack, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let request = reqwest::Client::new().put(url).json(&body).bearer_auth(stack.api_key());
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn set_rule(stack: &Stack, tenant: &str, pattern: &str, rule: Value) {
    let pattern = pattern.replace('{', "%7B").replace('}', "%7D");
    let (status, answer) = put(stack, &format!("/v1/channel-rules/{pattern}?tenant={tenant}"), rule).await;
    assert_eq!(status, 200, "{answer}");
}

/// Has this application asked, and answers the secret.
async fn set_application(stack: &Stack, tenant: &str, url: &str) -> String {
    let (status, answer) = put(stack, &format!("/v1/tenants/{tenant}"), json!({"authorize_url": url})).await;
    assert_eq!((status, &answer["authorize_url"]), (200, &json!(url)), "{answer}");
    answer["authorize_secret"].as_str().unwrap_or_default().to_owned()
}

/// A tenant whose `order:` channels this application decides about, followed on both gateways.
async fn tenant_that_asks(stack: &Stack, tenant: &str, application: &Application) {
    set_rule(stack, tenant, "order:{order}", json!({"subscribe": ["role:head", "ask"]})).await;
    set_application(stack, tenant, &application.url).await;
}

async fn subscribe(socket: &mut Socket, channel: &str) -> Frame {
    ask(socket, json!({"type": "subscribe", "id": channel, "channels": [channel]})).await
}

/// Waits until the client is told that it was taken out of this channel, and says how long that took.
async fn is_taken_out(socket: &mut Socket, channel: &str, code: &str) -> Duration {
    let began = Instant::now();
    let told = socket.next_of("error", wire::PATIENCE).await.unwrap();
    assert_eq!((told.code(), told.channels()), (Some(code), vec![channel.to_owned()]), "{told:?}");
    assert!(told.0["id"].is_null(), "nobody asked: {told:?}");
    began.elapsed()
}
