//! Connections that end in the middle of something, or before they began.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::wire::raw::{CLOSE, PING, Raw, TEXT, TEXT_BEGINS, frame, handshake, head};
use crate::wire::{PATIENCE, block_on, claims, token};
use crate::{DEPARTURES, nobody_is_remembered, stack, undisturbed};

/// Where the storm breaks off.
async fn vanish(addr: SocketAddr, token: &str, n: usize) {
    let bearer = format!("Bearer {token}");
    let hello = handshake("/v1/ws", &[("Authorization", &bearer)]);
    let mut raw = Raw::connect(addr).await;
    match n % 10 {
        // Before a word, and within the request.
        0 => {}
        1 => drop(raw.send(&hello[..hello.len() / 2]).await),
        // Right behind the request, with and without a reset.
        2 => drop(raw.send(&hello).await),
        3 => {
            raw.send(&hello).await;
            return raw.reset();
        }
        // After the upgrade, before the first frame.
        4 => {
            raw.send(handshake("/v1/ws", &[])).await;
            raw.answer().await;
        }
        5 => {
            let mut raw = Raw::member(addr, token).await;
            raw.send(&frame(TEXT, br#"{"type":"ping"}"#)[..9]).await;
            return raw.reset();
        }
        6 => {
            let mut raw = Raw::member(addr, token).await;
            raw.send([head(TEXT, 60_000), vec![b'x'; 20_000]].concat()).await;
            return raw.reset();
        }
        7 => {
            let mut raw = Raw::member(addr, token).await;
            raw.frame(TEXT_BEGINS, b"{").await;
            return drop(raw);
        }
        // With answers on the way.
        8 => {
            let mut raw = Raw::member(addr, token).await;
            raw.send(
                [
                    frame(PING, b"x").repeat(50),
                    frame(TEXT, br#"{"type":"subscribe","channel":"tenant","history":1000}"#),
                ]
                .concat(),
            )
            .await;
            return raw.reset();
        }
        _ => {
            let mut raw = Raw::member(addr, token).await;
            raw.frame(CLOSE, 1000u16.to_be_bytes()).await;
            return raw.reset();
        }
    }
    drop(raw);
}

#[test]
fn i10_five_hundred_that_connect_and_vanish_leave_nothing_behind() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(DEPARTURES).addr();
        // In the bystanders' tenant: events are on their way to those who vanish.
        let token = token(&stack, &claims(&format!("of-{}", stack.gateway(DEPARTURES).name()), "ghost"));
        undisturbed(&stack, DEPARTURES, async {
            for storm in 0..10 {
                join_all((0..50).map(|n| vanish(addr, &token, storm + n))).await;
            }
        })
        .await;
        nobody_is_remembered(stack.gateway(DEPARTURES)).await;

        // A half-closed socket has said its last word, whatever it still would like to hear.
        let mut ended = Vec::new();
        for farewell in [&b""[..], &frame(CLOSE, b""), &frame(TEXT, b"{")[..3]] {
            let mut raw = Raw::member(addr, &token).await;
            raw.send(farewell).await;
            raw.stream.shutdown().await.unwrap();
            ended.push(async move { raw.until_gone(PATIENCE).await });
        }
        assert!(join_all(ended).await.into_iter().all(|gone| gone), "the gateway closes its half");
        crate::wire::connections_become(stack.gateway(DEPARTURES), 0.0).await;
    });
}
