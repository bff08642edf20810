//! Does a client that cannot have a WebSocket get the same events, by event stream and by poll?
//!
//! One stack with four gateways: `PLAIN` has the defaults; `BEATING` a quick heart; `STRICT` knows its origins, takes no
//! token in a URL and has room for two connections of a user; `SMALL` keeps few events and is watched for its memory.
//! The tests of [`nodes`] stop and kill gateways, and have stacks of their own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/faults/mod.rs"]
mod faults;
#[path = "../support/wire/mod.rs"]
mod wire;

mod forms;
mod listeners;
mod nodes;
mod pages;
mod plain;
mod polls;
mod position;
mod refusals;
mod services;
mod slow;
mod streams;
mod types;

use std::sync::Arc;

use carillon_devstack::client::listen::{EventStream, Listen, Message};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::Claims;
use wire::{PATIENCE, Shared, token, variables};

const PLAIN: usize = 0;
const BEATING: usize = 1;
const STRICT: usize = 2;
const SMALL: usize = 3;

/// The one site whose pages `STRICT` lets in.
const SITE: &str = "https://app.example.com";

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            // Few events in the rings: what is older comes from the log. Logged in detail: no token may be found in it.
            let config = StackConfig { gateways: 1, ..StackConfig::default() }
                .gateway_var("CARILLON_LOG", "debug")
                .gateway_var("CARILLON_RING_EVENTS", 64);
            let mut stack = Stack::start(config).await.unwrap();
            let beating = variables(&[("CARILLON_HEARTBEAT_MS", "300")]);
            let strict = variables(&[
                ("CARILLON_QUERY_TOKEN", "off"),
                ("CARILLON_ALLOWED_ORIGINS", SITE),
                ("CARILLON_MAX_CONNECTIONS_PER_USER", "2"),
            ]);
            let small = variables(&[("CARILLON_RING_BYTES", "1MiB")]);
            for env in [beating, strict, small] {
                stack.add_gateway(&env).await.unwrap();
            }
            stack
        })
        .await
}

/// A listener at one gateway.
fn listen(stack: &Stack, gateway: usize, claims: &Claims) -> Listen {
    Listen::new(&stack.gateway(gateway).url(), token(stack, claims)).unwrap()
}

/// The events that arrive up to the one with this seq, which must come.
async fn events_to(stream: &mut EventStream, seq: u64) -> Vec<Message> {
    let mut events = Vec::new();
    loop {
        let event = stream.next_of("event", PATIENCE).await.unwrap();
        let last = event.frame.seq() == Some(seq);
        events.push(event);
        if last {
            return events;
        }
    }
}

/// What arrived, by seq.
fn seqs(events: &[Message]) -> Vec<u64> {
    events.iter().filter_map(|message| message.frame.seq()).collect()
}
