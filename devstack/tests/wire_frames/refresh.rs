//! What does a new token change on a live connection, and what happens when none comes?

use std::time::{Duration, Instant};

use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use carillon_devstack::stack::Stack;
use carillon_devstack::token::{Claims, now};
use serde_json::json;

use crate::wire::{PATIENCE, ask, block_on, claims, events_to, frames_refused, open, publish, seqs, token};
use crate::{PLAIN, QUICK, stack};

async fn refresh(
    stack: &Stack,
    socket: &mut Socket,
    claims: &Claims,
) -> carillon_devstack::client::frame::Frame {
    ask(socket, json!({"type": "auth", "token": token(stack, claims), "id": "refresh"})).await
}

#[test]
fn a_token_of_someone_else_or_for_elsewhere_is_refused_and_the_old_one_stays() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("refreshed", "anna").channels(["contact:*"]);
        let (mut socket, _) = open(&stack, stack.gateway(PLAIN), &anna).await;
        let expired = Claims::new("refreshed", "anna", now() - 100, 50);
        for (other, code) in [
            (claims("refreshed", "bob"), "token_mismatch"),
            (claims("elsewhere", "anna"), "tenant_forbidden"),
            (expired, "token_expired"),
        ] {
            let error = refresh(&stack, &mut socket, &other).await;
            assert_eq!(error.code(), Some(code), "{error:?}");
        }
        let ok = ask(&mut socket, json!({"type": "subscribe", "channel": "contact:1", "id": 1})).await;
        assert!(ok.is("ok"), "{ok:?}");
        // Forms of older clients.
        for frame in [
            json!({"type": "AUTH", "data": {"token": token(&stack, &anna)}, "id": 1}),
            json!({"type": "Auth", "token": token(&stack, &anna), "id": 2}),
        ] {
            let ok = ask(&mut socket, frame).await;
            assert!(ok.is("ok"), "{ok:?}");
            assert!(ok.number("expires_in").is_some_and(|left| (3_500..=3_600).contains(&left)), "{ok:?}");
        }
        socket.close().await;
    });
}

#[test]
fn a_new_token_takes_away_what_it_no_longer_allows_and_gives_what_it_adds() {
    block_on(async {
        let stack = stack().await;
        let tenant = "changing";
        let before = claims(tenant, "anna").roles(["staff", "night"]).channels(["contact:*", "lead:*"]);
        let (mut socket, _) = open(&stack, stack.gateway(PLAIN), &before).await;
        let request = json!({"type": "subscribe", "channels": ["contact:1", "lead:1", "lead:2"], "id": 1});
        assert!(ask(&mut socket, request).await.is("ok"));
        let after = claims(tenant, "anna").roles(["staff", "boss"]).channels(["contact:*", "lead:2"]);
        assert!(refresh(&stack, &mut socket, &after).await.is("ok"));

        let mut expected = Vec::new();
        for (channel, heard) in [
            ("contact:1", true),
            ("lead:1", false),
            ("lead:2", true),
            ("role:night", false),
            ("role:boss", true),
            ("role:staff", true),
            ("user:anna", true),
            ("tenant", true),
        ] {
            let seq = publish(&stack, tenant, &[channel], json!({})).await.seq;
            if heard {
                expected.push(seq);
            }
        }
        assert_eq!(seqs(&events_to(&mut socket, *expected.last().unwrap()).await), expected);
        let error = ask(&mut socket, json!({"type": "subscribe", "channel": "lead:1", "id": 1})).await;
        assert_eq!((error.code(), error.channels()), (Some("forbidden"), vec!["lead:1".to_owned()]));
        socket.close().await;
    });
}

#[test]
fn of_tokens_sent_at_once_each_is_answered_and_the_last_that_was_taken_counts() {
    block_on(async {
        let stack = stack().await;
        let tenant = "hasty";
        let (mut socket, _) = open(&stack, stack.gateway(PLAIN), &claims(tenant, "anna")).await;
        let frame = |n| {
            let next = claims(tenant, "anna").channels([format!("only:{n}")]);
            json!({"type": "auth", "token": token(&stack, &next), "id": n})
        };
        for frame in (0..40).map(frame).collect::<Vec<_>>() {
            socket.send_json(&frame).await.unwrap();
        }
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..40 {
            let answer = socket.next_frame(PATIENCE).await.unwrap();
            match answer.kind() {
                "ok" => taken = taken.max(answer.number("id").unwrap()),
                "error" => {
                    assert_eq!(answer.code(), Some("too_many_requests"), "{answer:?}");
                    refused += 1;
                }
                _ => panic!("{answer:?}"),
            }
        }
        let counted = frames_refused(stack.gateway(PLAIN), "too_many_tokens").await;
        assert!(refused > 0 && counted >= f64::from(refused), "{counted} of {refused}");
        for (channel, allowed) in [(taken, true), (taken + 1, false)] {
            let request = json!({"type": "subscribe", "channel": format!("only:{channel}"), "id": "s"});
            let answer = ask(&mut socket, request).await;
            assert_eq!(answer.is("ok"), allowed, "{taken}: {answer:?}");
        }
        socket.close().await;
    });
}

#[test]
fn an_expiring_token_is_announced_and_its_end_is_4401() {
    block_on(async {
        let stack = stack().await;
        let begun = Instant::now();
        let exp = now() + 4;
        let short = Claims { exp, ..claims("expiring", "anna") };
        let mut wanted = Connect::new(stack.gateway(PLAIN).ws_url(), token(&stack, &short));
        wanted.patience = PATIENCE;
        let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
        assert!(welcome.expires_in <= 4);
        let expiring = socket.next_of("expiring", PATIENCE).await.unwrap();
        assert!(expiring.number("in_ms").is_some_and(|left| (1..=2_000).contains(&left)), "{expiring:?}");
        let end = socket.ended(PATIENCE).await;
        assert!(matches!(end, SocketError::Closed { code: 4401, .. }), "{end}");
        assert!(now() >= exp, "not before its time");
        assert!(begun.elapsed() > Duration::from_secs(2));
    });
}

#[test]
fn a_refresh_in_time_keeps_a_connection_alive_and_asks_for_the_next_in_due_time() {
    block_on(async {
        let stack = stack().await;
        let ttl = 6;
        let fresh = || Claims { exp: now() + ttl, ..claims("refreshing", "anna") };
        let begun = Instant::now();
        let (mut socket, _) = open(&stack, stack.gateway(QUICK), &fresh()).await;
        for _ in 0..3 {
            let expiring = socket.next_of("expiring", PATIENCE).await.unwrap();
            // Half of the token's own time, however long the connection has lived with earlier ones.
            let left = expiring.number("in_ms").unwrap();
            assert!(left <= ttl * 1_000 / 2 + 100, "told too early: {left} ms before the end");
            let ok = refresh(&stack, &mut socket, &fresh()).await;
            assert!(ok.is("ok"), "{ok:?}");
            assert!(ok.number("expires_in").is_some_and(|left| left <= ttl), "{ok:?}");
        }
        assert!(begun.elapsed() > Duration::from_secs(ttl), "longer than the first token was valid");
        let marker = publish(&stack, "refreshing", &["tenant"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, marker).await), [marker]);
        socket.close().await;
    });
}
