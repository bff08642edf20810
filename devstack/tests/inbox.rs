//! Does a notice ring at every device of a person, and does what they do on one of them show on the others?
//!
//! Two gateways, and what a person does goes to a publisher.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Service, Stack, StackConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use wire::{PATIENCE, Shared, block_on, claims, client, publish, token};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(|| async { Stack::start(StackConfig::default()).await.unwrap() }).await
}

async fn device(stack: &Stack, gateway: &Service, tenant: &str, user: &str) -> Socket {
    Socket::open(&client(stack, gateway, &claims(tenant, user))).await.unwrap().0
}

/// A request of this user; the JSON of an answer that is not an error.
async fn ask(stack: &Stack, tenant: &str, user: &str, method: &str, path: &str, body: Value) -> Value {
    let url = format!("{}{path}", stack.publisher(0).url());
    let request = reqwest::Client::new().request(method.parse().unwrap(), url);
    let request = request.bearer_auth(token(stack, &claims(tenant, user)));
    let answer = if body.is_null() { request } else { request.json(&body) }.send().await.unwrap();
    let (status, json) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert!(status.is_success(), "{method} {path}: {status} {json}");
    json
}

async fn notify(stack: &Stack, tenant: &str, title: &str, audience: Value) -> u64 {
    let url = format!("{}/v1/notices", stack.publisher(0).url());
    let body = json!({"tenant": tenant, "title": title, "audience": audience});
    let request = reqwest::Client::new().post(url).json(&body).bearer_auth(stack.api_key());
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["seq"].as_u64().unwrap()
}

async fn next(socket: &mut Socket, kind: &str) -> Frame {
    socket.next_of(kind, PATIENCE).await.unwrap()
}

#[test]
fn what_a_person_does_on_one_device_shows_on_all_of_them_and_on_nobody_elses() {
    block_on(async {
        let (stack, tenant) = (stack().await, "bell");
        let [one, two] = [stack.gateway(0), stack.gateway(1)];
        ask(&stack, tenant, "mila", "GET", "/v1/inbox", Value::Null).await;
        let (mut phone, mut laptop) =
            (device(&stack, one, tenant, "mila").await, device(&stack, two, tenant, "mila").await);
        // Whoever chose types of events has no less of their inbox.
        let choosy = client(&stack, two, &claims(tenant, "mila")).types(["nothing.*"]);
        let mut choosy = Socket::open(&choosy).await.unwrap().0;
        let mut other = device(&stack, two, tenant, "jan").await;
        let seq = notify(&stack, tenant, "Shift moved", json!({"tenant": true})).await;
        for socket in [&mut phone, &mut laptop, &mut other] {
            let event = next(socket, "event").await;
            let said: Value = serde_json::from_str(event.event()["notify"].as_str().unwrap()).unwrap();
            assert_eq!((event.seq(), &said["title"]), (Some(seq), &json!("Shift moved")));
        }
        let listed = ask(&stack, tenant, "mila", "GET", "/v1/inbox", Value::Null).await;
        assert_eq!((&listed["unread"], &listed["items"][0]["seq"]), (&json!(1), &json!(seq)));
        let marked = ask(&stack, tenant, "mila", "POST", &format!("/v1/inbox/{seq}/read"), Value::Null).await;
        let expected = json!({"type": "inbox", "version": marked["version"], "unread": 0, "unseen": 0, "changed": [{"seq": seq, "read": true}]});
        for socket in [&mut phone, &mut laptop, &mut choosy] {
            assert_eq!(next(socket, "inbox").await.0, expected);
        }
        let all = ask(&stack, tenant, "mila", "POST", "/v1/inbox/archive-all", json!({"up_to": seq})).await;
        assert_eq!(all["version"].as_u64().unwrap(), marked["version"].as_u64().unwrap() + 1);
        for socket in [&mut phone, &mut laptop, &mut choosy] {
            let frame = next(socket, "inbox").await;
            assert_eq!((&frame.0["version"], &frame.0["archived_to"]), (&all["version"], &json!(seq)));
        }
        // Nothing of it was told to the other one before what comes now.
        let after = publish(&stack, tenant, &["tenant"], json!({})).await.seq;
        loop {
            let frame = other.next_frame(PATIENCE).await.unwrap();
            assert!(!frame.is("inbox"), "{frame:?}");
            if frame.is("event") && frame.seq() == Some(after) {
                break;
            }
        }
    });
}

#[test]
fn a_type_that_is_muted_on_one_device_leaves_the_badge_of_all_of_them() {
    block_on(async {
        let (stack, tenant) = (stack().await, "muted");
        ask(&stack, tenant, "mila", "GET", "/v1/inbox", Value::Null).await;
        let [one, two] = [stack.gateway(0), stack.gateway(1)];
        let (mut phone, mut laptop) =
            (device(&stack, one, tenant, "mila").await, device(&stack, two, tenant, "mila").await);
        notify(&stack, tenant, "of type notice", json!({"tenant": true})).await;
        let welcome = async || {
            let mut wanted = client(&stack, two, &claims(tenant, "mila"));
            wanted.url = format!("{}?inbox=1", two.ws_url());
            let mut socket = Socket::connect(&wanted).await.unwrap();
            let welcome = next(&mut socket, "welcome").await;
            socket.close().await;
            welcome.0["inbox"].clone()
        };
        assert_eq!(welcome().await, json!({"version": 1, "unread": 1, "unseen": 1}));
        let said = json!({"types": {"notice": {"inbox": false}}});
        ask(&stack, tenant, "mila", "PUT", "/v1/preferences", said).await;
        let expected = json!({"type": "inbox", "version": 2, "unread": 0, "unseen": 0, "stale": true});
        for socket in [&mut phone, &mut laptop] {
            assert_eq!(next(socket, "inbox").await.0, expected);
        }
        assert_eq!(
            welcome().await,
            json!({"version": 2, "unread": 0, "unseen": 0}),
            "a gateway counts alike"
        );
        let listed = ask(&stack, tenant, "mila", "GET", "/v1/inbox", Value::Null).await;
        assert_eq!(
            (&listed["items"], &listed["unread"], &listed["version"]),
            (&json!([]), &json!(0), &json!(2))
        );
    });
}

#[test]
fn a_welcome_says_how_much_is_unread_to_whoever_asks() {
    block_on(async {
        let (stack, tenant) = (stack().await, "welcomed");
        let welcome = async |address: String, user: &str| {
            let mut wanted = client(&stack, stack.gateway(1), &claims(tenant, user));
            wanted.url = address;
            let mut socket = Socket::connect(&wanted).await.unwrap();
            let welcome = next(&mut socket, "welcome").await;
            socket.close().await;
            welcome.0["inbox"].clone()
        };
        let plain = stack.gateway(1).ws_url();
        // Whoever asks is seen for the first time: a notice for all that comes then is theirs.
        let asking = format!("{plain}?inbox=1");
        assert_eq!(welcome(asking.clone(), "mila").await, json!({"version": 1, "unread": 0, "unseen": 0}));
        notify(&stack, tenant, "for all", json!({"tenant": true})).await;
        assert_eq!(welcome(asking.clone(), "mila").await, json!({"version": 1, "unread": 1, "unseen": 1}));
        assert_eq!(welcome(plain, "mila").await, Value::Null, "nobody else is told");
        let summary = ask(&stack, tenant, "mila", "GET", "/v1/inbox/summary", Value::Null).await;
        assert_eq!(welcome(asking, "mila").await, summary);
    });
}
