//! What does a gateway say when nothing happens, and what if the client says nothing?

use std::sync::Arc;
use std::time::{Duration, Instant};

use carillon_devstack::client::resume::{Follow, Happening, Resuming};
use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use carillon_devstack::stack::Stack;
use carillon_devstack::wait;
use serde_json::json;

use crate::wire::raw::{CLOSE, PONG, Raw, Seen};
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

/// What clients hear over five heartbeats and more, by how long their pongs take. The last one answers nothing: it hears
/// what it hears before it is given up.
#[test]
fn a_page_hears_its_cursor_once_a_heartbeat_however_fast_its_pongs_are() {
    block_on(async {
        let stack = stack().await;
        let begun = Instant::now();
        let listeners: Vec<_> = [Some(0), Some(3), Some(15), Some(40), Some(200), None]
            .into_iter()
            .enumerate()
            .map(|(number, pong_ms)| tokio::spawn(listen(stack.clone(), number, pong_ms)))
            .collect();
        // Meanwhile things happen that are for somebody else.
        let (mut unseen, mut pace) = (0, tokio::time::interval(Duration::from_millis(20)));
        while begun.elapsed() < Duration::from_millis(3 * HEARTBEAT_MS) {
            pace.tick().await;
            unseen = publish(&stack, "paced", &["user:bob"], json!({})).await.seq;
        }
        for listener in listeners {
            let (pong_ms, cursors, mut gaps) = listener.await.unwrap();
            // One of them a machine with other things to do may make longer.
            gaps.sort_unstable();
            gaps.pop();
            let most = Duration::from_millis(2 * HEARTBEAT_MS);
            assert!(
                gaps.iter().all(|gap| *gap < most),
                "a client reconnects after {most:?} of silence; pongs after {pong_ms:?} ms: {gaps:?}"
            );
            assert!(cursors.is_sorted(), "pongs after {pong_ms:?} ms: {cursors:?}");
            if pong_ms.is_some() {
                assert!(cursors.last() == Some(&unseen), "pongs after {pong_ms:?} ms: {cursors:?}, {unseen}");
            }
        }
    });
}

/// The cursors one client hears, until it has heard enough heartbeats or is given up, and the silence before each.
async fn listen(
    stack: Arc<Stack>,
    number: usize,
    pong_ms: Option<u64>,
) -> (Option<u64>, Vec<u64>, Vec<Duration>) {
    let user = claims("paced", &format!("anna-{number}"));
    let mut raw = Raw::member(stack.gateway(QUICK).addr(), &token(&stack, &user)).await;
    let (mut told, mut cursors, mut gaps, mut pings) = (Instant::now(), Vec::new(), Vec::new(), 0);
    while cursors.len() < 8 {
        match raw.seen().await {
            Seen::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(frame["type"], "heartbeat", "nothing else is for it: {text}");
                gaps.push(told.elapsed());
                (told, pings) = (Instant::now(), 0);
                cursors.push(frame["seq"].as_u64().unwrap());
            }
            Seen::Ping(payload) => {
                pings += 1;
                assert_eq!(pings, 1, "two pings and no heartbeat between them; pongs after {pong_ms:?} ms");
                if let Some(pong_ms) = pong_ms {
                    tokio::time::sleep(Duration::from_millis(pong_ms)).await;
                    raw.frame(PONG, payload).await;
                }
            }
            Seen::Close(code, reason) => {
                assert!(pong_ms.is_none() && code == 4408, "{code} {reason}; pongs after {pong_ms:?} ms");
                assert!(cursors.len() >= 2, "{cursors:?}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    (pong_ms, cursors, gaps)
}

#[test]
fn a_client_that_keeps_to_the_rule_of_silence_never_leaves_a_quiet_tenant() {
    block_on(async {
        let stack = stack().await;
        let token = token(&stack, &claims("silent-tenant", "anna"));
        let mut resuming = Resuming::new(Follow::new([stack.gateway(QUICK).ws_url()], token));
        let mut heartbeats = 0;
        while heartbeats < 6 {
            match resuming.next().await {
                Happening::Connected { after, .. } => assert_eq!(after, None, "it was there already"),
                Happening::Other(frame) if frame.is("heartbeat") => heartbeats += 1,
                other => panic!("after {heartbeats} heartbeats: {other:?}"),
            }
        }
        resuming.close().await;
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

/// A library with a small limit stops at the same event whenever it resumes: its operators must hear why.
#[test]
fn whoever_finds_an_event_too_big_is_told_what_a_frame_may_have() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(QUICK);
        let (_, welcome) = open(&stack, gateway, &claims("large", "anna")).await;
        let most = welcome.limits["frame_bytes"].as_u64().unwrap();
        let counted =
            || async { gateway.metric("carillon_frames_too_big_for_client_total").await.unwrap_or(0.0) };
        let before = counted().await;
        for (code, is_told) in [(1009_u16, true), (1000, false)] {
            let mut raw = Raw::member(gateway.addr(), &token(&stack, &claims("large", "anna"))).await;
            raw.frame(CLOSE, code.to_be_bytes()).await;
            let (answered, reason) = raw.closed().await;
            assert_eq!((answered, reason.contains(&most.to_string())), (1000, is_told), "{reason}");
        }
        // Counted beside what the client is sent, not before it.
        let all = || async { (counted().await > before).then_some(()) };
        wait::until("it being counted", PATIENCE, all).await.unwrap();
        assert_eq!(counted().await, before + 1.0);
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
