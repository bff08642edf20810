//! What do answers mean, and what becomes of those that never end?

use super::receiver::{OK, Receiver, Reply};
use super::{act, call, failed, publish, put, read, stack, until};
use carillon_devstack::stack::Stack;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_success_is_a_2xx_whatever_follows_it_and_nothing_else_is_one() {
    super::wire::block_on(async {
        let stack = stack().await;
        for (n, reply, error) in [
            (1, Reply::Endless("x", Duration::from_millis(50)), None),
            (2, Reply::Endless("many bytes, many bytes, many bytes", Duration::ZERO), None),
            (3, Reply::Status(204, "", ""), None),
            (4, Reply::Status(302, "location: http://127.0.0.1:1/\r\n", ""), Some(302)),
            (5, Reply::Status(101, "connection: upgrade\r\nupgrade: x\r\n", ""), Some(101)),
            (6, Reply::Status(404, "", ""), Some(404)),
        ] {
            let tenant = format!("answer-{n}");
            let receiver = Receiver::start(move |_| reply.clone()).await;
            publish(&stack, &tenant, "a", 1).await;
            put(&stack, &tenant, "main", json!({"url": receiver.url})).await;
            let last = publish(&stack, &tenant, "order.paid", 1).await;
            match error {
                None => {
                    until("it is delivered", async || read(&stack, &tenant, "main").await["seq"] == last)
                        .await;
                    assert_eq!(receiver.messages().len(), 1, "{n}: once");
                }
                Some(status) => {
                    until("it has failed", async || failed(&stack, &tenant, "main").await.len() == 1).await;
                    let row = failed(&stack, &tenant, "main").await.remove(0);
                    assert_eq!(row["attempts"][0]["status"], status, "{row}");
                }
            }
        }
    });
}

#[test]
fn a_receiver_that_is_gone_is_disabled_and_one_that_asks_for_rest_gets_it() {
    super::wire::block_on(async {
        let stack = stack().await;
        let gone = Receiver::start(|_| Reply::Status(410, "", "")).await;
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let rests = Receiver::start(move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::Status(429, "retry-after: 2\r\n", ""),
            _ => OK,
        })
        .await;
        publish(&stack, "told", "a", 1).await;
        put(&stack, "told", "gone", json!({"url": gone.url})).await;
        // It is told of the other, too, unless it wants its own events only.
        put(&stack, "told", "rests", json!({"url": rests.url, "types": ["order.*"]})).await;
        let last = publish(&stack, "told", "order.paid", 3).await;
        until("it is disabled", async || read(&stack, "told", "gone").await["reason"] == "gone").await;
        assert_eq!((gone.seqs(), read(&stack, "told", "gone").await["seq"].as_u64()), (vec![2], Some(1)));
        until("all have arrived", async || read(&stack, "told", "rests").await["seq"].as_u64() >= Some(last))
            .await;
        let messages = rests.messages();
        let pause = messages[1].at.duration_since(messages[0].at);
        assert!(pause > Duration::from_millis(1_900) && pause < Duration::from_secs(4), "{pause:?}");
        assert_eq!(rests.seqs(), [2, 2, 3, 4]);
    });
}

#[test]
fn five_days_without_a_delivery_disable_an_endpoint_and_say_so() {
    super::wire::block_on(async {
        let (stack, receiver) = (stack().await, Receiver::start(|_| Reply::Status(500, "", "")).await);
        publish(&stack, "five-days", "a", 1).await;
        put(&stack, "five-days", "main", json!({"url": receiver.url})).await;
        publish(&stack, "five-days", "order.paid", 1).await;
        until("it has failed", async || read(&stack, "five-days", "main").await["retrying"] == 1).await;
        let age =
            "UPDATE carillon.webhooks SET failing_since = now() - interval '5 days', waits_until = now()
            WHERE tenant_id = 'five-days'";
        stack.sql(age).await.unwrap();
        until("it is disabled", async || read(&stack, "five-days", "main").await["state"] == "disabled")
            .await;
        assert_eq!(read(&stack, "five-days", "main").await["reason"], "failing");
        let url = "/v1/events?tenant=five-days&type=carillon.webhook.disabled&channel=carillon:webhooks";
        until("the tenant is told", async || {
            let (_, told) = call(&stack, Method::GET, url, Value::Null).await;
            told["events"][0]["event"]["data"] == json!({"webhook": "main", "reason": "failing"})
        })
        .await;
    });
}

/// The longest of twenty waits from a publish to its arrival, but for two that a busy machine may have made so.
async fn longest_wait(stack: &Stack, well: &Receiver) -> Duration {
    let mut waits = Vec::new();
    for _ in 0..20 {
        let last = publish(stack, "patient", "order.paid", 1).await;
        let began = std::time::Instant::now();
        until("it arrives", async || well.seqs().last() == Some(&last)).await;
        waits.push(began.elapsed());
    }
    waits.sort_unstable();
    waits[17]
}

/// Beside what the same endpoint waits alone, in the same run: a busy machine is no delay by others.
#[test]
fn endpoints_that_hang_delay_no_other_by_more_than_a_second() {
    super::wire::block_on(async {
        let (stack, well) = (stack().await, Receiver::start(|_| OK).await);
        let hangs = Receiver::start(|_| Reply::Silence).await;
        publish(&stack, "patient", "a", 1).await;
        put(&stack, "patient", "well", json!({"url": well.url})).await;
        let alone = longest_wait(&stack, &well).await;
        for n in 0..8 {
            put(&stack, "patient", &format!("hangs-{n}"), json!({"url": hangs.url, "ordered": n % 2 == 0}))
                .await;
        }
        let beside = longest_wait(&stack, &well).await;
        assert!(
            beside < alone + Duration::from_secs(1),
            "{beside:?} beside those that hang, {alone:?} alone"
        );
        until("each was asked", async || hangs.messages().len() >= 8).await;
    });
}

#[test]
fn tests_of_one_tenant_that_hang_leave_the_others_theirs_and_a_refused_one_is_told_and_counted() {
    super::wire::block_on(async {
        let stack = stack().await;
        let (hangs, quick) = (Receiver::start(|_| Reply::Silence).await, Receiver::start(|_| OK).await);
        for (tenant, receiver) in [("tries", &hangs), ("tries-too", &quick)] {
            publish(&stack, tenant, "a", 1).await;
            put(&stack, tenant, "main", json!({"url": receiver.url, "types": ["none"]})).await;
        }
        let refused = async || {
            let text = stack.publisher(0).metrics().await.unwrap();
            let name = r#"carillon_reads_refused_total{resource="webhook_test",bound="group"} "#;
            text.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok()).unwrap()
        };
        let before = refused().await;
        let hanging: Vec<_> = (0..2)
            .map(|_| {
                let stack = stack.clone();
                tokio::spawn(async move { act(&stack, "tries", "main", "test", json!({})).await })
            })
            .collect();
        until("two tests are under way", async || hangs.messages().len() == 2).await;
        let url = format!("{}/v1/webhooks/main/test?tenant=tries", stack.publisher(0).url());
        let third = super::wire::http().post(url).bearer_auth(stack.api_key()).send().await.unwrap();
        assert_eq!((third.status().as_u16(), third.headers()["retry-after"].to_str().unwrap()), (429, "1"));
        assert_eq!(third.json::<Value>().await.unwrap()["code"], "too_many_requests");
        let (status, answer) = act(&stack, "tries-too", "main", "test", json!({})).await;
        assert_eq!((status, &answer["delivered"]), (200, &json!(true)), "{answer}");
        assert_eq!(refused().await, before + 1.0);
        // Whoever goes away gives the place back.
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
        hangs.answers(|_| OK);
        until("a place is free", async || act(&stack, "tries", "main", "test", json!({})).await.0 == 200)
            .await;
    });
}
