//! Whoever breaks the rules is told so and goes; does anybody else notice?
//!
//! One stack; every test has a gateway of its own, whose connections it can count. Well-behaved connections on every
//! shard of it must get every event, in order, all the while.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod departures;
mod floods;
mod framing;
mod hang_ups;
mod json_texts;

use std::sync::Arc;

use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::wait;
use wire::witness::Bystanders;
use wire::{Shared, assert_serves, connections_become};

const FRAMING: usize = 0;
const TEXTS: usize = 1;
const FLOODS: usize = 2;
const DEPARTURES: usize = 3;
const DEAF: usize = 4;
const HANG_UPS: usize = 5;

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            Stack::start(StackConfig { gateways: 6, ..StackConfig::default() }).await.unwrap()
        })
        .await
}

/// No channel of a gateway that everybody has left has anybody in it.
async fn nobody_is_remembered(gateway: &Service) {
    let left = || async { (gateway.metric("carillon_subscriptions").await? == 0.0).then_some(()) };
    wait::until("no channel remembering anybody", wire::PATIENCE, left).await.unwrap();
}

/// Lets somebody misbehave while others are served; afterwards nothing is left of it.
async fn undisturbed<F: Future<Output = ()>>(stack: &Arc<Stack>, gateway: usize, misbehave: F) {
    let gateway: &Service = stack.gateway(gateway);
    let bystanders = Bystanders::watch(stack, gateway, &format!("of-{}", gateway.name())).await;
    let few = bystanders.count();
    connections_become(gateway, few).await;
    misbehave.await;
    connections_become(gateway, few).await;
    bystanders.assert_undisturbed(stack).await;
    assert_serves(stack, gateway).await;
    connections_become(gateway, 0.0).await;
}
