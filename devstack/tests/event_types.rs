//! Does every publisher keep to what is said about a type, whichever way an event comes in, and is a page told when it is quiet?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Shared, ask, block_on, claims, client, token};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    let config = StackConfig { publishers: 2, ..StackConfig::default() };
    SHARED.stack(async || Stack::start(config).await.unwrap()).await
}

async fn put(stack: &Stack, bearer: &str, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let answer = reqwest::Client::new().put(url).bearer_auth(bearer).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(stack: &Stack, bearer: &str, publisher: usize, path: &str) -> Value {
    let url = format!("{}{path}", stack.publisher(publisher).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(bearer).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn post(stack: &Stack, publisher: usize, data: Value) -> (u16, Value) {
    let url = format!("{}/v1/events", stack.publisher(publisher).url());
    let event = json!({"tenant": "typed", "type": "order.paid", "channel": "order:1", "data": data});
    let answer =
        reqwest::Client::new().post(url).bearer_auth(stack.api_key()).json(&event).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[test]
fn a_schema_holds_at_every_publisher_and_for_frames_of_connected_clients() {
    block_on(async {
        let stack = stack().await;
        assert_eq!(post(&stack, 1, json!({"id": 7})).await.0, 201, "nothing is said about it yet");
        let says = json!({"schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}});
        let (status, set) =
            put(&stack, stack.api_key(), "/v1/event-types/order.paid?tenant=typed", says).await;
        assert_eq!((status, &set["type"]), (200, &json!("order.paid")), "{set}");
        let (status, refused) = post(&stack, 0, json!({"id": 7})).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &json!("/data/id")), "{refused}");
        let began = Instant::now();
        while post(&stack, 1, json!({"id": 7})).await.0 == 201 {
            assert!(began.elapsed() < PATIENCE, "the other publisher never heard of it");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(post(&stack, 1, json!({"id": "o-1"})).await.0, 201);
        let rule = json!({"subscribe": ["anyone"], "publish": ["anyone"], "durable": true, "rate": 1_000});
        let path = "/v1/channel-rules/order:%7Border%7D?tenant=typed";
        assert_eq!(put(&stack, stack.api_key(), path, rule).await.0, 200);
        let wanted = client(&stack, stack.gateway(0), &claims("typed", "mila"));
        let mut socket = Socket::open(&wanted).await.unwrap().0;
        let mut frame = async |id: &str, data: Value| {
            let event = json!({"type": "order.paid", "id": id, "data": data});
            ask(&mut socket, json!({"type": "publish", "id": id, "channel": "order:1", "event": event})).await
        };
        let began = Instant::now();
        let answer = loop {
            let answer = frame("f-1", json!({})).await;
            if answer.code() != Some("forbidden") || began.elapsed() > PATIENCE {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        };
        assert_eq!(answer.code(), Some("validation"), "{answer:?}");
        assert!(frame("f-2", json!({"id": "o-2"})).await.is("ok"));
    });
}

#[test]
fn a_page_is_told_when_it_is_quiet_and_by_which_zone_data() {
    block_on(async {
        let stack = stack().await;
        let mila = token(&stack, &claims("typed", "mila"));
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let night =
            json!({"zone": "America/Vancouver", "ranges": [{"days": days, "from": "22:00", "to": "05:00"}]});
        let (status, set) = put(&stack, &mila, "/v1/preferences", json!({"quiet_hours": night})).await;
        assert_eq!(status, 200, "{set}");
        assert!(set["zone_data"].as_str().unwrap() >= "2026f", "{set}");
        assert!(set["next_change"].is_string(), "{set}");
        // 05:00 by a law of 2026; by older data it is 04:00 there, and quiet.
        for publisher in [0, 1] {
            let path = "/v1/preferences/test?type=order.paid&at=2026-12-15T12:00:00Z";
            let tried = get(&stack, &mila, publisher, path).await;
            assert_eq!(
                (&tried["wall_clock"], &tried["quiet"]),
                (&json!("2026-12-15T05:00:00"), &json!(false)),
                "{tried}"
            );
            let path = "/v1/preferences/test?type=order.paid&at=2026-12-15T11:59:00Z";
            let tried = get(&stack, &mila, publisher, path).await;
            let expected = (&json!(true), &json!("2026-12-15T12:00:00Z"), &json!(true), &json!(false));
            let found =
                (&tried["quiet"], &tried["quiet_until"], &tried["inbox"]["gets"], &tried["toast"]["gets"]);
            assert_eq!(found, expected, "{tried}");
        }
    });
}
