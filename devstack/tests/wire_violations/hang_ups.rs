//! Cursors that are refused, and clients that do not wait to hear so.
//!
//! After a change of epoch every client comes with a cursor that must be refused. Whoever hangs up in that moment, at any
//! point, must cost nobody else anything: least of all the process.

use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::wire::raw::{Raw, TEXT, frame, handshake};
use crate::wire::{PATIENCE, block_on, claims, connections_become, token};
use crate::{FRAMING, HANG_UPS, nobody_is_remembered, stack, undisturbed};

/// What a client asks for, and in which form.
const REQUESTS: [&str; 5] = [
    "/v1/ws?since=1&epoch=other",
    "/v1/ws?since=0",
    "/v1/sse?since=1&epoch=other",
    "/v1/poll?since=1&epoch=other",
    "/v1/poll?wait=50",
];

/// Connects, asks, and is gone: at once or when the answer has begun, with a reset or without.
async fn hang_up(addr: SocketAddr, token: &str, n: usize) {
    let (request, way) = (n % (REQUESTS.len() + 2), n / (REQUESTS.len() + 2));
    let mut raw = Raw::connect(addr).await;
    match REQUESTS.get(request) {
        Some(path) => {
            let hello = handshake(path, &[("Authorization", &format!("Bearer {token}"))]);
            let early = if path.starts_with("/v1/ws") { &[0x81][..] } else { &[] };
            raw.send([hello.as_bytes(), early].concat()).await;
        }
        // The token comes as the first frame, behind a cursor that is refused or that is not.
        None => {
            let cursor = ["since=1&epoch=other", "since=0"][request - REQUESTS.len()];
            let auth = json!({"type": "auth", "token": token}).to_string();
            let hello = handshake(&format!("/v1/ws?{cursor}"), &[]);
            raw.send([hello.as_bytes(), &frame(TEXT, auth.as_bytes())].concat()).await;
        }
    }
    match way % 5 {
        0 => raw.reset(),
        1 => drop(raw),
        2 => {
            tokio::task::yield_now().await;
            raw.reset();
        }
        3 => {
            // The answer has begun.
            let mut one = [0; 1];
            drop(
                tokio::time::timeout(PATIENCE, tokio::io::AsyncReadExt::read(&mut raw.stream, &mut one))
                    .await,
            );
            raw.reset();
        }
        _ => {
            drop(tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await);
            raw.reset();
        }
    }
}

#[test]
fn whoever_hangs_up_on_a_refused_cursor_takes_nobody_along() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(HANG_UPS);
        let pid = gateway.process().pid();
        undisturbed(&stack, HANG_UPS, async {
            for storm in 0..20 {
                let all = (0..35).map(|n| {
                    // A tenant that nobody else is in: its room goes with its only connection.
                    let token = token(&stack, &claims(&format!("gone-{storm}-{n}"), "ghost"));
                    async move { hang_up(gateway.addr(), &token, n).await }
                });
                join_all(all).await;
            }
        })
        .await;
        assert_eq!(gateway.process().pid(), pid);
        connections_become(gateway, 0.0).await;
        nobody_is_remembered(gateway).await;
    });
}

#[test]
fn frames_right_behind_the_handshake_are_answered_in_order_whatever_their_size() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(FRAMING).addr();
        for (count, size) in [(5, 20), (20, 300), (40, 1_000), (120, 1_000), (6, 20_000)] {
            let token = token(&stack, &claims("early", "bird"));
            let ping = |n: usize| json!({"type": "ping", "id": n, "data": "x".repeat(size)}).to_string();
            let frames: Vec<u8> = (0..count).flat_map(|n| frame(TEXT, ping(n).as_bytes())).collect();
            // With a token in the header, and with one as the first frame.
            let bearer = format!("Bearer {token}");
            let auth = frame(TEXT, json!({"type": "auth", "token": token}).to_string().as_bytes());
            for (headers, first) in [(&[("Authorization", bearer.as_str())][..], &[][..]), (&[], &auth)] {
                if !first.is_empty() && count * size > 60_000 {
                    // More than may wait while a token is checked.
                    continue;
                }
                let mut raw = Raw::connect(addr).await;
                let request = handshake("/v1/ws", headers);
                // All of it at once, without a look at what is answered.
                assert!(raw.send([request.as_bytes(), first, &frames].concat()).await);
                assert_eq!(raw.answer().await.map(|answer| answer.status), Some(101));
                assert_eq!(raw.json().await["type"], "welcome");
                for n in 0..count {
                    let pong: Value = raw.json().await;
                    assert_eq!(
                        (&pong["type"], &pong["id"]),
                        (&json!("pong"), &json!(n)),
                        "{count} of {size}"
                    );
                }
            }
        }
    });
}
