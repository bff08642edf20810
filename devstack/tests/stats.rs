//! Do `GET /v1/stats` and the gateways agree, for a tenant and for all, and what is said without Redis?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{KeyTenant, Stack, StackConfig};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wire::{PATIENCE, block_on, claims, open, token};

async fn stats(stack: &Stack, bearer: &str, query: &str) -> (u16, Value) {
    let url = format!("{}/v1/stats{query}", stack.publisher(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(bearer).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits until the answer is as it must be.
async fn becomes(stack: &Stack, query: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, answer) = stats(stack, stack.api_key(), query).await;
        assert_eq!(status, 200, "{answer}");
        if is_right(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn stats_say_what_each_tenant_uses_on_which_node_and_are_old_without_redis() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let mut here = Vec::new();
        for (gateway, tenant) in [(0, "north"), (0, "north"), (1, "north"), (1, "south")] {
            here.push(open(&stack, stack.gateway(gateway), &claims(tenant, "mila")).await.0);
        }
        let north = becomes(&stack, "?tenant=north", |north| north["connections"] == 3).await;
        assert_eq!((&north["tenant"], &north["stale"]), (&json!("north"), &json!(false)), "{north}");
        assert_eq!(north["subscriptions"], 6, "each in tenant and user:mila: {north}");
        let north = becomes(&stack, "?tenant=north", |north| north["channels"] == 2).await;
        let nodes = north["nodes"].as_array().unwrap();
        let mut counts: Vec<u64> = nodes.iter().map(|node| node["connections"].as_u64().unwrap()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2], "{north}");
        let (_, nobody) = stats(&stack, stack.api_key(), "?tenant=east").await;
        assert!(nobody.to_string().contains(r#""deliveries_per_second":0.0,"#), "{nobody}");
        becomes(&stack, "?tenant=south", |south| south["connections"] == 1).await;
        becomes(&stack, "?tenant=nobody", |nobody| nobody["connections"] == 0).await;
        let all = becomes(&stack, "", |all| all["connections"] == 4).await;
        assert_eq!(all["channels"], Value::Null, "{all}");
        assert_eq!((all["nodes"].as_array().unwrap().len(), all.get("tenant")), (2, None), "{all}");

        let plain = token(&stack, &claims("north", "mila"));
        let (status, answer) = stats(&stack, &plain, "").await;
        assert_eq!((status, &answer["code"]), (403, &json!("missing_scope")), "{answer}");
        let mut boss = claims("north", "boss");
        boss.caps = vec!["admin".into()];
        let boss = token(&stack, &boss);
        let (status, answer) = stats(&stack, &boss, "").await;
        assert_eq!((status, &answer["tenant"]), (200, &json!("north")), "{answer}");
        assert_eq!(stats(&stack, &boss, "?tenant=south").await.0, 403);
        let key = stack.create_api_key(KeyTenant::One("south"), &["read"]).await.unwrap();
        assert_eq!(stats(&stack, &key, "").await.1["connections"], 1);

        here.pop().unwrap().close().await;
        becomes(&stack, "?tenant=south", |south| south["connections"] == 0).await;
        // A dead node's connections are nobody's.
        stack.gateway(1).kill().unwrap();
        becomes(&stack, "?tenant=north", |north| north["connections"] == 2).await;
        stack.redis().process().kill().unwrap();
        let old = becomes(&stack, "?tenant=north", |north| north["stale"] == true).await;
        assert_eq!(old["connections"], 2, "as it was before: {old}");
        becomes(&stack, "", |all| all["stale"] == true && all["connections"] == 2).await;
        stack.stop().await.unwrap();
    });
}

/// Whoever may look at the installation hears of it every second, and nobody is told while nobody looks.
#[test]
fn the_operators_page_hears_the_numbers_of_all_nodes_every_second_and_they_are_in_no_log() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let operator = "carillon-operator";
        let (mut mila, _) = open(&stack, stack.gateway(1), &claims("north", "mila")).await;
        let key = stack.create_api_key(KeyTenant::All, &["read"]).await.unwrap();
        let mut page = wire::client(&stack, stack.gateway(0), &claims(operator, "nobody"));
        page.token = key;
        page.tenant = Some(operator.into());
        page.channels = vec!["carillon:stats".into()];
        let (mut page, _) = Socket::open(&page).await.unwrap();
        let event = wire::publish(&stack, "north", &["tenant"], json!({})).await;
        wire::events_to(&mut mila, event.seq).await;
        let began = Instant::now();
        let told = loop {
            let signal = page.next_of("signal", PATIENCE).await.unwrap();
            assert_eq!(
                (&signal.0["channel"], &signal.0["event"]["type"]),
                (&json!("carillon:stats"), &json!("carillon.stats"))
            );
            let told = signal.0["event"]["data"].clone();
            if told["latency"]["count"].as_u64().is_some_and(|count| count >= 1) && told["connections"] == 2 {
                break told;
            }
            assert!(began.elapsed() < PATIENCE, "{told}");
        };
        assert_eq!(told["nodes"].as_array().unwrap().len(), 2, "{told}");
        assert_eq!(
            (&told["nodes"][0]["state"], &told["stale"]),
            (&json!("serving"), &json!(false)),
            "{told}"
        );
        assert!(
            told["nodes"][0]["version"].is_string() && told["at"].as_str().unwrap().ends_with('Z'),
            "{told}"
        );
        assert!(told["latency"]["p99_ms"].as_f64().unwrap() > 0.0, "{told}");
        let resumes = &told["minute"]["resumes"];
        assert!(resumes["live"].as_u64().unwrap() >= 2, "{told}");
        assert!(told.to_string().len() < 5_000, "{told}");
        // About one a second, whichever of the publishers tells.
        let began = Instant::now();
        for _ in 0..5 {
            page.next_of("signal", PATIENCE).await.unwrap();
        }
        assert!((3.0..20.0).contains(&began.elapsed().as_secs_f64()), "five in {:?}", began.elapsed());
        let (_, all) = stats(&stack, stack.api_key(), "").await;
        assert!(all["minute"]["resumes"]["live"].as_u64().unwrap() >= 2, "{all}");
        let (_, north) = stats(&stack, stack.api_key(), "?tenant=north").await;
        assert_eq!(
            (&north["minute"], &north["nodes"][0]["tenants"]),
            (&Value::Null, &Value::Null),
            "{north}"
        );
        assert_eq!(
            stack
                .sql("select count(*) from carillon.events where tenant_id = 'carillon-operator'")
                .await
                .unwrap()
                .trim(),
            "0"
        );
        // Nobody writes there, and nobody else comes in: neither a token nor a key of that tenant.
        let of_tenant = stack.create_api_key(KeyTenant::One(operator), &["publish", "read", "admin"]).await;
        let of_tenant = of_tenant.unwrap();
        let mut boss = claims(operator, "boss");
        boss.caps = vec!["admin".into(), "publish".into()];
        let boss = token(&stack, &boss);
        let url = format!("{}/v1/events", stack.publisher(0).url());
        let body = json!({"tenant": operator, "type": "t", "tenant_wide": true});
        for bearer in [stack.api_key(), &of_tenant, &boss] {
            let post = reqwest::Client::new().post(&url).bearer_auth(bearer).json(&body);
            let answer = post.send().await.unwrap();
            assert_eq!(answer.status(), 403);
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "tenant_forbidden");
        }
        for bearer in [&of_tenant, &boss] {
            assert_eq!(stats(&stack, bearer, "").await.0, 403);
            let tickets = format!("{}/v1/tickets", stack.publisher(0).url());
            let answer = reqwest::Client::new().post(tickets).bearer_auth(bearer).send().await.unwrap();
            assert_eq!(answer.status(), 403);
            let mut page = wire::client(&stack, stack.gateway(0), &claims("north", "nobody"));
            page.token = bearer.clone();
            page.channels = vec!["carillon:stats".into()];
            let refused = Socket::open(&page).await.err().unwrap();
            assert!(format!("{refused:?}").contains("tenant_forbidden"), "{refused:?}");
        }
        let forged = json!({"type": "publish", "id": 1, "channel": "carillon:stats", "event": {"type": "carillon.stats", "data": {}}});
        let mut page = wire::client(&stack, stack.gateway(0), &claims(operator, "nobody"));
        page.token = stack.api_key().into();
        page.tenant = Some(operator.into());
        page.channels = vec!["carillon:stats".into()];
        let (mut page, _) = Socket::open(&page).await.unwrap();
        let refused = wire::ask(&mut page, forged).await;
        assert_eq!((&refused.0["type"], &refused.0["code"]), (&json!("error"), &json!("missing_scope")));
        stack.stop().await.unwrap();
    });
}
