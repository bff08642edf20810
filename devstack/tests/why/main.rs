//! Is it answered right why something did, or did not, reach somebody, by real gateways, publishers and databases?
//!
//! Each test is a question that people ask.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../webhooks/receiver.rs"]
#[allow(dead_code, reason = "shared with the tests of webhooks")]
mod receiver;
#[path = "../support/wire/mod.rs"]
mod wire;

mod asking;
mod dry_run;
mod events;
mod notices;

use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{Stack, StackConfig};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Shared, claims, client, token, variables};

/// Gateways ping every four seconds. A client here answers pings while it is read.
async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    let gateway_env = variables(&[("CARILLON_HEARTBEAT_MS", "6000")]);
    SHARED
        .stack(async || Stack::start(StackConfig { gateway_env, ..StackConfig::default() }).await.unwrap())
        .await
}

/// Sends a request as a person, or else as an administrator of all tenants.
async fn call(
    stack: &Stack,
    (tenant, user): (&str, Option<&str>),
    method: Method,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let bearer = match user {
        Some(user) => token(stack, &claims(tenant, user)),
        None => stack.api_key().to_owned(),
    };
    send(stack, &bearer, method, path, body).await
}

async fn send(stack: &Stack, bearer: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let request = reqwest::Client::new().request(method, url).bearer_auth(bearer);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// What is answered, by a service.
async fn why(stack: &Stack, tenant: &str, event: &str, user: &str, more: &str) -> Value {
    let path = format!("/v1/why?tenant={tenant}&event={event}&user={user}{more}");
    let (status, answer) = call(stack, (tenant, None), Method::GET, &path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Waits until the verdict is this one: what gateways know of devices and connections is stored a second or two later.
async fn why_is(stack: &Stack, (tenant, event): (&str, &str), user: &str, verdict: &str) -> Value {
    why_of(stack, (tenant, event), user, "", verdict).await
}

async fn why_of(
    stack: &Stack,
    (tenant, event): (&str, &str),
    user: &str,
    more: &str,
    verdict: &str,
) -> Value {
    let began = Instant::now();
    loop {
        let answer = why(stack, tenant, event, user, more).await;
        if answer["verdict"] == verdict {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "in vain {verdict}: {answer:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The facts of a code.
fn facts<'a>(answer: &'a Value, code: &str) -> Vec<&'a Value> {
    answer["facts"].as_array().unwrap().iter().filter(|fact| fact["code"] == code).collect()
}

/// Whether the answer says this.
fn says(answer: &Value, part: &str) {
    let words = answer["answer"].as_str().unwrap();
    assert!(words.contains(part), "{part} is not in {words}");
}

/// A person's device.
async fn device(stack: &Stack, (tenant, user): (&str, &str), name: &str) -> (Socket, String) {
    let of = client(stack, stack.gateway(0), &claims(tenant, user));
    let (socket, welcome) = Socket::open(&Connect { device: Some(name.into()), ..of }).await.unwrap();
    (socket, welcome.connection.to_string())
}

/// Waits until so many of a person's devices are known.
async fn knows(stack: &Stack, tenant: &str, user: &str, devices: u64) {
    let sql = format!(
        "select count(*) from carillon.devices d join carillon.connections c using (tenant_id, user_id, device_id)
         where tenant_id = '{tenant}' and user_id = '{user}' and d.channels is not null"
    );
    becomes(stack, &sql, &devices.to_string()).await;
}

/// Waits until a statement answers this.
async fn becomes(stack: &Stack, sql: &str, wanted: &str) {
    let began = Instant::now();
    loop {
        let is = stack.sql(sql).await.unwrap();
        if is.trim() == wanted {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{sql}: {is}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes a notice of the type `shift.moved`; its id and number.
async fn notice(stack: &Stack, tenant: &str, more: Value) -> (String, u64) {
    let mut body = json!({"tenant": tenant, "type": "shift.moved", "title": "Shift moved"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = call(stack, (tenant, None), Method::POST, "/v1/notices", body).await;
    assert_eq!(status, 201, "{answer}");
    (answer["id"].as_str().unwrap().to_owned(), answer["seq"].as_u64().unwrap())
}

/// A person does something that is answered with 200.
async fn does(stack: &Stack, (tenant, user): (&str, &str), method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = call(stack, (tenant, Some(user)), method, path, body).await;
    assert!((200..300).contains(&status), "{status} {answer}");
    answer
}
