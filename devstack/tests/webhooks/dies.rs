//! Is nothing lost and nothing out of order when those who send die?

use super::receiver::{OK, Receiver, Reply};
use super::{publish, put, read, until};
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn publishers_killed_at_any_point_send_everything_at_least_once_and_in_order() {
    super::wire::block_on(async {
        let stack = Stack::start(StackConfig { publishers: 2, ..StackConfig::default() }).await.unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        // Some fail, so that retries are among what is killed.
        let strict = Receiver::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) % 97 {
            96 => Reply::Status(429, "retry-after: 1\r\n", ""),
            _ => OK,
        })
        .await;
        let loose = Receiver::start(|_| OK).await;
        publish(&stack, "killed", "a", 1).await;
        put(&stack, "killed", "strict", json!({"url": strict.url})).await;
        put(&stack, "killed", "loose", json!({"url": loose.url, "ordered": false})).await;
        let mut last = 1;
        for round in 0..6 {
            last = publish(&stack, "killed", "order.paid", 300).await;
            let so_far = strict.seqs().len();
            until("some have arrived", async || strict.seqs().len() > so_far + 20 * round).await;
            stack.publisher(round % 2).restart().await.unwrap();
        }
        until("all are kept", async || {
            read(&stack, "killed", "strict").await["seq"] == last
                && read(&stack, "killed", "loose").await["seq"] == last
        })
        .await;
        assert_eq!(strict.first_seqs(), (2..=last).collect::<Vec<_>>(), "in order where each came first");
        until("those that failed were sent again", async || {
            let mut seqs = loose.first_seqs();
            seqs.sort_unstable();
            seqs == (2..=last).collect::<Vec<_>>()
        })
        .await;
        stack.stop().await.unwrap();
    });
}

#[test]
fn two_publishers_share_the_webhooks_and_one_takes_over_within_seconds() {
    super::wire::block_on(async {
        let stack = Stack::start(StackConfig { publishers: 2, ..StackConfig::default() }).await.unwrap();
        let receiver = Receiver::start(|_| OK).await;
        let tenants: Vec<String> = (0..24).map(|n| format!("share-{n}")).collect();
        for tenant in &tenants {
            publish(&stack, tenant, "a", 1).await;
            put(&stack, tenant, "main", json!({"url": receiver.url})).await;
        }
        until("each has half of the slots", async || {
            let held = async |n: usize| {
                let text = stack.publisher(n).metrics().await.unwrap_or_default();
                let name = r#"carillon_projector_slots{projector="webhooks"} "#;
                text.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .and_then(|value| value.parse::<f64>().ok())
            };
            held(0).await == Some(32.0) && held(1).await == Some(32.0)
        })
        .await;
        for tenant in &tenants {
            publish(&stack, tenant, "order.paid", 1).await;
        }
        until("all have arrived", async || receiver.messages().len() >= 24).await;
        stack.publisher(1).kill().unwrap();
        for tenant in &tenants {
            publish(&stack, tenant, "order.paid", 1).await;
        }
        let began = std::time::Instant::now();
        until("those of the dead one, too", async || receiver.messages().len() >= 48).await;
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        stack.stop().await.unwrap();
    });
}
