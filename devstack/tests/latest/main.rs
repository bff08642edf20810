//! Does whoever asks for the latest values hold what the log says, from the first frame on, whatever happens meanwhile?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod rest;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{PATIENCE, Shared, ask, block_on, claims, open, publish, token};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            let mut stack =
                Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
            stack.add_gateway(&wire::variables(&[("CARILLON_RING_EVENTS", "4")])).await.unwrap();
            stack
        })
        .await
}

/// Publishes events as they stand here, in one array; answers their numbers.
async fn post(stack: &Stack, tenant: &str, events: &[Value]) -> Vec<u64> {
    let url = format!("{}/v1/events?tenant={tenant}", stack.publisher(0).url());
    let request = reqwest::Client::new().post(url).json(&events).bearer_auth(stack.api_key());
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, 201, "{body}");
    body.as_array().unwrap().iter().map(|receipt| receipt["seq"].as_u64().unwrap()).collect()
}

fn set(key: &str, channel: &str, data: Value) -> Value {
    json!({"type": "staff.is", "channels": [channel], "key": key, "data": data})
}

/// What a client holds: by channel and key the number and the data of the event.
type Held = BTreeMap<(String, String), (u64, Value)>;

fn take(held: &mut Held, event: &Frame) {
    let Some(key) = event.event()["latestkey"].as_str() else { return };
    for channel in event.channels() {
        let place = (channel, key.to_owned());
        if event.event().get("data") == Some(&Value::Null) {
            held.remove(&place);
        } else {
            held.insert(place, (event.seq().unwrap(), event.event()["data"].clone()));
        }
    }
}

/// Subscribes and reads the latest values to their end: what they are, and from which seq on it is live.
async fn latest(socket: &mut Socket, request: Value) -> (Held, Vec<u64>, u64) {
    let ok = ask(socket, request.clone()).await;
    assert!(ok.is("ok"), "{ok:?}");
    let (mut held, mut seqs) = (Held::new(), Vec::new());
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        if frame.is("heartbeat") {
            continue;
        }
        if frame.is("replayed") {
            assert_eq!((&frame.0["id"], &frame.0["more"]), (&request["id"], &json!(false)), "{frame:?}");
            assert_eq!(frame.number("count"), Some(seqs.len() as u64));
            return (held, seqs, ok.seq().unwrap());
        }
        assert!(frame.is("event") && frame.0["replay"] == request["id"], "before all were told: {frame:?}");
        assert!(frame.seq() > seqs.last().copied() && frame.seq() <= ok.seq(), "{frame:?}");
        seqs.extend(frame.seq());
        take(&mut held, &frame);
    }
}

/// The same, asked again until the gateway knows of everything up to this seq: it may learn of an event after whoever published it has the answer.
async fn latest_from(socket: &mut Socket, request: Value, seq: u64) -> (Held, Vec<u64>, u64) {
    loop {
        let answer = latest(socket, request.clone()).await;
        if answer.2 >= seq {
            return answer;
        }
        while socket.next_of("event", PATIENCE).await.unwrap().seq() < Some(seq) {}
    }
}

#[test]
fn i3_i4_whoever_joins_under_load_holds_what_the_log_says_also_when_redis_dies() {
    block_on(async {
        let stack = Stack::start(StackConfig { gateways: 2, ..StackConfig::default() }).await.unwrap();
        let tenant = "latest-load";
        let person = claims(tenant, "anna").channels(["staff:*"]);
        let channels = ["staff:1", "staff:2"];
        let mut truth = Held::new();
        let mut joined: Vec<(Socket, Held, u64)> = Vec::new();
        let mut number = 0;
        for round in 0..16 {
            if round == 6 {
                stack.redis().process().kill().unwrap();
            }
            if round == 12 {
                stack.redis().restart().await.unwrap();
            }
            let publishing = async {
                for _ in 0..4 {
                    let events: Vec<Value> = (0..12)
                        .map(|n| {
                            number += 1;
                            let data = if number % 5 == 0 { Value::Null } else { json!(number) };
                            set(&format!("k{}", (number * 7 + n) % 30), channels[number % 2], data)
                        })
                        .collect();
                    let seqs = post(&stack, tenant, &events).await;
                    for (event, seq) in events.iter().zip(seqs) {
                        let text = |value: &Value| value.as_str().unwrap().to_owned();
                        let place = (text(&event["channels"][0]), text(&event["key"]));
                        match &event["data"] {
                            Value::Null => drop(truth.remove(&place)),
                            data => drop(truth.insert(place, (seq, data.clone()))),
                        }
                    }
                }
            };
            let joining = async {
                let (mut socket, _) = open(&stack, stack.gateway(round % 2), &person).await;
                let request = json!({"type": "subscribe", "id": round, "channels": channels, "latest": true});
                let (held, _, live_from) = latest(&mut socket, request).await;
                (socket, held, live_from)
            };
            let ((), one) = tokio::join!(publishing, joining);
            joined.push(one);
        }
        let end = publish(&stack, tenant, &["staff:1"], json!({})).await.seq;
        for (number, (socket, held, mut last)) in joined.iter_mut().map(|(s, h, l)| (s, h, *l)).enumerate() {
            loop {
                let event = socket.next_of("event", PATIENCE).await.unwrap();
                assert!(!event.is_history() && event.seq().unwrap() > last, "{number}: {event:?}");
                last = event.seq().unwrap();
                take(held, &event);
                if last == end {
                    break;
                }
            }
            assert_eq!(*held, truth, "{number}");
        }
        assert!(truth.len() > 20);
    });
}

#[test]
fn thousands_of_keys_come_in_pages_without_those_that_are_gone() {
    block_on(async {
        let stack = stack().await;
        let tenant = "latest-many";
        let person = claims(tenant, "anna").channels(["staff:*"]);
        let events: Vec<Value> =
            (0..2_500).map(|n| set(&format!("k{n}"), "staff:1", json!({"n": n}))).collect();
        let mut seqs = Vec::new();
        for part in events.chunks(500) {
            seqs.extend(post(&stack, tenant, part).await);
        }
        // Of one array the later counts; a repeat that is recognised moves nothing.
        let again = json!({"type": "staff.is", "channels": ["staff:1", "staff:2"], "key": "k3", "id": "once", "data": 1});
        let moved = post(
            &stack,
            tenant,
            &[set("k0", "staff:1", json!(1)), set("k0", "staff:1", Value::Null), again.clone()],
        )
        .await;
        let last = post(&stack, tenant, &[set("k3", "staff:1", json!(2))]).await[0];
        assert_eq!(post(&stack, tenant, &[again]).await, [moved[2]], "a repeat");
        let nothing =
            post(&stack, tenant, &[json!({"type": "other", "channels": ["staff:1"], "key": "bare"})]).await
                [0];
        for gateway in 0..2 {
            let (mut socket, _) = open(&stack, stack.gateway(gateway), &person).await;
            let request = json!({"type": "subscribe", "id": "all", "channel": "staff:1", "latest": true});
            let (held, came, live_from) = latest_from(&mut socket, request, nothing).await;
            let mut wanted: Vec<u64> = [&seqs[1..3], &seqs[4..], &[last, nothing]].concat();
            wanted.sort_unstable();
            assert_eq!((came, live_from), (wanted, nothing));
            assert_eq!(held[&("staff:1".into(), "k3".into())], (last, json!(2)));
            // Each channel has its own latest: that of the other one is still the one before.
            let both = json!({"type": "subscribe", "id": 2, "channels": ["staff:2", "staff:1"], "latest": true, "types": ["staff.*"]});
            let (held, came, _) = latest(&mut socket, both).await;
            assert_eq!(held[&("staff:2".into(), "k3".into())], (moved[2], json!(1)));
            assert_eq!(held[&("staff:1".into(), "k3".into())], (last, json!(2)));
            assert_eq!(
                (came.len(), held.len()),
                (2_500, 2_500),
                "2,498 and k3, in two channels, without `bare`"
            );
            socket.close().await;
        }
        let (mut socket, _) = open(&stack, stack.gateway(0), &person).await;
        let request = json!({"type": "subscribe", "id": 1, "channel": "staff:1", "latest": true});
        latest(&mut socket, request.clone()).await;
        let gone = post(&stack, tenant, &[set("k9", "staff:1", Value::Null)]).await[0];
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        assert_eq!((event.seq(), event.event().get("data")), (Some(gone), Some(&Value::Null)));
        let (held, ..) = latest(&mut socket, request).await;
        assert!(held.len() == 2_499 && !held.contains_key(&("staff:1".into(), "k9".into())));
        socket.close().await;
    });
}

#[test]
fn i5_whoever_may_not_read_the_past_gets_no_latest_values_and_no_other_tenants() {
    block_on(async {
        let stack = stack().await;
        post(&stack, "latest-other", &[set("k", "staff:1", json!("latest-other"))]).await;
        let mine = post(&stack, "latest-mine", &[set("k", "staff:1", json!("latest-mine"))]).await[0];
        let (mut socket, _) =
            open(&stack, stack.gateway(0), &claims("latest-mine", "anna").channels(["staff:*"])).await;
        let request = json!({"type": "subscribe", "id": 1, "channel": "staff:1", "latest": true});
        let (held, ..) = latest_from(&mut socket, request.clone(), mine).await;
        assert_eq!(held.into_values().map(|(_, data)| data).collect::<Vec<_>>(), [json!("latest-mine")]);
        // By a rule that lets her hear and not read back.
        let url = format!("{}/v1/channel-rules/staff:*?tenant=latest-mine", stack.publisher(0).url());
        let rule = json!({"subscribe": ["anyone"], "history": []});
        let put =
            reqwest::Client::new().put(url).json(&rule).bearer_auth(stack.api_key()).send().await.unwrap();
        assert_eq!(put.status(), 200);
        let ben = claims("latest-mine", "ben");
        let (mut socket, _) = open(&stack, stack.gateway(0), &ben).await;
        let hears = || json!({"type": "subscribe", "id": 1, "channel": "staff:1"});
        let began = std::time::Instant::now();
        while !ask(&mut socket, hears()).await.is("ok") {
            assert!(began.elapsed() < PATIENCE, "the rule is not followed");
            tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        }
        let refused = ask(&mut socket, request).await;
        assert_eq!((refused.code(), refused.channels()), (Some("forbidden"), vec!["staff:1".to_owned()]));
        for bad in [json!({"history": 1}), json!({"since": 1}), json!({"latest": "yes"})] {
            let mut frame = json!({"type": "subscribe", "id": 2, "channel": "staff:1", "latest": true});
            frame.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
            assert_eq!(ask(&mut socket, frame).await.code(), Some("invalid_frame"), "{bad}");
        }
        let url = format!("{}/v1/latest?channel=staff:1", stack.publisher(0).url());
        let answer = reqwest::Client::new().get(url).bearer_auth(token(&stack, &ben)).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        socket.close().await;
    });
}

#[test]
fn a_client_sets_and_ends_a_latest_value_with_a_frame() {
    block_on(async {
        let stack = stack().await;
        let url = format!("{}/v1/channel-rules/staff:*?tenant=latest-frames", stack.publisher(0).url());
        let rule =
            json!({"subscribe": ["anyone"], "publish": ["anyone"], "history": ["anyone"], "durable": true});
        let put =
            reqwest::Client::new().put(url).json(&rule).bearer_auth(stack.api_key()).send().await.unwrap();
        assert_eq!(put.status(), 200);
        let (mut socket, _) = open(&stack, stack.gateway(0), &claims("latest-frames", "mila")).await;
        let says = |data: Value| {
            let event = json!({"type": "staff.is", "key": "mila", "data": data});
            json!({"type": "publish", "id": 3, "channel": "staff:1", "event": event})
        };
        let began = std::time::Instant::now();
        let set = loop {
            let answer = ask(&mut socket, says(json!("free"))).await;
            if answer.is("ok") {
                break answer.seq().unwrap();
            }
            assert!(answer.code() == Some("forbidden") && began.elapsed() < PATIENCE, "{answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        };
        let asks = json!({"type": "subscribe", "id": 1, "channel": "staff:1", "latest": true});
        let (held, ..) = latest_from(&mut socket, asks.clone(), set).await;
        assert_eq!(held[&("staff:1".into(), "mila".into())], (set, json!("free")));
        let ended = ask(&mut socket, says(Value::Null)).await;
        assert!(ended.is("ok"), "{ended:?}");
        let (held, ..) = latest_from(&mut socket, asks, ended.seq().unwrap()).await;
        assert!(held.is_empty(), "{held:?}");
        let signal = json!({"type": "publish", "id": 4, "channel": "staff:1", "ephemeral": true,
            "event": {"type": "staff.is", "key": "mila"}});
        assert_eq!(ask(&mut socket, signal).await.code(), Some("forbidden"));
        socket.close().await;
    });
}
