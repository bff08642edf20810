//! A client whose library takes smaller messages than an event comes back to it for ever: is it told?

use std::sync::{Mutex, MutexGuard, PoisonError};

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::stack::Stack;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::wire::raw::{CLOSE, Raw};
use crate::wire::{PATIENCE, block_on, claims, client, events_to, open, publish, token};
use crate::{PLAIN, stack};

/// What the library of this client takes at most: coder/websocket's default.
const TAKES: usize = 32 * 1024;
/// What the event has that does not fit.
const LARGE: usize = 40_000;

/// They share a gateway, and what it counts.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn warning(seq: u64) -> String {
    format!("stuck at seq {seq}: raise your client's message limit to limits.frame_bytes (98304)")
}

async fn stuck(stack: &Stack) -> f64 {
    stack.gateway(PLAIN).metric("carillon_stuck_cursors_total").await.unwrap()
}

/// Comes with a cursor, reads with a library of this limit until that fails or the cursor is `upto`, and goes as the
/// library does. Answers the warning of the welcome.
async fn visit(stack: &Stack, user: &str, cursor: &mut u64, takes: usize, upto: u64) -> Option<String> {
    let url = format!("{}?since={cursor}&device=phone", stack.gateway(PLAIN).ws_url());
    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", token(stack, &claims("stuck", user)));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let config = WebSocketConfig::default().max_message_size(Some(takes)).max_frame_size(Some(takes));
    let (mut socket, _) = connect_async_with_config(request, Some(config), true).await.unwrap();
    let mut told = None;
    while *cursor < upto {
        match socket.next().await.unwrap() {
            Ok(Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                *cursor = frame["seq"].as_u64().unwrap_or(*cursor);
                if frame["type"] == "welcome" {
                    told = frame["warning"].as_str().map(str::to_owned);
                }
            }
            Ok(_) => {}
            Err(Error::Capacity(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // Whoever comes next comes after the gateway has noticed this.
    let stream = socket.get_mut();
    drop(stream.shutdown().await);
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await);
    told
}

#[test]
fn a_cursor_that_ends_three_times_at_one_event_is_told_so() {
    let _alone = alone();
    block_on(async {
        let stack = stack().await;
        let first = publish(&stack, "stuck", &["tenant"], json!({})).await.seq;
        let large = publish(&stack, "stuck", &["tenant"], json!({ "text": "x".repeat(LARGE) })).await.seq;
        let last = publish(&stack, "stuck", &["tenant"], json!({})).await.seq;
        let before = stuck(&stack).await;
        let mut cursor = first - 1;
        let mut warnings = Vec::new();
        // The first time it gets one event and stops at the next; from then on it comes back to that one.
        for _ in 0..6 {
            warnings.push(visit(&stack, "anna", &mut cursor, TAKES, last).await);
            assert_eq!(cursor, first, "it does not get past");
        }
        assert_eq!(warnings[..4], [None, None, None, None]);
        assert_eq!(warnings[4..], [Some(warning(large)), Some(warning(large))]);
        assert_eq!(stuck(&stack).await - before, 1.0, "counted once");

        // Somebody else with the same cursor, and a library that takes all, are not told; nor is anna once hers does.
        let mut fine = first;
        assert_eq!(visit(&stack, "bob", &mut fine, 1 << 20, last).await, None);
        let _ = visit(&stack, "anna", &mut cursor, 1 << 20, last).await;
        assert_eq!((fine, cursor), (last, last));
        assert_eq!(visit(&stack, "anna", &mut cursor.clone(), 1 << 20, last).await, None);
    });
}

#[test]
fn a_client_that_closes_with_1009_hears_it_in_the_answer() {
    let _alone = alone();
    block_on(async {
        let stack = stack().await;
        let large = publish(&stack, "stuck-too", &["tenant"], json!({ "text": "x".repeat(LARGE) })).await.seq;
        let path =
            format!("/v1/ws?since={}&token={}", large - 1, token(&stack, &claims("stuck-too", "anna")));
        for times in 1..=4 {
            let mut raw = Raw::upgrade(stack.gateway(PLAIN).addr(), &path, &[]).await.unwrap();
            let welcome = raw.json().await;
            assert_eq!(welcome["warning"].as_str(), (times > 3).then(|| warning(large)).as_deref());
            assert_eq!(raw.json().await["seq"], large);
            raw.frame(CLOSE, 1009_u16.to_be_bytes()).await;
            let (code, reason) = raw.closed().await;
            assert_eq!(code, 1000);
            assert_eq!(reason == warning(large), times >= 3, "the {times}. time: {reason}");
        }
    });
}

#[test]
fn who_reads_the_same_past_again_and_goes_in_order_is_not_stuck() {
    let _alone = alone();
    block_on(async {
        let stack = stack().await;
        let large = publish(&stack, "again", &["tenant"], json!({ "text": "x".repeat(LARGE) })).await.seq;
        let before = stuck(&stack).await;
        let anna = claims("again", "anna");
        for _ in 0..5 {
            let wanted =
                client(&stack, stack.gateway(PLAIN), &anna).since(Cursor { seq: large - 1, epoch: None });
            let (mut socket, _) = carillon_devstack::client::socket::Socket::open(&wanted).await.unwrap();
            assert_eq!(events_to(&mut socket, large).await.len(), 1);
            socket.close().await;
        }
        // And one whose connection breaks at small events, five times.
        let small = publish(&stack, "again", &["tenant"], json!({})).await.seq;
        let path = format!("/v1/ws?since={}&token={}", small - 1, token(&stack, &anna));
        for _ in 0..5 {
            let mut raw = Raw::upgrade(stack.gateway(PLAIN).addr(), &path, &[]).await.unwrap();
            assert_eq!(raw.json().await["warning"], Value::Null);
            assert_eq!(raw.json().await["seq"], small);
            raw.reset();
        }
        let (_socket, _) = open(&stack, stack.gateway(PLAIN), &anna).await;
        assert_eq!(stuck(&stack).await, before);
    });
}
