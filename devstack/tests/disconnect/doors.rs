//! Is every door closed to a token that was revoked: the REST of each publisher, tickets, event streams, polls, refreshes?

use super::wire::{PATIENCE, ask, block_on, claims, client, open, sign, token};
use super::{bounded, disconnect, disconnect_as, out, refused};
use carillon_devstack::client::socket::{Connect, Socket, TokenPlace};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::now;
use serde_json::{Value, json};
use std::time::Instant;

/// The status and problem code of a GET.
async fn get(url: String, bearer: &str) -> (u16, String) {
    let answer = reqwest::Client::new().get(url).bearer_auth(bearer).send().await.unwrap();
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

async fn post(url: String, bearer: &str, body: Value) -> (u16, Value) {
    let answer = reqwest::Client::new().post(url).bearer_auth(bearer).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[test]
fn a_revoked_token_opens_no_door() {
    block_on(async {
        let stack = Stack::start(StackConfig { publishers: 2, ..StackConfig::default() }).await.unwrap();
        let mut mila = claims("doors", "mila");
        mila.caps = vec!["publish".into(), "admin".into()];
        let old = token(&stack, &mila);
        let publisher = |n: usize, path: &str| format!("{}{path}", stack.publisher(n).url());
        let gateway = |n: usize, path: &str| format!("{}{path}", stack.gateway(n).url());
        // Both publishers know her, and have looked at who is revoked a moment ago.
        for n in [0, 1] {
            assert_eq!(get(publisher(n, "/v1/events"), &old).await.0, 200);
        }
        let (_, ticket) = post(publisher(0, "/v1/tickets"), &old, json!({})).await;
        let ticket = ticket["ticket"].as_str().unwrap().to_owned();
        let stream =
            reqwest::Client::new().get(gateway(0, "/v1/sse")).bearer_auth(&old).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let poll = tokio::spawn({
            let (url, old) = (gateway(1, "/v1/poll?wait=25"), old.clone());
            async move { reqwest::Client::new().get(url).bearer_auth(old).send().await.unwrap() }
        });
        super::wire::connections_become(stack.gateway(1), 1.0).await;
        let began = Instant::now();
        let ended = async {
            let text = stream.text().await.unwrap();
            let answered = poll.await.unwrap();
            assert_eq!(answered.status(), 200, "a poll is answered, and hears of it from the next status");
            (text, began.elapsed())
        };
        let work = async { tokio::join!(disconnect(&stack, "tenant=doors&user=mila"), ended) };
        let (((status, answer), (text, took)), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202, "{answer}");
        assert!(took < bound, "{took:?} of {bound:?}");
        let last = text.trim_end().rsplit("data: ").next().unwrap();
        let last: Value = serde_json::from_str(last.trim()).unwrap();
        assert_eq!((&last["type"], &last["code"]), (&json!("error"), &json!("disconnected")), "{text}");

        let revoked = (401, "token_revoked".to_owned());
        for n in [0, 1] {
            for path in ["/v1/sse", "/v1/poll?wait=0"] {
                assert_eq!(get(gateway(n, path), &old).await, revoked, "{path}");
            }
            // The publisher that was not asked knows within a second.
            let began = Instant::now();
            let known = async { while get(publisher(n, "/v1/events"), &old).await != revoked {} };
            let ((), bound) = bounded(&stack, known).await;
            assert!(began.elapsed() < bound, "publisher {n}");
            for path in
                ["/v1/position", "/v1/channel-rules", "/v1/tenants/doors", "/v1/latest?channel=tenant"]
            {
                assert_eq!(get(publisher(n, path), &old).await, revoked, "{path}");
            }
            let event = json!({"type": "order.paid", "channel": "order:1"});
            for (path, body) in [("/v1/events", event), ("/v1/tickets", json!({}))] {
                let (status, answer) = post(publisher(n, path), &old, body).await;
                assert_eq!((status, &answer["code"]), (401, &json!("token_revoked")), "{path}");
            }
        }
        let (status, answer) = disconnect_as(&stack, &old, "user=jan").await;
        assert_eq!((status, &answer["code"]), (401, &json!("token_revoked")));
        let url = format!("{}?ticket={ticket}", stack.gateway(1).ws_url());
        let by_ticket = Connect { patience: PATIENCE, ..Connect::new(url, "").place(TokenPlace::FirstFrame) };
        assert_eq!(refused(Socket::connect(&by_ticket).await), (401, "token_revoked".into()));

        // A newer token opens them, and a refresh with the older one is refused: the connection stays as it was.
        let mut fresh = claims("doors", "mila");
        fresh.caps = mila.caps.clone();
        let (mut socket, _) = open(&stack, stack.gateway(0), &fresh).await;
        let refresh = ask(&mut socket, json!({"type": "auth", "id": 1, "token": old})).await;
        assert_eq!((refresh.code(), &refresh.0["id"]), (Some("token_revoked"), &json!(1)), "{refresh:?}");
        assert!(ask(&mut socket, json!({"type": "ping", "id": 2})).await.is("pong"));
        let fresh = token(&stack, &fresh);
        for n in [0, 1] {
            assert_eq!(get(publisher(n, "/v1/events"), &fresh).await.0, 200);
        }
        socket.close().await;
        stack.stop().await.unwrap();
    });
}

#[test]
fn whoever_is_revoked_in_one_tenant_is_so_in_that_one() {
    block_on(async {
        let stack = super::stack().await;
        let payload = json!({
            "sub": "mila", "tenant": "north", "tenants": {"south": []}, "iat": now() - 60, "exp": now() + 600,
        });
        let text = sign(&payload, stack.jwt_secret());
        let enter = |tenant: &str| {
            let mut wanted = client(&stack, stack.gateway(0), &claims("north", "mila"));
            (wanted.token, wanted.tenant) = (text.clone(), Some(tenant.to_owned()));
            wanted
        };
        let (mut north, _) = Socket::open(&enter("north")).await.unwrap();
        let (mut south, _) = Socket::open(&enter("south")).await.unwrap();
        let began = Instant::now();
        let request = disconnect(&stack, "tenant=south&user=mila");
        let work = async { tokio::join!(request, out(&mut south, began)) };
        let (((status, _), took), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202);
        assert!(took < bound, "{took:?} of {bound:?}");
        assert!(ask(&mut north, json!({"type": "ping", "id": 1})).await.is("pong"));
        assert_eq!(refused(Socket::connect(&enter("south")).await), (401, "token_revoked".into()));
        let events = |tenant: &str| format!("{}/v1/events?tenant={tenant}", stack.publisher(0).url());
        assert_eq!(get(events("north"), &text).await.0, 200);
        assert_eq!(get(events("south"), &text).await, (401, "token_revoked".into()));
        let publish = format!("{}/v1/events", stack.publisher(0).url());
        let event = json!({"tenant": "south", "type": "order.paid", "channel": "order:1"});
        let (status, answer) = post(publish, &text, event).await;
        assert_eq!((status, &answer["code"]), (401, &json!("token_revoked")), "{answer}");
        north.close().await;
    });
}

#[test]
fn whoever_is_revoked_in_their_default_tenant_is_as_before_in_another() {
    block_on(async {
        let stack = super::stack().await;
        let payload = json!({
            "sub": "wilhelmina", "tenant": "west", "tenants": {"east": []}, "caps": ["publish"], "iat": now() - 60,
            "exp": now() + 600,
        });
        let text = sign(&payload, stack.jwt_secret());
        let publisher = |path: &str| format!("{}{path}", stack.publisher(0).url());
        let event = |tenant: &str| json!({"tenant": tenant, "type": "order.paid", "channel": "order:1"});
        assert_eq!(disconnect(&stack, "tenant=west&user=wilhelmina").await.0, 202);
        for refused in ["/v1/events", "/v1/events?tenant=west"] {
            assert_eq!(get(publisher(refused), &text).await, (401, "token_revoked".into()), "{refused}");
        }
        assert_eq!(post(publisher("/v1/events"), &text, event("west")).await.0, 401);
        assert_eq!(get(publisher("/v1/events?tenant=east"), &text).await.0, 200);
        assert_eq!(post(publisher("/v1/events"), &text, event("east")).await.0, 201);
        assert_eq!(post(publisher("/v1/tickets?tenant=east"), &text, json!({})).await.0, 201);
        let mut wanted = client(&stack, stack.gateway(0), &claims("west", "wilhelmina"));
        (wanted.token, wanted.tenant) = (text.clone(), Some("east".to_owned()));
        Socket::connect(&wanted).await.unwrap().close().await;
        assert_eq!(disconnect(&stack, "tenant=east&user=wilhelmina").await.0, 202);
        let log = std::fs::read_to_string(stack.publisher(0).process().log_path()).unwrap();
        assert!(log.contains("disconnected by an administrator") && !log.contains("wilhelmina"), "{log}");
        assert_eq!(get(publisher("/v1/events?tenant=east"), &text).await, (401, "token_revoked".into()));
    });
}
