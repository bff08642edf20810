//! Does what a client publishes with a frame come into the log: once, in order, as its rule lets it, and as it is answered?

use super::{set, stack};
use crate::PATIENCE;
use crate::wire::{ask, block_on, claims, client, events_to, open, seqs, token};
use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};

fn frame(id: impl Into<Value>, channel: &str, event: Value) -> Value {
    json!({"type": "publish", "id": id.into(), "channel": channel, "event": event})
}

fn seq(answer: &Frame) -> u64 {
    assert!(answer.is("ok"), "{answer:?}");
    answer.0["seq"].as_u64().unwrap()
}

async fn in_channel(stack: &Stack, gateway: usize, tenant: &str, user: &str) -> Socket {
    let wanted = client(stack, stack.gateway(gateway), &claims(tenant, user)).channels(["order:1"]);
    Socket::open(&wanted).await.unwrap().0
}

async fn kept(stack: &Stack, tenant: &str) {
    let rule = json!({"subscribe": ["anyone"], "publish": ["anyone"], "durable": true, "rate": 1_000, "client_types": ["note*"]});
    set(stack, tenant, "order:{order}", rule).await;
}

/// The answer to a frame that was sent before.
async fn answer_to(socket: &mut Socket, id: &Value) -> Frame {
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        if frame.0["id"] == *id && (frame.is("ok") || frame.is("error")) {
            return frame;
        }
    }
}

/// Publishes as soon as the node follows the rule.
async fn first(socket: &mut Socket, event: Value) -> Frame {
    let began = std::time::Instant::now();
    loop {
        let answer = ask(socket, frame("first", "order:1", event.clone())).await;
        if answer.code() != Some("forbidden") || began.elapsed() > crate::FOLLOWED {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
}

#[test]
fn a_client_s_event_is_in_the_log_for_everybody_once_and_in_order() {
    block_on(async {
        let stack = stack().await;
        kept(&stack, "frames").await;
        let mut author = in_channel(&stack, 0, "frames", "mila").await;
        let mut tab = in_channel(&stack, 1, "frames", "mila").await;
        let mut other = in_channel(&stack, 1, "frames", "jan").await;
        let note = json!({"type": "note", "id": "n-1", "data": {"total": 1.50}});
        let began = first(&mut author, note.clone()).await;
        assert_eq!((seq(&began), &began.0["event"]), (1, &json!("n-1")));
        assert_eq!(seq(&ask(&mut author, frame(2, "order:1", note.clone())).await), 1, "the same event");
        // Over REST, from another connection of the person: still the same.
        let url = format!("{}/v1/events", stack.publisher(0).url());
        let mut rest = note.clone();
        rest["channel"] = json!("order:1");
        let bearer = token(&stack, &claims("frames", "mila"));
        let posted = reqwest::Client::new().post(url).bearer_auth(bearer).json(&rest).send().await.unwrap();
        assert_eq!(posted.json::<Value>().await.unwrap()["seq"], 1);
        // Many at once keep their order.
        for n in 0..10 {
            author.send_json(&frame(n, "order:1", json!({"type": "note.more", "data": n}))).await.unwrap();
        }
        let silent = json!({"type": "publish", "id": "silent", "channel": "order:1", "echo": false, "event": {"type": "note"}});
        answer_to(&mut author, &json!(9)).await;
        let wanted = client(&stack, stack.gateway(0), &claims("frames", "mila")).channels(["order:1"]);
        let (mut quiet, welcome) = Socket::open(&wanted).await.unwrap();
        let from = welcome.seq;
        let (answer, mut heard) = quiet.ask(&silent, PATIENCE).await.unwrap();
        assert_eq!(seq(&answer), 12);
        let last = seq(&ask(&mut author, frame("last", "order:1", json!({"type": "note.last"}))).await);
        heard.extend(events_to(&mut quiet, last).await);
        heard.retain(|frame| frame.is("event"));
        let others: Vec<u64> = (from + 1..=last).filter(|seq| *seq != 12).collect();
        assert_eq!(seqs(&heard), others, "no echo, and everything else");
        quiet.close().await;
        let expected: Vec<u64> = (1..=last).collect();
        for socket in [&mut tab, &mut other] {
            let events = events_to(socket, last).await;
            assert_eq!(seqs(&events), expected);
            let more = events.iter().filter(|event| event.0["event"]["type"] == "note.more");
            let data: Vec<u64> = more.filter_map(|event| event.0["event"]["data"].as_u64()).collect();
            assert_eq!(data, (0..10).collect::<Vec<u64>>());
            assert!(events.iter().all(|event| event.0["event"]["actor"] == "mila"));
        }
        for socket in [author, tab, other] {
            socket.close().await;
        }
    });
}

#[test]
fn who_may_not_is_told_by_name_and_nothing_is_stored() {
    block_on(async {
        let stack = stack().await;
        kept(&stack, "frames-no").await;
        let mut mila = in_channel(&stack, 0, "frames-no", "mila").await;
        let (mut stranger, _) = open(&stack, stack.gateway(0), &claims("frames-no-rule", "mila")).await;
        let began = seq(&first(&mut mila, json!({"type": "note"})).await);
        let refused = async |socket: &mut Socket, channel: &str, event: Value| {
            let answer = ask(socket, frame(1, channel, event)).await;
            answer.code().map(str::to_owned)
        };
        let forbidden = Some("forbidden".to_owned());
        assert_eq!(refused(&mut mila, "order:1", json!({"type": "refund"})).await, forbidden);
        assert_eq!(refused(&mut mila, "other:1", json!({"type": "note"})).await, forbidden);
        assert_eq!(
            refused(&mut stranger, "order:1", json!({"type": "note"})).await,
            forbidden,
            "another tenant's"
        );
        assert_eq!(refused(&mut mila, "order:1", json!({"type": "note", "id": "x", "data": 1})).await, None);
        let other = refused(&mut mila, "order:1", json!({"type": "note", "id": "x", "data": 2})).await;
        assert_eq!(other.as_deref(), Some("idempotency_mismatch"));
        let key = stack
            .create_api_key(carillon_devstack::stack::KeyTenant::One("frames-no"), &["read", "publish"])
            .await;
        let mut wanted = client(&stack, stack.gateway(0), &claims("frames-no", "x"));
        wanted.token = key.unwrap();
        let (mut service, _) = Socket::open(&wanted).await.unwrap();
        assert_eq!(refused(&mut service, "order:1", json!({"type": "note"})).await, forbidden, "over REST");
        let last = seq(&ask(&mut mila, frame(1, "order:1", json!({"type": "note"}))).await);
        assert_eq!(last, began + 2);
        for socket in [mila, stranger, service] {
            socket.close().await;
        }
    });
}

#[test]
fn while_no_publisher_answers_it_is_unavailable_and_a_repeat_is_stored_once() {
    block_on(async {
        let stack = Stack::start(StackConfig { publishers: 2, ..StackConfig::default() }).await.unwrap();
        kept(&stack, "away").await;
        let mut author = in_channel(&stack, 0, "away", "mila").await;
        let mut reader = in_channel(&stack, 1, "away", "jan").await;
        assert_eq!(seq(&first(&mut author, json!({"type": "note", "id": "n-0"})).await), 1);
        for round in 1..=5 {
            let note = json!({"type": "note", "id": format!("n-{round}"), "data": round});
            author.send_json(&frame(round, "order:1", note.clone())).await.unwrap();
            // At some moment between the frame and the answer.
            tokio::time::sleep(std::time::Duration::from_millis(3 * round)).await;
            stack.publisher(0).kill().unwrap();
            let answer = answer_to(&mut author, &json!(round)).await;
            assert!(answer.is("ok") || answer.code() == Some("unavailable"), "{answer:?}");
            let away = ask(&mut author, frame("away", "order:1", note.clone())).await;
            assert_eq!(away.code(), Some("unavailable"), "{away:?}");
            assert!(away.0["retry_ms"].as_u64().is_some(), "{away:?}");
            stack.publisher(0).restart().await.unwrap();
            stack.publisher(0).ready().await.unwrap();
            let began = std::time::Instant::now();
            let stored = loop {
                let answer = ask(&mut author, frame("again", "order:1", note.clone())).await;
                if answer.is("ok") || began.elapsed() > PATIENCE {
                    break seq(&answer);
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            };
            assert_eq!(stored, round + 1, "once, and without a hole");
        }
        assert_eq!(seqs(&events_to(&mut reader, 6).await), [1, 2, 3, 4, 5, 6]);
        author.close().await;
        reader.close().await;
        stack.stop().await.unwrap();
    });
}
