//! Does a suspended tenant rest, on every node, and is nothing of it missing when it goes on?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "webhooks/receiver.rs"]
#[allow(dead_code, reason = "shared with the tests of webhooks")]
mod receiver;
#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::stack::{Stack, StackConfig};
use receiver::{OK, Receiver, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wire::{PATIENCE, ask, block_on, claims, client, events_to, open, publisher, token};

const TENANT: &str = "shop-1";

async fn call(stack: &Stack, publisher: usize, method: Method, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(publisher).url());
    let request = wire::http().request(method, url).bearer_auth(stack.api_key());
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn suspend(stack: &Stack, suspended: bool) {
    let path = format!("/v1/tenants/{TENANT}");
    let (status, answer) = call(stack, 0, Method::PUT, &path, json!({"suspended": suspended})).await;
    assert_eq!((status, answer["suspended"].as_bool()), (200, suspended.then_some(true)), "{answer}");
}

/// Publishes an event of the tenant; its seq, or the code of the refusal.
async fn order(stack: &Stack, publisher: usize, n: u64) -> Result<u64, String> {
    let event = json!({"tenant": TENANT, "type": "order.paid", "channels": ["user:mila"], "data": {"n": n}});
    let (status, answer) = call(stack, publisher, Method::POST, "/v1/events", event).await;
    match status {
        201 => Ok(answer["seq"].as_u64().unwrap()),
        _ => Err(answer["code"].as_str().unwrap().to_owned()),
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_suspended_tenant_rests_on_every_node_and_goes_on_without_a_gap() {
    block_on(async {
        let config = StackConfig { publishers: 2, ..StackConfig::default() };
        let stack = Stack::start(config).await.unwrap();
        let receiver = Receiver::start(|_| OK).await;
        for (id, types) in [("orders", json!(["order.*"])), ("push", json!(["none.*"]))] {
            let path = format!("/v1/webhooks/{id}?tenant={TENANT}");
            let body = json!({"url": receiver.url, "types": types});
            assert_eq!(call(&stack, 0, Method::PUT, &path, body).await.0, 201);
        }
        // One on each node, one in two tenants, and one who listens to an event stream.
        let mila = claims(TENANT, "mila");
        let (mut one, welcome) = open(&stack, stack.gateway(0), &mila).await;
        let (mut two, _) = open(&stack, stack.gateway(1), &mila).await;
        let mut both = claims(TENANT, "ana");
        both.tenants.insert("shop-2".to_owned(), Vec::new());
        let (mut ana, _) = Socket::open(&client(&stack, stack.gateway(0), &both)).await.unwrap();
        let attached = ask(&mut ana, json!({"type": "attach", "id": 1, "tenant": "shop-2"})).await;
        assert!(attached.is("welcome"), "{attached:?}");
        let first = order(&stack, 0, 1).await.unwrap();
        events_to(&mut one, first).await;
        events_to(&mut two, first).await;
        until("the webhook has the first", async || receiver.messages().len() == 1).await;
        // It cannot take any more, so something of it is left when the tenant is suspended.
        receiver.answers(|_| Reply::Status(503, "", ""));
        let left = order(&stack, 0, 2).await.unwrap();
        events_to(&mut one, left).await;
        until("it was tried", async || receiver.messages().len() == 2).await;
        let url = format!("{}/v1/inbox", stack.publisher(0).url());
        let looks = wire::http().get(url).bearer_auth(token(&stack, &mila)).send().await.unwrap();
        assert_eq!(looks.status(), 200);
        let notice = json!({"tenant": TENANT, "title": "Shift moved", "audience": {"users": ["mila"]}, "requires_ack": true,
            "escalate": [{"after": "2s", "to": "webhook:push"}]});
        let (status, answer) = call(&stack, 0, Method::POST, "/v1/notices", notice).await;
        assert_eq!(status, 201, "{answer}");
        suspend(&stack, true).await;
        let suspended = Instant::now();
        for socket in [&mut one, &mut two] {
            let end = loop {
                match socket.next_frame(PATIENCE).await {
                    Ok(_) => {}
                    Err(end) => break end,
                }
            };
            assert_eq!(end.close_code(), Some(4403), "{end:?}");
        }
        assert!(suspended.elapsed() < Duration::from_secs(5), "{:?}", suspended.elapsed());
        let told = ana.next_of("detached", PATIENCE).await.unwrap();
        assert_eq!((told.text("tenant"), told.text("reason")), (Some(TENANT), Some("suspended")));
        assert!(ask(&mut ana, json!({"type": "ping", "id": 2})).await.is("pong"), "the other tenant goes on");
        let refused = ask(&mut ana, json!({"type": "attach", "id": 3, "tenant": TENANT})).await;
        assert_eq!(refused.code(), Some("tenant_suspended"), "{refused:?}");
        for gateway in [0, 1] {
            match Socket::open(&client(&stack, stack.gateway(gateway), &mila)).await.err().unwrap() {
                SocketError::Refused { status, code, .. } => {
                    assert_eq!((status, &*code), (403, "tenant_suspended"));
                }
                other => panic!("{other:?}"),
            }
        }
        // Within a second another publisher may not know it yet; what it takes is in the log as everything is.
        let mut taken = vec![2];
        for publisher in [0, 1] {
            let began = Instant::now();
            while order(&stack, publisher, 3).await.is_ok() {
                taken.push(3);
                assert!(
                    publisher == 1 && began.elapsed() < Duration::from_secs(5),
                    "every publisher refuses"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(order(&stack, publisher, 3).await, Err("tenant_suspended".into()));
        }
        let mut other = Post::new("shop-2", "order.paid", json!({}));
        other.channels = vec!["tenant".into()];
        publisher(&stack).publish(&other, None).await.unwrap();
        // Its endpoint would take what is left, and an escalation was due; both wait.
        receiver.answers(|_| OK);
        let before = receiver.messages().len();
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(receiver.messages().len(), before, "nothing is sent while it is suspended");
        suspend(&stack, false).await;
        let began = Instant::now();
        let next = loop {
            match order(&stack, 1, 4).await {
                Ok(seq) => break seq,
                Err(code) => {
                    assert!(code == "tenant_suspended" && began.elapsed() < Duration::from_secs(5), "{code}")
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let seqs = async || {
            receiver
                .messages()
                .iter()
                .filter(|m| m.json()["type"] == "order.paid")
                .map(|m| m.seq())
                .collect::<Vec<_>>()
        };
        until("the webhook has all", async || {
            let had = seqs().await;
            had.contains(&left) && had.contains(&next)
        })
        .await;
        until("the escalation is told", async || {
            receiver.messages().iter().any(|message| message.json()["type"] == "notice.unacknowledged")
        })
        .await;
        // Whoever comes back with a cursor misses nothing.
        let back = client(&stack, stack.gateway(1), &mila).since(Cursor::new(first, welcome.epoch));
        let (mut back, _) = Socket::open(&back).await.unwrap();
        let had = events_to(&mut back, next).await;
        let orders: Vec<u64> = had
            .iter()
            .filter(|event| event.0["event"]["type"] == "order.paid")
            .filter_map(|event| event.0["event"]["data"]["n"].as_u64())
            .collect();
        taken.push(4);
        assert_eq!(orders, taken);
        stack.stop().await.unwrap();
    });
}
