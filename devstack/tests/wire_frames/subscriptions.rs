//! Which events does a connection get: by itself, after `subscribe`, and after `unsubscribe`?

use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};

use crate::wire::{
    PATIENCE, ask, block_on, claims, client, events_to, open, open_behind, publish, seqs, set,
};
use crate::{PLAIN, stack};

#[test]
fn the_welcome_says_who_where_from_when_and_how_much() {
    block_on(async {
        let stack = stack().await;
        let head = publish(&stack, "welcomed", &["tenant"], json!({})).await;
        let anna = claims("welcomed", "anna").roles(["staff", "night shift"]).channels(["contact:*"]);
        let wanted = client(&stack, stack.gateway(PLAIN), &anna).channels(["contact:7"]);
        let (socket, welcome) = Socket::open(&wanted).await.unwrap();
        assert_eq!(welcome.node, "gateway-1");
        assert!(welcome.connection.starts_with("gateway-1-"), "{}", welcome.connection);
        assert_eq!((welcome.tenant.as_str(), welcome.user.as_str()), ("welcomed", "anna"));
        assert_eq!(welcome.roles, ["staff", "night shift"]);
        assert_eq!(welcome.channels, ["tenant", "user:anna", "role:staff", "role:night shift", "contact:7"]);
        assert_eq!((welcome.seq, &welcome.epoch), (head.seq, &head.epoch));
        assert_eq!((welcome.resumed.as_str(), welcome.heartbeat_ms), ("live", 25_000));
        assert!((3_500..=3_600).contains(&welcome.expires_in), "{}", welcome.expires_in);
        let limits = json!({
            "message_bytes": 65_536, "channels": 1_000, "frames_per_second": 50, "history": 1_000,
            "frame_bytes": 98_304, "signal_bytes": 16_384,
        });
        assert_eq!(welcome.limits, limits);
        let (other, again) = Socket::open(&wanted).await.unwrap();
        assert_ne!(welcome.connection, again.connection);
        socket.close().await;
        other.close().await;
    });
}

#[test]
fn everyone_gets_what_is_for_the_tenant_for_themselves_and_for_their_roles() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("own", "anna").roles(["staff"]);
        let (mut socket, _) = open(&stack, stack.gateway(PLAIN), &anna).await;
        let mut mine = Vec::new();
        for (channels, for_anna) in [
            (&["tenant"][..], true),
            (&["user:anna"], true),
            (&["user:ann", "user:annabel", "user:Anna", "role:anna"], false),
            (&["role:staff"], true),
            (&["role:admin", "role:staf", "user:staff"], false),
            (&["contact:1"], false),
            (&["user:bob", "role:staff"], true),
            (&["tenant"], true),
        ] {
            let seq = publish(&stack, "own", channels, json!({"to": channels})).await.seq;
            if for_anna {
                mine.push(seq);
            }
        }
        assert_eq!(seqs(&events_to(&mut socket, *mine.last().unwrap()).await), mine);
        socket.close().await;
    });
}

#[test]
fn i3_an_event_for_several_channels_of_a_connection_comes_once() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("several", "anna").roles(["staff"]).channels(["*"]);
        let wanted = client(&stack, stack.gateway(PLAIN), &anna).channels(["a:1", "a:2"]);
        let (mut live, _) = Socket::open(&wanted).await.unwrap();
        let ok = ask(&mut live, json!({"type": "subscribe", "channels": ["a:1", "a:3"], "id": 1})).await;
        assert_eq!(set(ok.channels()), set(["a:1", "a:3"]));
        let all = ["tenant", "user:anna", "role:staff", "a:1", "a:2", "a:3", "z:9"];
        let data = json!({"text": "žluťoučký kůň 🔔", "n": 1.5, "deep": [[{"": null}]]});
        let first = publish(&stack, "several", &all, data.clone()).await;
        let last = publish(&stack, "several", &["tenant"], json!({})).await;
        let stayed = events_to(&mut live, last.seq).await;
        // Replayed to somebody who comes back as it was sent to somebody who stayed.
        let mut behind = wanted.clone();
        behind.since = Some(carillon_devstack::client::frame::Cursor::new(first.seq - 1, &first.epoch));
        let (mut behind, welcome) = open_behind(&behind).await;
        assert_eq!((welcome.resumed.as_str(), welcome.seq), ("replay", first.seq - 1));
        for events in [stayed, events_to(&mut behind, last.seq).await] {
            assert_eq!(seqs(&events), [first.seq, last.seq]);
            assert_eq!(set(events[0].channels()), set(all));
            let event = events[0].event();
            assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(first.id)));
            assert_eq!((&event["type"], &event["data"]), (&json!("wire.test"), &data));
            assert!(events[0].0.get("replay").is_none() && events[0].0.get("tenant").is_none());
        }
    });
}

/// Whether a channel's events reach a connection now; the event after it, for everyone, always does.
async fn is_heard(stack: &Stack, socket: &mut Socket, tenant: &str, channel: &str) -> bool {
    let asked = publish(stack, tenant, &[channel], json!({})).await.seq;
    let marker = publish(stack, tenant, &["tenant"], json!({})).await.seq;
    let heard = seqs(&events_to(socket, marker).await);
    assert!(heard == [asked, marker] || heard == [marker], "{heard:?}");
    heard.len() == 2
}

#[test]
fn every_form_of_subscribe_and_unsubscribe_is_understood() {
    block_on(async {
        let stack = stack().await;
        let tenant = "forms";
        let anna = claims(tenant, "anna").channels(["contact:*"]);
        let (mut socket, welcome) = open(&stack, stack.gateway(PLAIN), &anna).await;
        let forms: [fn(&str, Value) -> Value; 8] = [
            |kind, id| json!({"type": kind, "id": id, "channels": ["contact:1"]}),
            |kind, id| json!({"type": kind, "id": id, "channel": "contact:1", "since_when": "unknown fields"}),
            |kind, id| json!({"type": kind, "id": id, "room": "contact:1"}),
            |kind, id| json!({"type": kind, "id": id, "rooms": ["contact:1", "contact:1"]}),
            |kind, id| json!({"type": kind, "id": id, "data": {"room": "contact:1"}}),
            |kind, id| json!({"type": kind, "id": id, "data": {"channels": ["contact:1"]}}),
            |kind, id| json!({"type": kind.to_uppercase(), "id": id, "data": {"room": "contact:1"}}),
            |kind, id| json!({"type": format!("{}{}", kind[..1].to_uppercase(), &kind[1..]), "id": id, "channel": "contact:1"}),
        ];
        for (number, form) in forms.into_iter().enumerate() {
            let ok = ask(&mut socket, form("subscribe", json!(number))).await;
            assert!(ok.is("ok"), "{ok:?}");
            assert_eq!(
                (ok.channels(), ok.epoch()),
                (vec!["contact:1".to_owned()], Some(welcome.epoch.as_str()))
            );
            assert_eq!(ok.seq(), Some(welcome.seq + 4 * number as u64), "live from the cursor on");
            assert!(is_heard(&stack, &mut socket, tenant, "contact:1").await);
            let ok = ask(&mut socket, form("unsubscribe", json!(format!("u{number}")))).await;
            assert!(ok.is("ok") && ok.channels() == ["contact:1"], "{ok:?}");
            assert!(!is_heard(&stack, &mut socket, tenant, "contact:1").await);
        }
        // Leaving where one is not, and leaving one's own.
        let ok = ask(&mut socket, json!({"type": "unsubscribe", "channel": "contact:99", "id": 1})).await;
        assert!(ok.is("ok"), "{ok:?}");
        let ok = ask(&mut socket, json!({"type": "unsubscribe", "channel": "user:anna", "id": 1})).await;
        assert!(ok.is("ok"), "{ok:?}");
        assert!(!is_heard(&stack, &mut socket, tenant, "user:anna").await);
        ask(&mut socket, json!({"type": "subscribe", "channel": "user:anna", "id": 1})).await;
        assert!(is_heard(&stack, &mut socket, tenant, "user:anna").await);
    });
}

#[test]
fn an_answer_carries_the_id_of_its_request_whatever_it_is() {
    block_on(async {
        let stack = stack().await;
        let (mut socket, welcome) = open(&stack, stack.gateway(PLAIN), &claims("ids", "anna")).await;
        for id in [
            json!("a"),
            json!(""),
            json!("quote \" backslash \\ newline \n bell \u{7} 🔔"),
            json!("x".repeat(126)),
            json!(0),
            json!(-1),
            json!(1.25),
            json!(9_007_199_254_740_993_u64),
            json!(u64::MAX),
        ] {
            let pong = ask(&mut socket, json!({"type": "ping", "id": id, "data": {"t": [1, "zwei"]}})).await;
            assert!(pong.is("pong"), "{pong:?}");
            assert_eq!((&pong.0["id"], &pong.0["data"]), (&id, &json!({"t": [1, "zwei"]})));
            assert_eq!(pong.seq(), Some(welcome.seq));
            assert!(pong.number("time").is_some_and(|millis| millis > 1_600_000_000_000), "{pong:?}");
            let error = ask(&mut socket, json!({"type": "dance", "id": id})).await;
            assert_eq!((error.code(), &error.0["id"]), (Some("unknown_type"), &id));
        }
        for frame in [json!({"type": "PING"}), json!({"type": "ping", "id": null})] {
            socket.send_json(&frame).await.unwrap();
            let pong = socket.next_of("pong", PATIENCE).await.unwrap();
            assert!(pong.0.get("id").is_none() && pong.0.get("data").is_none(), "{pong:?}");
        }
    });
}
