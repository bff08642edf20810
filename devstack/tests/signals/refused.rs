//! What is refused, and how is that told?

use super::{PATIENCE, join, moved, next_signal, open_pages, set, signals_until_now, stack, typing};
use crate::wire::{ask, block_on};
use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::KeyTenant;
use serde_json::{Value, json};
use std::time::Duration;

fn publish(channel: &str, event: Value) -> Value {
    json!({"type": "publish", "id": 1, "channel": channel, "event": event})
}

fn assert_refused(answer: &Frame, code: &str, word: &str) {
    let message = answer.text("message").unwrap_or_default();
    assert!(answer.code() == Some(code) && message.contains(word), "{code}, {word}: {answer:?}");
    assert_eq!(answer.0["id"], 1, "{answer:?}");
}

#[test]
fn what_no_rule_allows_and_bad_input_are_refused_by_name() {
    block_on(async {
        let stack = stack().await;
        let tenant = "refused";
        open_pages(&stack, tenant).await;
        set(&stack, tenant, "typed:{t}", json!({"publish": ["anyone"], "client_types": ["cursor.*"]})).await;
        set(&stack, tenant, "heads:{t}", json!({"publish": ["role:head"], "signal": ["role:head"]})).await;
        set(
            &stack,
            tenant,
            "silent:{t}",
            json!({"subscribe": ["anyone"], "signal": ["anyone"], "typing": false}),
        )
        .await;
        let mut mila = join(&stack, 0, tenant, "mila", "page:1").await;
        let mut ana = join(&stack, 1, tenant, "ana", "page:1").await;
        let large = "x".repeat(16 * 1024);
        let note = json!({"type": "note"});
        for (frame, code, word) in [
            (publish("order:1", note.clone()), "forbidden", "no rule"),
            (publish("tenant", note.clone()), "forbidden", "no rule"),
            (publish("heads:1", note.clone()), "forbidden", "heads:1"),
            (publish("typed:1", note.clone()), "forbidden", "type note"),
            (
                publish("page:1", json!({"type": "typing", "data": {"state": "start"}})),
                "forbidden",
                "frame of its own",
            ),
            (publish("page:1", json!({"type": "a", "data": large})), "too_large", "16384"),
            (publish("page:1", json!({"type": "a b"})), "invalid_frame", "type"),
            (publish("page:1", json!(["a"])), "invalid_frame", "object"),
            (json!({"type": "publish", "id": 1, "event": note}), "invalid_frame", "channel"),
            (
                json!({"type": "publish", "id": 1, "channel": "page:1", "event": note, "ephemeral": false}),
                "forbidden",
                "log",
            ),
            (
                json!({"type": "typing", "id": 1, "channel": "page:1", "state": "maybe"}),
                "invalid_frame",
                "start or stop",
            ),
            (json!({"type": "typing", "id": 1, "state": "start"}), "invalid_frame", "channel"),
            (
                json!({"type": "typing", "id": 1, "channel": "page:2", "state": "start"}),
                "not_subscribed",
                "page:2",
            ),
            (
                json!({"type": "typing", "id": 1, "channel": "heads:1", "state": "start"}),
                "forbidden",
                "heads:1",
            ),
            (
                json!({"type": "typing", "id": 1, "channel": "silent:1", "state": "start"}),
                "forbidden",
                "no typing",
            ),
        ] {
            assert_refused(&ask(&mut mila, frame).await, code, word);
        }
        assert!(
            signals_until_now(&stack, tenant, "page:1", &mut ana).await.is_empty(),
            "nothing was passed on"
        );
        // What an old client sends.
        mila.send_json(&json!({"type": "TYPING_START", "data": {"room": "page:1"}})).await.unwrap();
        let signal = next_signal(&mut ana).await;
        assert_eq!(signal.event(), &json!({"type": "typing", "data": {"state": "start"}}));
        mila.close().await;
        ana.close().await;
    });
}

#[test]
fn a_rule_that_is_withdrawn_ends_publishing_within_seconds() {
    block_on(async {
        let stack = stack().await;
        let tenant = "withdrawn-publishing";
        open_pages(&stack, tenant).await;
        let mut mila = join(&stack, 0, tenant, "mila", "page:1").await;
        assert!(ask(&mut mila, moved("page:1", 1)).await.is("ok"));
        set(&stack, tenant, "page:{page}", json!({"subscribe": ["anyone"]})).await;
        let began = std::time::Instant::now();
        let (mut publishes, mut types) = (true, true);
        while publishes || types {
            assert!(began.elapsed() < Duration::from_secs(10), "the rule is not followed");
            publishes = ask(&mut mila, moved("page:1", 1)).await.code() != Some("forbidden");
            types = ask(&mut mila, typing("page:1", "start")).await.code() != Some("forbidden");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        mila.close().await;
    });
}

#[test]
fn more_than_the_rate_is_told_when_to_try_again_and_typing_does_not_count() {
    block_on(async {
        let stack = stack().await;
        let tenant = "rate";
        let anyone = json!(["anyone"]);
        let rule = json!({"subscribe": anyone, "publish": anyone, "signal": anyone, "rate": 2});
        set(&stack, tenant, "page:{page}", rule).await;
        let mut mila = join(&stack, 0, tenant, "mila", "page:1").await;
        let mut tab = join(&stack, 0, tenant, "mila", "page:1").await;
        let mut retry_ms = None;
        for n in 0..20 {
            // Two connections of one person to one node have one rate.
            let socket = if n % 2 == 0 { &mut mila } else { &mut tab };
            let answer = ask(socket, moved("page:1", n)).await;
            if answer.code() == Some("rate_limited") {
                retry_ms = answer.number("retry_ms");
                assert!(n >= 2, "{answer:?}");
                break;
            }
            assert!(answer.is("ok"), "{answer:?}");
        }
        let retry_ms = retry_ms.expect("20 at once are more than 2 a second");
        assert!((1..=500).contains(&retry_ms), "{retry_ms}");
        assert!(ask(&mut mila, typing("page:1", "start")).await.is("ok"));
        assert!(ask(&mut mila, moved("page:2", 1)).await.is("ok"), "another channel");
        let mut ana = join(&stack, 0, tenant, "ana", "page:1").await;
        assert!(ask(&mut ana, moved("page:1", 1)).await.is("ok"), "another person");
        tokio::time::sleep(Duration::from_millis(retry_ms)).await;
        assert!(ask(&mut mila, moved("page:1", 1)).await.is("ok"), "when it was told to");
        for socket in [mila, tab, ana] {
            socket.close().await;
        }
    });
}

#[test]
fn an_api_key_sends_only_with_the_scope_publish() {
    block_on(async {
        let stack = stack().await;
        let tenant = "keys";
        open_pages(&stack, tenant).await;
        let mut ana = join(&stack, 1, tenant, "ana", "page:1").await;
        for (scopes, may) in [(&["read"][..], false), (&["read", "publish"], true)] {
            let key = stack.create_api_key(KeyTenant::One(tenant), scopes).await.unwrap();
            let mut service = Socket::open(&Connect::new(stack.gateway(0).ws_url(), key)).await.unwrap().0;
            let answer = ask(&mut service, publish("page:1", json!({"type": "note"}))).await;
            if may {
                assert!(answer.is("ok"), "{answer:?}");
            } else {
                assert_refused(&answer, "missing_scope", "publish");
            }
            service.close().await;
        }
        let signal = ana.next_of("signal", PATIENCE).await.unwrap();
        assert!(signal.text("from").is_some_and(|from| from.starts_with("key:")), "{signal:?}");
        ana.close().await;
    });
}
