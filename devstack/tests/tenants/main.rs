//! Does one connection carry several tenants, each with its own order, roles and rules, and none that it is not in?
//!
//! One stack with two gateways for what leaves it whole; whoever kills something has one of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod coming;
mod faults;
mod isolation;
mod people;
mod refresh;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::Claims;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{PATIENCE, Shared, ask, claims, client, publish};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(|| async { Stack::start(StackConfig::default()).await.unwrap() }).await
}

/// A person with a role in each of these tenants; the first is their own.
fn person(user: &str, roles: &[(&str, &str)]) -> Claims {
    let mut claims = claims(roles[0].0, user).roles([roles[0].1]);
    for (tenant, role) in &roles[1..] {
        claims.tenants.insert((*tenant).to_owned(), vec![(*role).to_owned()]);
    }
    claims
}

/// A connection of theirs in their own tenant.
async fn open(stack: &Stack, gateway: usize, claims: &Claims) -> Socket {
    Socket::open(&client(stack, stack.gateway(gateway), claims)).await.unwrap().0
}

fn attach(tenant: &str) -> Value {
    json!({"type": "attach", "id": format!("in {tenant}"), "tenant": tenant})
}

/// Comes into a tenant and answers its welcome.
async fn come_into(socket: &mut Socket, frame: Value) -> Frame {
    let tenant = frame["tenant"].clone();
    let welcome = ask(socket, frame).await;
    assert!(welcome.is("welcome") && welcome.0["tenant"] == tenant, "{welcome:?}");
    welcome
}

async fn detach(socket: &mut Socket, tenant: &str) {
    let ok = ask(socket, json!({"type": "detach", "id": "out", "tenant": tenant})).await;
    assert!(ok.is("ok") && ok.text("tenant") == Some(tenant), "{ok:?}");
}

/// Events of several tenants as they come, until each of these has come to its seq; none may come that is not asked for, twice, or
/// out of order.
async fn events_until(socket: &mut Socket, wanted: &[(&str, u64)]) -> BTreeMap<String, Vec<u64>> {
    let mut heard: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let has_come = |heard: &BTreeMap<String, Vec<u64>>| {
        wanted.iter().all(|(tenant, seq)| heard.get(*tenant).is_some_and(|seqs| seqs.contains(seq)))
    };
    while !has_come(&heard) {
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        let tenant = event.text("tenant").unwrap_or_else(|| panic!("no tenant: {event:?}")).to_owned();
        let seq = event.seq().unwrap();
        assert_eq!(event.event()["data"]["of"], json!(tenant), "I5: {event:?}");
        let seqs = heard.entry(tenant).or_default();
        assert!(seqs.last().is_none_or(|last| *last < seq), "I2, I3: {seq} after {seqs:?}");
        seqs.push(seq);
    }
    heard
}

/// Publishes one event to everybody of a tenant, which says which one that is.
async fn tell(stack: &Stack, tenant: &str) -> u64 {
    publish(stack, tenant, &["tenant"], json!({"of": tenant})).await.seq
}

/// Sets a rule over REST.
async fn set_rule(stack: &Stack, tenant: &str, pattern: &str, rule: Value) {
    let pattern = pattern.replace('{', "%7B").replace('}', "%7D");
    let url = format!("{}/v1/channel-rules/{pattern}?tenant={tenant}", stack.publisher(0).url());
    let request = reqwest::Client::new().put(url).json(&rule).bearer_auth(stack.api_key());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
}
