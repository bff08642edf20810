//! Do the latest values over REST and what comes after their position make everything, once?

use crate::wire::{PATIENCE, block_on, claims, client};
use crate::{Held, post, set, stack, take};
use carillon_devstack::client::frame::{Cursor, Frame};
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};

async fn get(stack: &Stack, query: &str) -> (u16, Option<String>, Value) {
    let url = format!("{}/v1/latest{query}", stack.publisher(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(stack.api_key()).send().await.unwrap();
    let position = answer.headers().get("carillon-position").map(|it| it.to_str().unwrap().to_owned());
    (answer.status().as_u16(), position, answer.json().await.unwrap())
}

#[test]
fn i3_i4_all_pages_and_what_comes_after_their_position_are_everything_once() {
    block_on(async {
        let stack = stack().await;
        let tenant = "latest-rest";
        let mut truth = Held::new();
        let mut number = 0;
        let mut change = async |truth: &mut Held| {
            number += 1;
            let (key, data) =
                (format!("k{}", number % 45), if number % 4 == 0 { Value::Null } else { json!(number) });
            let seq = post(&stack, tenant, &[set(&key, "staff:1", data.clone())]).await[0];
            let place = ("staff:1".to_owned(), key);
            if data.is_null() {
                drop(truth.remove(&place))
            } else {
                drop(truth.insert(place, (seq, data)))
            }
            seq
        };
        for _ in 0..120 {
            change(&mut truth).await;
        }
        let (mut held, mut next, mut positions, mut pages) = (Held::new(), String::new(), Vec::new(), 0);
        loop {
            let query = format!("?tenant={tenant}&channel=staff:1&limit=7{next}");
            let (status, position, page) = get(&stack, &query).await;
            assert_eq!(status, 200, "{page}");
            positions.push(position.unwrap());
            for event in page["events"].as_array().unwrap() {
                assert_eq!(event["channels"], json!(["staff:1"]));
                take(&mut held, &Frame(event.clone()));
            }
            pages += 1;
            // The log goes on between the pages.
            change(&mut truth).await;
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&after={cursor}");
        }
        assert!(pages > 3 && positions.iter().all(|position| *position == positions[0]), "{positions:?}");
        let (epoch, seq) = positions[0].rsplit_once(':').unwrap();
        let cursor = Cursor::new(seq.parse().unwrap(), epoch);
        let anna = claims(tenant, "anna").channels(["staff:*"]);
        let wanted = client(&stack, stack.gateway(1), &anna).channels(["staff:1"]).since(cursor);
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        let end = change(&mut truth).await;
        loop {
            let event = socket.next_of("event", PATIENCE).await.unwrap();
            take(&mut held, &event);
            if event.seq() == Some(end) {
                break;
            }
        }
        assert_eq!(held, truth);
        socket.close().await;
    });
}

#[test]
fn what_is_wrong_is_named_and_a_tenant_without_keys_has_none() {
    block_on(async {
        let stack = stack().await;
        let tenant = "latest-bad";
        let (status, position, page) = get(&stack, &format!("?tenant={tenant}&channel=a")).await;
        assert_eq!((status, position, page), (200, None, json!({"events": [], "next": null})));
        post(&stack, tenant, &[set("k", "a", json!(1)), json!({"type": "t", "channels": ["b"]})]).await;
        let (_, position, page) = get(&stack, &format!("?tenant={tenant}&channel=b")).await;
        assert!(position.is_some_and(|it| it.ends_with(":2")) && page["events"] == json!([]), "{page}");
        for (query, parameter) in [
            ("", "channel"),
            ("&channel=a%20b", "channel"),
            ("&channel=a&type=a*b", "type"),
            ("&channel=a&limit=201", "limit"),
            ("&channel=a&after=x", "after"),
            ("&channel=a&order=asc", "order"),
        ] {
            let (status, _, problem) = get(&stack, &format!("?tenant={tenant}{query}")).await;
            assert_eq!(
                (status, &problem["errors"][0]["parameter"]),
                (400, &json!(parameter)),
                "{query}: {problem}"
            );
        }
        let long = "k".repeat(129);
        for (key, code) in [
            (json!(""), "invalid"),
            (json!(long), "invalid"),
            (json!("a\u{1}"), "invalid"),
            (json!(7), "wrong_type"),
        ] {
            let url = format!("{}/v1/events?tenant={tenant}", stack.publisher(0).url());
            for (media, event, at) in [
                ("application/json", json!({"type": "t", "channels": ["a"], "key": key}), "/key"),
                (
                    "application/cloudevents+json",
                    json!({"specversion": "1.0", "id": "1", "source": "/", "type": "t", "channels": ["a"], "latestkey": key}),
                    "/latestkey",
                ),
            ] {
                let request =
                    reqwest::Client::new().post(&url).header("content-type", media).body(event.to_string());
                let answer = request.bearer_auth(stack.api_key()).send().await.unwrap();
                assert_eq!(answer.status(), 422);
                let problem: Value = answer.json().await.unwrap();
                let fault = &problem["errors"][0];
                assert_eq!(
                    (&fault["pointer"], &fault["code"]),
                    (&json!(at), &json!(code)),
                    "{key}: {problem}"
                );
            }
        }
        // A CloudEvent with the attribute is the same, in structured and in binary mode, and so is its deletion.
        let url = format!("{}/v1/events?tenant={tenant}", stack.publisher(0).url());
        let event = json!({"specversion": "1.0", "id": "c1", "source": "/", "type": "t", "channels": ["a"], "latestkey": "ce", "data": 5});
        let request =
            reqwest::Client::new().post(&url).header("content-type", "application/cloudevents+json");
        let answer = request.body(event.to_string()).bearer_auth(stack.api_key()).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let keys = async || {
            let (_, _, page) = get(&stack, &format!("?tenant={tenant}&channel=a")).await;
            let key = |event: &Value| event["event"]["latestkey"].as_str().unwrap().to_owned();
            page["events"].as_array().unwrap().iter().map(key).collect::<Vec<_>>()
        };
        assert_eq!(keys().await, ["k", "ce"]);
        let headers = [
            ("ce-id", "c2"),
            ("ce-source", "/"),
            ("ce-specversion", "1.0"),
            ("ce-type", "t"),
            ("ce-channels", "a"),
            ("ce-latestkey", "ce"),
            ("content-type", "application/json"),
        ];
        let request = headers
            .iter()
            .fold(reqwest::Client::new().post(&url), |request, (name, value)| request.header(*name, *value));
        let answer = request.body("null").bearer_auth(stack.api_key()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        assert_eq!(keys().await, ["k"]);
    });
}
