//! Is every acknowledged event counted once, whichever publisher dies, and read by whoever may?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::stack::{KeyTenant, Stack, StackConfig};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wire::{PATIENCE, block_on, claims, token};

async fn read(stack: &Stack, bearer: &str, path: &str) -> (u16, Value) {
    let url = format!("{}{path}", stack.publisher(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(bearer).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The counts, once everything is counted.
async fn counted(stack: &Stack, query: &str) -> Value {
    let began = Instant::now();
    loop {
        let (status, page) = read(stack, stack.api_key(), &format!("/v1/analytics?{query}")).await;
        assert_eq!(status, 200, "{page}");
        if page["behind"]["events"] == 0 {
            return page;
        }
        assert!(began.elapsed() < PATIENCE, "{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Publishes to whichever publisher takes it, under a key, until it is acknowledged.
async fn publish(stack: &Stack, n: usize) {
    let event = json!({"tenant": "shop", "id": format!("event-{n}"), "type": (["order.paid", "order.sent", "stock.low"][n % 3]),
        "source": "api", "actor": format!("user-{}", n % 7), "tenant_wide": true, "priority": (if n % 2 == 1 { Some("high") } else { None }), "data": {"n": n}});
    let began = Instant::now();
    for attempt in n.. {
        let url = format!("{}/v1/events", stack.publishers()[attempt % 2].url());
        let sent = reqwest::Client::new().post(url).bearer_auth(stack.api_key()).json(&event).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) if answer.status().is_client_error() => panic!("{}", answer.text().await.unwrap()),
            _ => assert!(began.elapsed() < PATIENCE, "event {n} is not taken"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn each_acknowledged_event_counts_once_whichever_publisher_dies() {
    block_on(async {
        let stack = Stack::start(StackConfig { publishers: 2, ..StackConfig::default() }).await.unwrap();
        for n in 0..210 {
            if n % 60 == 30 {
                let dies = &stack.publishers()[n / 60 % 2];
                dies.kill().unwrap();
                publish(&stack, n).await;
                dies.restart().await.unwrap();
                continue;
            }
            publish(&stack, n).await;
        }
        let page = counted(&stack, "tenant=shop&compare=previous").await;
        assert_eq!(
            (&page["events"], &page["people"], &page["more_people"]),
            (&json!(210), &json!(7), &json!(false)),
            "{page}"
        );
        let row = |key: &str| json!({"key": key, "count": 70, "previous": 0});
        assert_eq!(page["rows"], json!([row("order.paid"), row("order.sent"), row("stock.low")]), "{page}");
        assert_eq!(page["previous"]["events"], 0, "{page}");
        let page = counted(&stack, "tenant=shop&by=priority").await;
        assert_eq!(
            page["rows"],
            json!([{"key": "high", "count": 105}, {"key": "normal", "count": 105}]),
            "{page}"
        );
        let page = counted(&stack, "tenant=shop&by=actor&limit=1").await;
        assert_eq!(page["rows"], json!([{"key": "user-0", "count": 30}]), "{page}");
        let page = counted(&stack, "tenant=shop&by=hour").await;
        let rows = page["rows"].as_array().unwrap();
        assert!((25..=26).contains(&rows.len()), "each hour of the day before, and this one: {page}");
        assert_eq!(rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), 210);
        let page = counted(&stack, "tenant=shop&by=day").await;
        let days = page["rows"].as_array().unwrap();
        assert_eq!(days.iter().map(|day| day["count"].as_u64().unwrap()).sum::<u64>(), 210, "{page}");

        let (status, health) = read(&stack, stack.api_key(), "/v1/health/analytics?tenant=shop").await;
        assert_eq!(
            (status, &health["state"], &health["behind"]["events"]),
            (200, &json!("up"), &json!(0)),
            "{health}"
        );

        // Whoever may read them, and what is asked for wrongly.
        let admin = token(&stack, &claims("shop", "ana").caps(["admin"]));
        assert_eq!(read(&stack, &admin, "/v1/analytics").await.1["events"], 210);
        let publishes = stack.create_api_key(KeyTenant::One("shop"), &["publish"]).await.unwrap();
        for bearer in [&token(&stack, &claims("shop", "mila")), &publishes] {
            let (status, problem) = read(&stack, bearer, "/v1/analytics").await;
            assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")), "{problem}");
        }
        let elsewhere = stack.create_api_key(KeyTenant::One("school"), &["read"]).await.unwrap();
        assert_eq!(read(&stack, &elsewhere, "/v1/analytics").await.1["events"], 0);
        assert_eq!(read(&stack, &elsewhere, "/v1/analytics?tenant=shop").await.0, 403);
        for (query, word) in [
            ("by=colour", "by"),
            ("compare=next", "compare"),
            ("from=yesterday", "from"),
            ("from=2026-11-29T10:00:00Z&to=2026-11-29T09:00:00Z", "before to"),
            ("by=hour&from=2026-01-01T00:00:00Z&to=2026-06-01T00:00:00Z", "31 days"),
            ("limit=201", "limit"),
            ("colour=red", "colour"),
        ] {
            let (status, problem) = read(&stack, &admin, &format!("/v1/analytics?{query}")).await;
            assert_eq!((status, &problem["code"]), (400, &json!("invalid_parameter")), "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
        }
    });
}
