//! Is a webhook told of whoever does not take note in time, once, and never after they did, whatever dies?
//!
//! The endpoints are servers of the test.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../webhooks/receiver.rs"]
#[allow(dead_code, reason = "shared with the tests of webhooks")]
mod receiver;
#[path = "../support/wire/mod.rs"]
mod wire;

mod dies;
mod quiet;
mod steps;

use carillon_devstack::stack::{Stack, StackConfig};
use receiver::{OK, Receiver};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Shared, claims, token};

/// For what happens within seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(StackConfig::default()).await.unwrap()).await
}

/// Sends a request as an administrator of all tenants, or as a person; the answer's status and JSON.
async fn call(
    stack: &Stack,
    (tenant, user): (&str, Option<&str>),
    method: Method,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let bearer = match user {
        Some(user) => token(stack, &claims(tenant, user)),
        None => stack.api_key().to_owned(),
    };
    let request = wire::http().request(method, url).bearer_auth(bearer);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// An endpoint that takes everything, set as the webhook `push` of this tenant.
async fn push(stack: &Stack, tenant: &str) -> Receiver {
    let receiver = Receiver::start(|_| OK).await;
    let path = format!("/v1/webhooks/push?tenant={tenant}");
    // It is for orders only: escalations name it.
    let body = json!({"url": receiver.url, "types": ["order.*"], "ordered": false});
    let (status, answer) = call(stack, (tenant, None), Method::PUT, &path, body).await;
    assert_eq!(status, 201, "{answer}");
    receiver
}

/// Publishes a notice with these fields; its id and seq.
async fn notice(stack: &Stack, tenant: &str, more: Value) -> (String, u64) {
    let mut body = json!({"tenant": tenant, "title": "Shift moved", "requires_ack": true});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = call(stack, (tenant, None), Method::POST, "/v1/notices", body).await;
    assert_eq!(status, 201, "{answer}");
    (answer["id"].as_str().unwrap().to_owned(), answer["seq"].as_u64().unwrap())
}

/// A person opens their inbox.
async fn opens(stack: &Stack, tenant: &str, user: &str) {
    let (status, answer) = call(stack, (tenant, Some(user)), Method::GET, "/v1/inbox", Value::Null).await;
    assert_eq!(status, 200, "{answer}");
}

/// A person takes note.
async fn acks(stack: &Stack, tenant: &str, user: &str, seq: u64) {
    let path = format!("/v1/inbox/{seq}/ack");
    let (status, answer) = call(stack, (tenant, Some(user)), Method::POST, &path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
}

/// What became of a notice.
async fn state(stack: &Stack, tenant: &str, id: &str) -> Value {
    let path = format!("/v1/notices/{id}?tenant={tenant}");
    let (status, answer) = call(stack, (tenant, None), Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Whom the messages name, each with the step and the title of the notice: in the order in which they came.
fn named(receiver: &Receiver) -> Vec<(String, i64, u64)> {
    let mut named = Vec::new();
    for message in receiver.messages() {
        let data = message.json()["data"].clone();
        for person in data["people"].as_array().unwrap() {
            let user = person["user"].as_str().unwrap().to_owned();
            named.push((user, data["step"].as_i64().unwrap(), data["notice"]["seq"].as_u64().unwrap()));
        }
    }
    named
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
