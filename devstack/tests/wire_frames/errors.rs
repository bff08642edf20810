//! Which frames are answered with an error, and does everything else stay as it was?

use carillon_devstack::client::socket::Socket;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::wire::{PATIENCE, ask, block_on, claims, client, events_to, open, publish, seqs, set};
use crate::{PLAIN, stack};

/// The error a text gets.
async fn error_of(socket: &mut Socket, text: &str) -> Value {
    socket.send(Message::text(text)).await.unwrap();
    let frame = socket.next_frame(PATIENCE).await.unwrap();
    assert!(frame.is("error"), "{text}: {frame:?}");
    assert!(
        frame.text("message").is_some_and(|message| !message.is_empty() && message.len() < 400),
        "{frame:?}"
    );
    frame.0
}

#[test]
fn a_bad_frame_is_answered_with_an_error_that_names_it_and_the_connection_stays() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("errors", "anna").channels(["*"]);
        let (mut socket, _) = open(&stack, stack.gateway(PLAIN), &anna).await;
        let none = Value::Null;
        let one = json!(1);
        let long_id = format!(r#"{{"type":"ping","id":"{}"}}"#, "i".repeat(127));
        let long_type = format!(r#"{{"type":"{}","id":1}}"#, "t".repeat(60_000));
        for (text, code, id) in [
            ("", "invalid_json", &none),
            ("{", "invalid_json", &none),
            ("hello", "invalid_json", &none),
            (r#"{"type":"ping"} {"type":"ping"}"#, "invalid_json", &none),
            (r#"{"type":"ping",}"#, "invalid_json", &none),
            ("\u{feff}{\"type\":\"ping\"}", "invalid_json", &none),
            ("[]", "invalid_frame", &none),
            ("null", "invalid_frame", &none),
            ("42", "invalid_frame", &none),
            ("\"ping\"", "invalid_frame", &none),
            ("{}", "invalid_frame", &none),
            (r#"{"id":1}"#, "invalid_frame", &one),
            (r#"{"type":null,"id":1}"#, "invalid_frame", &one),
            (r#"{"type":7,"id":1}"#, "invalid_frame", &one),
            (r#"{"type":["ping"],"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"ping","id":{}}"#, "invalid_frame", &none),
            (r#"{"type":"ping","id":[1]}"#, "invalid_frame", &none),
            (&long_id, "invalid_frame", &none),
            (r#"{"type":"","id":1}"#, "unknown_type", &one),
            (r#"{"type":"welcome","id":1}"#, "unknown_type", &one),
            (r#"{"type":"ping ","id":1}"#, "unknown_type", &one),
            (&long_type, "unknown_type", &one),
            (r#"{"type":"subscribe","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channels":[],"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channels":"a","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channels":["a",1],"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"a b","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"user:","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"a","history":-1,"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"a","history":1001,"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"a","history":"5","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"a","history":1,"since":1,"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"subscribe","channel":"a","since":1,"epoch":"a b","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"unsubscribe","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"auth","id":1}"#, "invalid_frame", &one),
            (r#"{"type":"auth","token":5,"id":1}"#, "invalid_frame", &one),
            (r#"{"type":"auth","token":"","id":1}"#, "token_missing", &one),
            (r#"{"type":"auth","token":"a.b.c","id":1}"#, "token_malformed", &one),
        ] {
            let error = error_of(&mut socket, text).await;
            let start = &text[..text.len().min(80)];
            assert_eq!((error["code"].as_str(), &error["id"]), (Some(code), id), "{start}: {error}");
        }
        socket.send(Message::binary(b"{\"type\":\"ping\"}".to_vec())).await.unwrap();
        let error = socket.next_frame(PATIENCE).await.unwrap();
        assert_eq!(error.code(), Some("invalid_frame"), "{error:?}");
        let pong = ask(&mut socket, json!({"type": "ping", "id": "alive"})).await;
        assert!(pong.is("pong"));
        socket.close().await;
    });
}

#[test]
fn a_forbidden_channel_is_named_and_nothing_is_half_done() {
    block_on(async {
        let stack = stack().await;
        let tenant = "forbidden";
        let anna = claims(tenant, "anna").roles(["staff"]).channels(["contact:*", "lead:7"]);
        let (mut socket, _) = open(&stack, stack.gateway(PLAIN), &anna).await;
        for (asked, named) in [
            (&["contact:1", "lead:8"][..], &["lead:8"][..]),
            (&["lead:77", "contact:1", "user:bob", "role:admin"], &["lead:77", "user:bob", "role:admin"]),
            (&["contact", "contact:1"], &["contact"]),
            (&["tenant:x", "contact:1"], &["tenant:x"]),
            (&["CONTACT:1"], &["CONTACT:1"]),
        ] {
            let request = json!({"type": "subscribe", "channels": asked, "history": 5, "id": "s"});
            let error = ask(&mut socket, request).await;
            assert_eq!(error.code(), Some("forbidden"), "{error:?}");
            assert_eq!(error.channels(), named, "{error:?}");
        }
        publish(&stack, tenant, &["contact:1", "lead:8"], json!({})).await;
        let marker = publish(&stack, tenant, &["tenant"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, marker).await), [marker], "not even the allowed one");
        let ok = ask(&mut socket, json!({"type": "subscribe", "channels": ["contact:1", "lead:7"], "id": 1}))
            .await;
        assert!(ok.is("ok"), "{ok:?}");
        socket.close().await;
    });
}

#[test]
fn i10_a_connection_has_room_for_a_thousand_channels_and_not_one_more() {
    block_on(async {
        let stack = stack().await;
        let tenant = "crowded";
        let anna = claims(tenant, "anna").channels(["*"]);
        let (mut socket, welcome) = open(&stack, stack.gateway(PLAIN), &anna).await;
        assert_eq!(welcome.channels.len(), 2);
        let names = |from: u32, to: u32| -> Vec<String> { (from..to).map(|n| format!("c:{n}")).collect() };
        let error =
            ask(&mut socket, json!({"type": "subscribe", "channels": names(0, 1_001), "id": 1})).await;
        assert_eq!(error.code(), Some("invalid_frame"), "{error:?}");
        let error = ask(&mut socket, json!({"type": "subscribe", "channels": names(0, 999), "id": 1})).await;
        assert_eq!(error.code(), Some("too_many_channels"), "{error:?}");
        let ok = ask(&mut socket, json!({"type": "subscribe", "channels": names(0, 998), "id": 2})).await;
        assert_eq!(set(ok.channels()), set(names(0, 998)));
        let error = ask(&mut socket, json!({"type": "subscribe", "channel": "c:998", "id": 3})).await;
        assert_eq!(error.code(), Some("too_many_channels"), "{error:?}");
        let ok = ask(&mut socket, json!({"type": "subscribe", "channel": "c:5", "id": 4})).await;
        assert!(ok.is("ok"), "one it is in costs nothing: {ok:?}");
        let first = publish(&stack, tenant, &["c:998"], json!({})).await.seq;
        let second = publish(&stack, tenant, &["c:997"], json!({})).await.seq;
        assert!(first < second);
        assert_eq!(seqs(&events_to(&mut socket, second).await), [second]);
        for (count, fits) in [(998, true), (999, false)] {
            let wanted = client(&stack, stack.gateway(PLAIN), &anna).channels(names(0, count));
            let outcome = Socket::open(&wanted).await.map(|(_, welcome)| welcome.channels.len());
            match outcome {
                Ok(channels) => assert!(fits && channels == 1_000, "{channels}"),
                Err(error) => {
                    assert!(!fits && error.to_string().contains("400 too_many_channels"), "{error}")
                }
            }
        }
        ask(&mut socket, json!({"type": "unsubscribe", "channels": ["c:0"], "id": 5})).await;
        let ok = ask(&mut socket, json!({"type": "subscribe", "channel": "c:998", "id": 6})).await;
        assert!(ok.is("ok"), "a place that was left is free: {ok:?}");
        socket.close().await;
    });
}
