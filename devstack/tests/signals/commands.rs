//! Does `POST /v1/commands` say what a WebSocket says, for those who have an event stream or polls?

use super::{join, next_signal, next_typing, open_pages, set, stack};
use crate::wire::{PATIENCE, block_on, claims, token};
use carillon_devstack::client::listen::Listen;
use carillon_devstack::stack::Stack;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Status, content type and body of the answer to a command through this gateway.
async fn send(stack: &Stack, gateway: usize, token: &str, body: String) -> (u16, String, Value) {
    let url = format!("{}/v1/commands", stack.gateway(gateway).url());
    let answer = reqwest::Client::new().post(url).bearer_auth(token).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (status, kind, answer.json().await.unwrap())
}

/// The frame that a command is answered with.
async fn command(stack: &Stack, gateway: usize, tenant: &str, user: &str, frame: Value) -> Value {
    let token = token(stack, &claims(tenant, user));
    let (status, kind, body) = send(stack, gateway, &token, frame.to_string()).await;
    assert_eq!((status, &*kind), (200, "application/json"), "{body}");
    body
}

#[test]
fn who_has_an_event_stream_says_by_commands_what_others_say_on_a_websocket() {
    block_on(async {
        let stack = stack().await;
        let tenant = "commands";
        open_pages(&stack, tenant).await;
        let anyone = json!(["anyone"]);
        let rule = json!({"subscribe": anyone, "publish": anyone, "presence": anyone, "durable": true});
        set(&stack, tenant, "order:{order}", rule).await;
        let listen = Listen::new(&stack.gateway(1).url(), token(&stack, &claims(tenant, "mila"))).unwrap();
        let mut stream = listen.channels(["page:1", "order:7"]).stream().await.unwrap();
        stream.next_of("welcome", PATIENCE).await.unwrap();
        let mut ana = join(&stack, 0, tenant, "ana", "page:1").await;
        let say = async |frame: Value| command(&stack, 1, tenant, "mila", frame).await;
        let moved = json!({"type": "publish", "channel": "page:1", "event": {"type": "moved", "data": 7}});
        assert_eq!(say(moved).await, json!({"type": "ok", "id": null}));
        let signal = next_signal(&mut ana).await;
        assert_eq!((signal.text("from"), &signal.event()["data"]), (Some("mila"), &json!(7)));
        // Her stream is another connection than the command.
        let own = stream.next_of("signal", PATIENCE).await.unwrap();
        assert_eq!(own.frame.text("from"), Some("mila"));
        // Into the log, and the same again is the same event.
        let paid = json!({"type": "publish", "id": "a", "channel": "order:7", "event": {"type": "paid", "id": "e-1"}});
        let first = say(paid.clone()).await;
        assert_eq!(
            (&first["type"], &first["id"], &first["event"]),
            (&json!("ok"), &json!("a"), &json!("e-1"))
        );
        assert_eq!(say(paid).await, first);
        let event = stream.next_of("event", PATIENCE).await.unwrap();
        assert_eq!(event.frame.0["seq"], first["seq"]);
        // Another shard than the stream's may have the event a moment later.
        loop {
            let pong = say(json!({"type": "ping", "id": 4, "data": [1]})).await;
            assert_eq!((&pong["type"], &pong["id"], &pong["data"]), (&json!("pong"), &json!(4), &json!([1])));
            assert!(pong["seq"].as_u64() <= first["seq"].as_u64(), "{pong}");
            if pong["seq"] == first["seq"] {
                break;
            }
        }
        // The stream is seen, and the command is not seen beside it.
        let here = say(json!({"type": "presence", "channel": "order:7"})).await;
        let told = &here["presence"]["order:7"];
        assert_eq!((&told["count"], &told["members"][0]["user"]), (&json!(1), &json!("mila")), "{here}");
        // A refusal of the rules is the frame it is on a WebSocket.
        let other = json!({"type": "publish", "id": 1, "channel": "else:1", "event": {"type": "x"}});
        let refused = say(other).await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("forbidden")), "{refused}");
        ana.close().await;
    });
}

#[test]
fn typing_by_commands_ends_by_its_stop_or_by_itself() {
    block_on(async {
        let stack = stack().await;
        let tenant = "commands-typing";
        open_pages(&stack, tenant).await;
        let mut ana = join(&stack, 0, tenant, "ana", "page:1").await;
        let typing = async |state: &str| {
            let frame = json!({"type": "typing", "channel": "page:1", "state": state});
            let answer = command(&stack, 1, tenant, "mila", frame).await;
            assert_eq!(answer, json!({"type": "ok", "id": null}));
        };
        typing("start").await;
        let (state, _) = next_typing(&mut ana, "mila", PATIENCE).await;
        assert_eq!(state, "start");
        // It goes on after the answer, and no second one begins.
        tokio::time::sleep(Duration::from_secs(2)).await;
        typing("start").await;
        typing("stop").await;
        let stopped = Instant::now();
        loop {
            let (state, _) = next_typing(&mut ana, "mila", PATIENCE).await;
            if state == "stop" {
                break;
            }
        }
        assert!(stopped.elapsed() < Duration::from_secs(3), "{:?}", stopped.elapsed());
        typing("start").await;
        let began = Instant::now();
        while next_typing(&mut ana, "mila", PATIENCE).await.0 != "stop" {}
        assert!(
            (4..=14).contains(&began.elapsed().as_secs()),
            "by itself after six seconds: {:?}",
            began.elapsed()
        );
        ana.close().await;
    });
}

#[test]
fn what_is_wrong_with_a_command_is_a_problem() {
    block_on(async {
        let stack = stack().await;
        let tenant = "commands-wrong";
        open_pages(&stack, tenant).await;
        let mila = token(&stack, &claims(tenant, "mila"));
        let ping = r#"{"type":"ping"}"#;
        for (token, body, status, code) in [
            ("", ping.to_owned(), 401, "token_malformed"),
            ("bad", ping.to_owned(), 401, "token_malformed"),
            (&*mila, "{".to_owned(), 400, "invalid_json"),
            (&*mila, r#"{"type":"dance"}"#.to_owned(), 400, "unknown_type"),
            (&*mila, r#"{"type":"publish","channel":"page:1"}"#.to_owned(), 400, "invalid_frame"),
            (&*mila, r#"{"type":"subscribe","channel":"page:1"}"#.to_owned(), 400, "not_a_command"),
            (&*mila, r#"{"type":"presence","channel":"page:1","meta":1}"#.to_owned(), 400, "not_a_command"),
            (&*mila, format!(r#"{{"type":"ping","data":"{}"}}"#, "x".repeat(70_000)), 413, "body_too_large"),
            (&*mila, r#"{"type":"typing","channel":"else:1","state":"start"}"#.to_owned(), 403, "forbidden"),
        ] {
            let (told, kind, problem) = send(&stack, 0, token, body.clone()).await;
            let shown: String = body.chars().take(60).collect();
            assert_eq!((told, &*kind), (status, "application/problem+json"), "{shown}: {problem}");
            if !token.is_empty() {
                assert_eq!(problem["code"], code, "{shown}");
            }
        }
        let url = format!("{}/v1/commands", stack.gateway(0).url());
        let http = reqwest::Client::new();
        let answer = http.get(&url).bearer_auth(&mila).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST".parse().unwrap()));
        // A page of another origin may send one.
        let preflight = http.request(Method::OPTIONS, &url).header("origin", "https://app.example.com");
        let preflight = preflight.header("access-control-request-method", "POST").send().await.unwrap();
        let allowed = preflight.headers()["access-control-allow-methods"].to_str().unwrap();
        assert!(preflight.status().is_success() && allowed.contains("POST"), "{allowed}");
    });
}

#[test]
fn who_sends_too_many_commands_is_told_so_and_others_are_not() {
    block_on(async {
        let stack = Stack::start(
            carillon_devstack::stack::StackConfig { gateways: 1, ..Default::default() }
                .gateway_var("CARILLON_FRAMES_PER_SECOND", 2),
        )
        .await
        .unwrap();
        let tenant = "commands-many";
        open_pages(&stack, tenant).await;
        let mila = token(&stack, &claims(tenant, "mila"));
        let refused = async {
            loop {
                let (status, _, body) = send(&stack, 0, &mila, r#"{"type":"ping"}"#.into()).await;
                if status != 200 {
                    return (status, body["code"].clone());
                }
            }
        };
        assert_eq!(tokio::time::timeout(PATIENCE, refused).await.unwrap(), (429, json!("too_many_requests")));
        let pong = command(&stack, 0, tenant, "ana", json!({"type": "ping"})).await;
        assert_eq!(pong["type"], "pong");
    });
}
