//! What does a gateway say when nothing happens, and what if the client says nothing?

use std::time::{Duration, Instant};

use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use serde_json::json;

use crate::wire::raw::{PONG, Raw, Seen};
use crate::wire::{PATIENCE, block_on, claims, open, publish, token};
use crate::{HEARTBEAT_MS, QUICK, stack};

#[test]
fn a_quiet_connection_hears_a_heartbeat_with_its_cursor() {
    block_on(async {
        let stack = stack().await;
        let begun = Instant::now();
        let (mut socket, welcome) = open(&stack, stack.gateway(QUICK), &claims("quiet", "anna")).await;
        assert_eq!(welcome.heartbeat_ms, HEARTBEAT_MS);
        for _ in 0..3 {
            let frame = socket.next_frame(PATIENCE).await.unwrap();
            assert!(frame.is("heartbeat"), "{frame:?}");
            assert_eq!(frame.seq(), Some(welcome.seq));
        }
        assert!(begun.elapsed() >= Duration::from_millis(2 * HEARTBEAT_MS), "{:?}", begun.elapsed());
        // An event this connection does not get moves its cursor all the same: it has been dealt with.
        let unseen = publish(&stack, "quiet", &["user:bob"], json!({})).await.seq;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = socket.next_frame(PATIENCE).await.unwrap();
            assert!(frame.is("heartbeat"), "{frame:?}");
            if frame.seq() == Some(unseen) {
                break;
            }
            assert!(Instant::now() < deadline, "the cursor did not move: {frame:?}");
        }
        socket.close().await;
    });
}

#[test]
fn whoever_answers_no_ping_is_closed_with_4408_and_whoever_does_stays() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(QUICK);
        let begun = Instant::now();
        let mut mute = Raw::member(gateway.addr(), &token(&stack, &claims("mute", "anna"))).await;
        let (mut pings, mut heartbeats) = (0, 0);
        let (code, reason) = loop {
            match mute.seen().await {
                Seen::Ping(_) => pings += 1,
                Seen::Text(text) => {
                    assert!(text.contains("\"heartbeat\""), "{text}");
                    heartbeats += 1;
                }
                Seen::Close(code, reason) => break (code, reason),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((code, pings), (4408, 1), "{reason}");
        assert!(heartbeats >= 1, "what it hears is no sign of what it can say");
        assert!(begun.elapsed() >= Duration::from_millis(2 * HEARTBEAT_MS), "{:?}", begun.elapsed());
        assert!(mute.until_gone(PATIENCE).await);

        // A pong is enough, for as long as one likes: three times what the mute one had.
        let mut brief = Raw::member(gateway.addr(), &token(&stack, &claims("mute", "bob"))).await;
        let mut answered = 0;
        while answered < 8 {
            match brief.seen().await {
                Seen::Ping(payload) => {
                    brief.frame(PONG, payload).await;
                    answered += 1;
                }
                Seen::Text(_) => {}
                other => panic!("after {answered} pongs: {other:?}"),
            }
        }
    });
}

#[test]
fn a_farewell_is_answered() {
    block_on(async {
        let stack = stack().await;
        let wanted = Connect::new(stack.gateway(QUICK).ws_url(), token(&stack, &claims("farewell", "anna")));
        let mut socket = Socket::connect(&wanted).await.unwrap();
        socket.next_of("welcome", PATIENCE).await.unwrap();
        let bye =
            tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4000.into(), reason: "bye".into() };
        socket.send(tokio_tungstenite::tungstenite::protocol::Message::Close(Some(bye))).await.unwrap();
        let end = socket.ended(PATIENCE).await;
        assert!(matches!(end, SocketError::Closed { code: 1000 | 4000, .. }), "{end}");
    });
}
