//! Do a tenant's endpoints get every event at least once and, if they want, in order, whatever dies, hangs or refuses?
//!
//! The endpoints are servers of the test.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod answers;
mod connections;
mod delivers;
mod dies;
mod guide;
mod places;
mod receiver;
mod signed;

use carillon_devstack::stack::{Stack, StackConfig};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Shared;

/// For what happens within seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(StackConfig::default()).await.unwrap()).await
}

/// Sends a request as an administrator of all tenants; the answer's status and JSON.
async fn call(stack: &Stack, method: Method, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let request = wire::http().request(method, url).bearer_auth(stack.api_key());
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// Sets a webhook; the answer.
async fn put(stack: &Stack, tenant: &str, id: &str, body: Value) -> Value {
    let path = format!("/v1/webhooks/{id}?tenant={tenant}");
    let (status, answer) = call(stack, Method::PUT, &path, body).await;
    assert!(matches!(status, 200 | 201), "{answer}");
    answer
}

async fn act(stack: &Stack, tenant: &str, id: &str, what: &str, body: Value) -> (u16, Value) {
    call(stack, Method::POST, &format!("/v1/webhooks/{id}/{what}?tenant={tenant}"), body).await
}

async fn read(stack: &Stack, tenant: &str, id: &str) -> Value {
    let (status, answer) =
        call(stack, Method::GET, &format!("/v1/webhooks/{id}?tenant={tenant}"), Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn failed(stack: &Stack, tenant: &str, id: &str) -> Vec<Value> {
    let path = format!("/v1/webhooks/{id}/deliveries?tenant={tenant}");
    let (status, answer) = call(stack, Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer["deliveries"].as_array().unwrap().clone()
}

/// Publishes events of this type, in one request; the seq of the last.
async fn publish(stack: &Stack, tenant: &str, kind: &str, count: usize) -> u64 {
    let event = |n| json!({"tenant": tenant, "type": kind, "channels": ["order:7"], "data": {"n": n}});
    let events: Vec<Value> = (0..count).map(event).collect();
    let (status, answer) = call(stack, Method::POST, "/v1/events", Value::Array(events)).await;
    assert_eq!(status, 201, "{answer}");
    answer.as_array().unwrap().last().unwrap()["seq"].as_u64().unwrap()
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
