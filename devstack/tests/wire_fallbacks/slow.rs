//! What does a listener cost that does not read, or reads slowly?

use std::time::Duration;

use carillon_devstack::client::listen::{EventStream, Polled};
use carillon_devstack::client::post::Post;
use carillon_devstack::stack::Stack;
use serde_json::json;

use crate::faults::probe::memory;
use crate::plain::{Plain, request};
use crate::wire::{block_on, claims, publisher, token};
use crate::{PLAIN, SMALL, events_to, listen, stack};

/// Bytes of one event's text.
const TEXT: usize = 20 * 1024;

/// Publishes ten large events; the last one's seq.
async fn ten(stack: &Stack, tenant: &str) -> u64 {
    let post = |n| Post::new(tenant, "wire.test", json!({"n": n, "text": "x".repeat(TEXT)})).tenant_wide();
    let acks = publisher(stack).publish_many(&Vec::from_iter((0..10).map(post)), None).await.unwrap();
    acks.last().unwrap().seq
}

/// Publishes so many large events, not faster than this stream is read; the last one's seq.
async fn flood(stack: &Stack, tenant: &str, quick: &mut EventStream, events: usize) -> u64 {
    let mut last = 0;
    for _ in 0..events / 10 {
        last = ten(stack, tenant).await;
        assert_eq!(events_to(quick, last).await.len(), 10, "who reads is not held up");
    }
    last
}

#[test]
fn i6_an_event_stream_nobody_reads_costs_no_memory_and_loses_nothing() {
    block_on(async {
        const EVENTS: usize = 400;
        let stack = stack().await;
        let gateway = stack.gateway(SMALL);
        let anna = claims("slow-sse", "anna");
        let bearer = format!("Bearer {}", token(&stack, &anna));
        let mut slow = Plain::narrow(gateway.addr()).await;
        slow.send(&request("GET", "/v1/sse", &[("Authorization", &bearer)])).await;
        assert!(slow.head().await.starts_with("http/1.1 200 "));
        assert!(slow.message().await.frame.is("welcome"));
        let mut quick = listen(&stack, SMALL, &anna).stream().await.unwrap();

        // The ring is full and the gateway's own buffers have grown once this has passed.
        flood(&stack, "slow-sse", &mut quick, 200).await;
        let before = memory(gateway);
        let last = flood(&stack, "slow-sse", &mut quick, EVENTS).await;
        let grown = memory(gateway).saturating_sub(before);
        assert!(grown < (EVENTS * TEXT / 4) as u64, "grown by {grown} bytes");

        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            let message = slow.message().await;
            if message.frame.is("event") {
                let seq = message.frame.seq().unwrap();
                assert!(message.id.is_some_and(|id| id.ends_with(&format!(":{seq}"))));
                seqs.push(seq);
            }
        }
        assert_eq!(seqs, Vec::from_iter(1..=last), "everything, in order, once");
    });
}

/// An answer is as long under way as its reader needs: a phone on a bad network takes seconds for a quarter megabyte.
#[test]
fn i6_a_slow_reader_of_a_poll_gets_its_answer_whole() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("slow-poll", "anna");
        ten(&stack, "slow-poll").await;
        let last = ten(&stack, "slow-poll").await;
        let bearer = format!("Bearer {}", token(&stack, &anna));
        let mut slow = Plain::narrow(stack.gateway(PLAIN).addr()).await;
        slow.send(&request("GET", "/v1/poll?since=0", &[("Authorization", &bearer)])).await;
        assert!(slow.head().await.starts_with("http/1.1 200 "));
        let mut body = Vec::new();
        // About 50 kB a second.
        while let Some(part) = slow.some(4 * 1024).await {
            body.extend(part);
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        let polled = Polled::read(&body).unwrap_or_else(|error| panic!("{error} after {} bytes", body.len()));
        assert!((2..=last).contains(&polled.cursor.seq), "{:?}", polled.cursor);
        assert_eq!(polled.events.len() as u64, polled.cursor.seq, "from the first on");
    });
}
