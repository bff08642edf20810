//! Does everyone see who is in a channel, on whichever gateway they are, whatever happens to gateways and Redis?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(dead_code, reason = "each test binary uses its part of what others may use")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod crowd;
mod faults;
mod people;
mod person;
mod rest;
mod slow;
mod streams;

use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};

/// Three gateways.
async fn stack(redis_cluster: bool) -> Stack {
    Stack::start(StackConfig { gateways: 3, redis_cluster, ..StackConfig::default() }).await.unwrap()
}

/// Lets everyone of a tenant be in `branch:…`, and see who is, with this grace.
async fn show(stack: &Stack, tenant: &str, grace_ms: u32) {
    let rule = json!({"subscribe": ["anyone"], "presence": ["anyone"], "presence_grace_ms": grace_ms});
    set(stack, tenant, rule).await;
}

async fn set(stack: &Stack, tenant: &str, rule: Value) {
    let url = format!("{}/v1/channel-rules/branch:%7Bbranch%7D?tenant={tenant}", stack.publisher(0).url());
    let answer =
        reqwest::Client::new().put(url).json(&rule).bearer_auth(stack.api_key()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}
