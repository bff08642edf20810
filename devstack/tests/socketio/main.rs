//! Do clients of Socket.IO get what the log has, and are they answered as the contract says?
//!
//! One stack with two gateways; whoever stops one has a stack of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod client;
mod malformed;
mod namespaces;
mod passed_on;
mod polling;
mod recovered;
mod spoken;

use carillon_devstack::stack::{Stack, StackConfig};
use client::Engine;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::{Shared, claims, token};

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
    let rule =
        json!({"subscribe": anyone, "publish": anyone, "signal": anyone, "history": anyone, "rate": 1000});
    set(stack, tenant, "page:{page}", rule).await;
}

/// Somebody who is connected at a gateway.
async fn connected(stack: &Stack, gateway: usize, tenant: &str, user: &str, more: Value) -> Engine {
    let mut auth = json!({"token": token(stack, &claims(tenant, user))});
    for (name, value) in more.as_object().into_iter().flatten() {
        auth[name] = value.clone();
    }
    let mut engine = Engine::open(stack.gateway(gateway), "", &[]).await;
    engine.connect(&auth).await.unwrap();
    engine
}
