//! Is what people say that they did stored once, and read by whoever may, whatever happens to Postgres?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{KeyTenant, Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::{PATIENCE, Shared, ask, block_on, claims, client, open, token};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(StackConfig::default()).await.unwrap()).await
}

async fn read_as(stack: &Stack, bearer: &str, query: &str) -> (u16, Value) {
    let url = format!("{}/v1/activity?{query}", stack.publisher(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(bearer).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Everything that somebody did in a tenant, page by page; nothing while the log cannot be reached.
async fn read(stack: &Stack, query: &str) -> Option<Vec<Value>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = read_as(stack, stack.api_key(), &format!("{query}{after}")).await;
        if status == 503 && page["code"] == "unavailable" {
            return None;
        }
        assert_eq!(status, 200, "{page}");
        all.extend(page["activity"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return Some(all) };
        after = format!("&after={next}");
    }
}

async fn all(stack: &Stack, query: &str) -> Vec<Value> {
    read(stack, query).await.unwrap()
}

/// Waits until so much is stored.
async fn becomes(stack: &Stack, query: &str, count: usize) -> Vec<Value> {
    let reached = wait::until(format!("{count} of {query}"), PATIENCE, || async {
        let found = read(stack, query).await?;
        (found.len() >= count).then_some(found)
    });
    match reached.await {
        Ok(found) => found,
        Err(timeout) => panic!("{timeout}; there are {}", all(stack, query).await.len()),
    }
}

/// Says it, and waits where too much was said.
async fn says(socket: &mut Socket, name: &str, data: Value) {
    loop {
        let answer = ask(socket, json!({"type": "activity", "id": name, "name": name, "data": data})).await;
        if answer.is("ok") {
            return;
        }
        assert_eq!(answer.code(), Some("rate_limited"), "{answer:?}");
        let wait = answer.number("retry_ms").unwrap();
        assert!((1..=1_000).contains(&wait), "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    }
}

#[test]
fn what_people_do_is_stored_with_who_where_and_when_and_read_page_by_page() {
    block_on(async {
        let stack = stack().await;
        let tenant = "leads";
        let of = |user: &str, gateway: usize| client(&stack, stack.gateway(gateway), &claims(tenant, user));
        let wanted = Connect { device: Some("phone-1".into()), ..of("hana", 0) };
        let (mut hana, welcome) = Socket::open(&wanted).await.unwrap();
        let (mut leo, _) = Socket::open(&of("leo", 1)).await.unwrap();
        says(&mut hana, "page.opened", json!({"path": "/leads", "n": 1.50})).await;
        says(&mut hana, "click", json!({})).await;
        // Without an id nothing is answered.
        leo.send_json(&json!({"type": "ACTIVITY", "data": {"name": "click", "data": {"button": "call"}}}))
            .await
            .unwrap();
        let found = becomes(&stack, "tenant=leads", 3).await;
        assert_eq!(found.len(), 3);
        let opened = found.iter().find(|each| each["name"] == "page.opened").unwrap();
        assert_eq!((&opened["user"], &opened["device"]), (&json!("hana"), &json!("phone-1")), "{opened}");
        assert_eq!(opened["connection"], welcome.connection.as_str());
        assert_eq!(opened["data"], json!({"path": "/leads", "n": 1.5}));
        assert!(opened["time"].as_str().unwrap().ends_with('Z'), "{opened}");
        assert_eq!(all(&stack, "tenant=leads&user=leo").await[0]["data"], json!({"button": "call"}));
        assert_eq!(all(&stack, "tenant=leads&name=click&limit=1").await.len(), 2, "by pages");
        assert_eq!(
            all(&stack, "tenant=leads&from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z").await.len(),
            0
        );
        assert_eq!(all(&stack, "tenant=leads&from=2021-01-01T00:00:00Z").await.len(), 3);

        // Who has no WebSocket says it over HTTP.
        let url = format!("{}/v1/commands", stack.gateway(0).url());
        let body = json!({"type": "activity", "id": 7, "name": "poll.opened"});
        let answer = reqwest::Client::new()
            .post(url)
            .bearer_auth(token(&stack, &claims(tenant, "sami")))
            .json(&body)
            .send()
            .await
            .unwrap();
        let said: Value = answer.json().await.unwrap();
        assert_eq!((&said["type"], &said["id"]), (&json!("ok"), &json!(7)), "{said}");
        becomes(&stack, "tenant=leads&user=sami", 1).await;

        for (bad, word) in [
            (json!({"type": "activity", "id": 1, "name": "a b"}), "name"),
            (json!({"type": "activity", "id": 1}), "name"),
            (json!({"type": "activity", "id": 1, "name": "a", "data": [1]}), "data"),
            (json!({"type": "activity", "id": 1, "name": "a", "data": {"x": "y".repeat(4_097)}}), "4096"),
        ] {
            let refused = ask(&mut hana, bad).await;
            assert_eq!(refused.code(), Some("invalid_frame"), "{refused:?}");
            assert!(refused.text("message").unwrap().contains(word), "{refused:?}");
        }
        let limited = async {
            for n in 0..100 {
                let answer = ask(&mut leo, json!({"type": "activity", "id": n, "name": "storm"})).await;
                if !answer.is("ok") {
                    return answer;
                }
            }
            panic!("a hundred at once");
        };
        let limited = limited.await;
        assert_eq!(limited.code(), Some("rate_limited"));
        assert!(limited.number("retry_ms").is_some_and(|ms| ms <= 100), "{limited:?}");
    });
}

#[test]
fn i5_what_people_did_is_read_by_services_and_administrators_of_the_tenant_alone() {
    block_on(async {
        let stack = stack().await;
        let (mut mila, _) = open(&stack, stack.gateway(0), &claims("crm", "mila")).await;
        says(&mut mila, "login", json!({})).await;
        becomes(&stack, "tenant=crm", 1).await;
        let admin = token(&stack, &claims("crm", "ana").caps(["admin"]));
        let (status, page) = read_as(&stack, &admin, "").await;
        assert_eq!((status, page["activity"].as_array().unwrap().len()), (200, 1), "{page}");
        let publishes = stack.create_api_key(KeyTenant::One("crm"), &["publish"]).await.unwrap();
        for bearer in [&token(&stack, &claims("crm", "mila")), &publishes] {
            let (status, problem) = read_as(&stack, bearer, "").await;
            assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")), "{problem}");
        }
        let elsewhere = stack.create_api_key(KeyTenant::One("shop"), &["read"]).await.unwrap();
        let (status, page) = read_as(&stack, &elsewhere, "").await;
        assert_eq!((status, &page["activity"]), (200, &json!([])), "nothing of another tenant");
        let (status, problem) = read_as(&stack, &elsewhere, "tenant=crm").await;
        assert_eq!((status, &problem["code"]), (403, &json!("tenant_forbidden")), "{problem}");
        for (query, code) in [
            ("after=nonsense", "invalid_cursor"),
            ("from=monday", "invalid_parameter"),
            ("who=me", "invalid_parameter"),
        ] {
            let (status, problem) = read_as(&stack, &admin, query).await;
            assert_eq!((status, &problem["code"]), (400, &json!(code)), "{problem}");
        }
    });
}

#[test]
fn while_postgres_is_frozen_what_people_do_is_taken_in_and_all_of_it_is_stored_once_after() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let mut sockets = Vec::new();
        for n in 0..4 {
            sockets.push(open(&stack, stack.gateway(n % 2), &claims("frozen", &format!("user-{n}"))).await.0);
        }
        let mut said = BTreeSet::new();
        // Twice: some statement is under way when it freezes, and whether it was carried out nobody knows.
        for round in 0..2 {
            for n in 0..15 {
                for (who, socket) in sockets.iter_mut().enumerate() {
                    let name = format!("round-{round}.{who}.{n}");
                    says(socket, &name, json!({"n": n})).await;
                    said.insert(name);
                }
                if n == 7 {
                    stack.postgres().process().freeze().unwrap();
                }
            }
            let failed = || async {
                let failed = stack.gateway(0).metric("carillon_records_write_failures_total").await?;
                (failed > f64::from(round)).then_some(())
            };
            wait::until("a write fails", PATIENCE, failed).await.unwrap();
            stack.postgres().process().thaw().unwrap();
        }
        let found = becomes(&stack, "tenant=frozen&limit=200", said.len()).await;
        let names: Vec<&str> = found.iter().map(|each| each["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), said.len(), "nothing twice");
        assert_eq!(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), said);
        for gateway in [0, 1] {
            let dropped = stack.gateway(gateway).metric("carillon_records_dropped_total").await.unwrap();
            assert_eq!(dropped, 0.0);
        }
    });
}
