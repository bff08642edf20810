//! Is it known which device has an event and which has not, whatever happens to gateways and Postgres?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod connections;
mod faults;
mod receipts;

use carillon_devstack::client::frame::{Frame, Welcome};
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::{PATIENCE, Shared, ask, claims, client, variables};

/// Two gateways that ping and tell cursors every four seconds. A client here answers pings while it is read.
fn config() -> StackConfig {
    let gateway_env = variables(&[("CARILLON_HEARTBEAT_MS", "4000")]);
    StackConfig { gateway_env, ..StackConfig::default() }
}

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(config()).await.unwrap()).await
}

/// A person's device at a gateway.
async fn device(
    stack: &Stack,
    gateway: usize,
    (tenant, user): (&str, &str),
    name: &str,
) -> (Socket, Welcome) {
    let of = client(stack, stack.gateway(gateway), &claims(tenant, user).channels(["contact:*"]));
    Socket::open(&Connect { device: Some(name.into()), ..of }).await.unwrap()
}

async fn ack(socket: &mut Socket, seq: u64) -> Frame {
    ask(socket, json!({"type": "ack", "id": seq, "seq": seq})).await
}

/// What is told of an event, to a service: the status and the body.
async fn deliveries(stack: &Stack, tenant: &str, event: &str, more: &str) -> (u16, Value) {
    let url = format!("{}/v1/events/{event}/deliveries?tenant={tenant}{more}", stack.publisher(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(stack.api_key()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits until what is told of an event is so.
async fn deliveries_until(stack: &Stack, tenant: &str, event: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let seen = std::sync::Mutex::new(Value::Null);
    let reached = wait::until(format!("the deliveries of {event}"), PATIENCE, || async {
        let (status, told) = deliveries(stack, tenant, event, "").await;
        *seen.lock().unwrap() = told.clone();
        (status == 200 && is_so(&told)).then_some(told)
    });
    reached.await.unwrap_or_else(|timeout| panic!("{timeout}; it is {}", seen.lock().unwrap()))
}

/// Waits until an event has so many devices in its audience, and so many that have acknowledged it.
async fn acks_become(stack: &Stack, tenant: &str, event: &str, audience: u64, acked: u64) -> Value {
    deliveries_until(stack, tenant, event, |told| told["audience"] == audience && told["acked"] == acked)
        .await
}

/// What is stored of a tenant's devices: epoch, delivered and acked, by user and device.
async fn stored(stack: &Stack, tenant: &str) -> Vec<String> {
    let sql = format!(
        "select user_id || ' ' || device_id || ' ' || delivered || ' ' || acked from carillon.devices
         where tenant_id = '{tenant}' order by 1"
    );
    stack.sql(&sql).await.unwrap().lines().map(str::to_owned).collect()
}

async fn is_stored(stack: &Stack, tenant: &str, wanted: &[&str]) {
    let what = format!("{wanted:?} is stored");
    let reached =
        wait::until(what, PATIENCE, || async { (stored(stack, tenant).await == wanted).then_some(()) });
    if let Err(timeout) = reached.await {
        panic!("{timeout}; it is {:?}", stored(stack, tenant).await);
    }
}
