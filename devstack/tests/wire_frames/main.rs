//! What does a gateway answer to each frame of the contract, and what does it say by itself?
//!
//! One stack with three gateways: `PLAIN` has the defaults, `QUICK` has a short heartbeat, and the ring of `SHORT`
//! holds so little that almost all of the past comes from the log.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod deadlines;
mod errors;
mod history;
mod largest;
mod refresh;
mod stuck;
mod subscriptions;
mod types;

use std::sync::Arc;

use carillon_devstack::stack::{Stack, StackConfig};
use wire::{Shared, variables};

const PLAIN: usize = 0;
const QUICK: usize = 1;
const SHORT: usize = 2;

/// Of the gateway `QUICK`.
const HEARTBEAT_MS: u64 = 1_000;

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            let config = StackConfig { gateways: 1, ..StackConfig::default() };
            let mut stack = Stack::start(config).await.unwrap();
            let heartbeat = HEARTBEAT_MS.to_string();
            stack.add_gateway(&variables(&[("CARILLON_HEARTBEAT_MS", &heartbeat)])).await.unwrap();
            stack.add_gateway(&variables(&[("CARILLON_RING_EVENTS", "4")])).await.unwrap();
            stack
        })
        .await
}
