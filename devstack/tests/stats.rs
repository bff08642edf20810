//! Do `GET /v1/stats` and the gateways agree, for a tenant and for all, and what is said without Redis?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

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
        let nodes = north["nodes"].as_array().unwrap();
        let mut counts: Vec<u64> = nodes.iter().map(|node| node["connections"].as_u64().unwrap()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2], "{north}");
        let (_, nobody) = stats(&stack, stack.api_key(), "?tenant=east").await;
        assert!(nobody.to_string().contains(r#""deliveries_per_second":0.0,"#), "{nobody}");
        becomes(&stack, "?tenant=south", |south| south["connections"] == 1).await;
        becomes(&stack, "?tenant=nobody", |nobody| nobody["connections"] == 0).await;
        let all = becomes(&stack, "", |all| all["connections"] == 4).await;
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
