//! Who is named, when, in which steps, and what does the webhook get?

use super::receiver::{OK, Reply};
use super::{acks, call, named, notice, opens, push, stack, state, until};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[test]
fn who_has_not_taken_note_is_named_once_in_each_step_and_at_most_five_seconds_late() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "steps");
        for user in ["ada", "ben", "cem"] {
            opens(&stack, tenant, user).await;
        }
        let push = push(&stack, tenant).await;
        let stored = Instant::now();
        let steps = json!([{"after": "3s", "to": "webhook:push"}, {"after": "15s", "to": "webhook:push"}]);
        let (id, seq) =
            notice(&stack, tenant, json!({"audience": {"tenant": true}, "escalate": steps})).await;
        assert_eq!(state(&stack, tenant, &id).await["escalate"][0]["after"], "3s");
        acks(&stack, tenant, "ben", seq).await;
        until("the first step", async || !push.messages().is_empty()).await;
        let late = push.messages()[0].at - stored;
        // And what a busy machine adds.
        assert!(late >= Duration::from_secs(3) && late < Duration::from_secs(8), "{late:?}");
        let first = push.messages()[0].json();
        assert_eq!((&first["type"], &first["subject"]), (&json!("notice.unacknowledged"), &json!(id)));
        assert_eq!(first["data"]["notice"]["seq"], seq);
        assert_eq!(
            first["data"]["people"][0],
            json!({"user": "ada", "delivered": false, "seen": false, "read": false})
        );
        acks(&stack, tenant, "cem", seq).await;
        until("both steps", async || push.messages().len() >= 2).await;
        until("nothing is due", async || {
            let steps = state(&stack, tenant, &id).await["escalate"].clone();
            steps.as_array().unwrap().iter().all(|step| step["due_at"].is_null())
        })
        .await;
        let expected = [("ada", 1), ("cem", 1), ("ada", 2)].map(|(user, step)| (user.to_owned(), step, seq));
        assert_eq!(named(&push), expected);
        let told = state(&stack, tenant, &id).await["escalate"].clone();
        assert_eq!((&told[0]["told"], &told[1]["told"]), (&json!(2), &json!(1)));
    });
}

#[test]
fn a_large_audience_comes_in_pages_and_nobody_twice() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "pages");
        let users: Vec<String> = (0..250).map(|n| format!("u{n:03}")).collect();
        for user in &users {
            opens(&stack, tenant, user).await;
        }
        let push = push(&stack, tenant).await;
        let escalate = json!([{"after": "1s", "to": "webhook:push"}]);
        let (_, seq) = notice(
            &stack,
            tenant,
            json!({"audience": {"tenant": true, "users": ["u000", "zoe"]}, "escalate": escalate}),
        )
        .await;
        until("all are named", async || named(&push).len() > 250).await;
        let mut expected: Vec<_> = users.into_iter().map(|user| (user, 1, seq)).collect();
        expected.push(("zoe".to_owned(), 1, seq));
        let mut found = named(&push);
        found.sort();
        assert_eq!(found, expected);
        let pages: Vec<usize> =
            push.messages().iter().map(|it| it.json()["data"]["people"].as_array().unwrap().len()).collect();
        assert!(pages.len() == 3 && pages.iter().all(|people| *people <= 100), "{pages:?}");
    });
}

#[test]
fn whom_it_has_reached_is_not_named_where_only_the_others_are_asked_for() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "reached");
        for user in ["ada", "ben"] {
            opens(&stack, tenant, user).await;
        }
        let push = push(&stack, tenant).await;
        let escalate = json!([{"after": "2s", "to": "webhook:push", "who": "not_delivered"}]);
        let wanted =
            json!({"audience": {"users": ["ada", "ben"]}, "escalate": escalate, "requires_ack": false});
        let (_, seq) = notice(&stack, tenant, wanted).await;
        let path = "/v1/inbox/seen-all";
        super::call(&stack, (tenant, Some("ben")), reqwest::Method::POST, path, json!({"up_to": seq})).await;
        until("the step", async || !push.messages().is_empty()).await;
        assert_eq!(named(&push), [("ada".to_owned(), 1, seq)]);
    });
}

#[test]
fn what_was_taken_back_or_has_expired_is_escalated_to_nobody() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "gone");
        opens(&stack, tenant, "ada").await;
        let push = push(&stack, tenant).await;
        let with = |expires: Option<String>| {
            json!({"audience": {"users": ["ada"]}, "expires_at": expires,
                "escalate": [{"after": "6s", "to": "webhook:push"}]})
        };
        let (retracted, _) = notice(&stack, tenant, with(None)).await;
        let path = format!("/v1/notices/{retracted}?tenant={tenant}");
        let gone = super::call(&stack, (tenant, None), reqwest::Method::DELETE, &path, json!(null)).await;
        assert_eq!(gone.0, 200);
        let soon = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(4)).unwrap();
        let (expired, _) = notice(&stack, tenant, with(Some(soon.to_string()))).await;
        let (_, last) = notice(&stack, tenant, with(None)).await;
        until("the last one", async || !push.messages().is_empty()).await;
        assert_eq!(named(&push), [("ada".to_owned(), 1, last)]);
        for id in [retracted, expired] {
            until("nothing is due", async || {
                state(&stack, tenant, &id).await["escalate"][0]["due_at"].is_null()
            })
            .await;
            assert_eq!(state(&stack, tenant, &id).await["escalate"][0]["told"], 0);
        }
    });
}

#[test]
fn a_message_that_comes_late_names_nobody_who_took_note_since() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "late");
        for user in ["ada", "ben"] {
            opens(&stack, tenant, user).await;
        }
        let push = push(&stack, tenant).await;
        push.answers(|_| Reply::Status(503, "", ""));
        let step = json!([{"after": "1s", "to": "webhook:push"}]);
        let of = |users: &[&str]| json!({"audience": {"users": users}, "escalate": step});
        let (_, both) = notice(&stack, tenant, of(&["ada", "ben"])).await;
        let (_, only) = notice(&stack, tenant, of(&["ada"])).await;
        let (gone, taken_back) = notice(&stack, tenant, of(&["ben"])).await;
        until("each was tried once", async || push.messages().len() >= 3).await;
        let mut first = named(&push);
        first.sort();
        let all = [("ada", both), ("ada", only), ("ben", both), ("ben", taken_back)];
        assert_eq!(first, all.map(|(user, seq)| (user.to_owned(), 1, seq)));
        let tried = push.messages().len();
        for seq in [both, only] {
            acks(&stack, tenant, "ada", seq).await;
        }
        let path = format!("/v1/notices/{gone}?tenant={tenant}");
        let answer = super::call(&stack, (tenant, None), reqwest::Method::DELETE, &path, json!(null)).await;
        assert_eq!(answer.0, 200, "{answer:?}");
        push.answers(|_| OK);
        until("nothing waits", async || {
            let path = format!("/v1/webhooks/push?tenant={tenant}");
            let (_, hook) =
                super::call(&stack, (tenant, None), reqwest::Method::GET, &path, json!(null)).await;
            hook["retrying"] == 0
        })
        .await;
        let late: Vec<_> = named(&push).into_iter().skip(first.len()).collect();
        assert_eq!(late, [("ben".to_owned(), 1, both)], "{tried} before");
        assert_eq!(push.messages().len(), tried + 1, "what names nobody is not sent");
        let (before, after) = (&push.messages()[0], &push.messages()[tried]);
        let of_both =
            push.messages().into_iter().find(|message| message.json()["data"]["notice"]["seq"] == both);
        assert_eq!(of_both.unwrap().header("webhook-id"), after.header("webhook-id"), "{before:?}");
    });
}

#[test]
fn hundreds_of_messages_reach_an_endpoint_while_it_is_kept_how_far_it_is() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "hundreds");
        let push = push(&stack, tenant).await;
        // Answers come one by one: one is kept while others are looked at once more before they are sent.
        push.answers(|message| Reply::Late(Duration::from_millis(message.seq() * 37 % 120)));
        let publish = |_| {
            let escalate = json!([{"after": "1s", "to": "webhook:push"}]);
            notice(&stack, tenant, json!({"audience": {"users": ["ann"]}, "escalate": escalate}))
        };
        let published = futures_util::future::join_all((0..300).map(publish)).await;
        let mut expected = BTreeMap::new();
        for times in 1..=4 {
            for (_, seq) in &published {
                expected.insert(*seq, times);
            }
            until(&format!("all messages have come {times} times"), async || {
                let mut come = BTreeMap::new();
                for (_, _, seq) in named(&push) {
                    *come.entry(seq).or_insert(0) += 1;
                }
                come == expected
            })
            .await;
            // All at once: the log has them.
            let path = format!("/v1/webhooks/push/replay?tenant={tenant}");
            let again = json!({"from_seq": 1});
            let (status, answer) = call(&stack, (tenant, None), Method::POST, &path, again).await;
            assert_eq!(status, 200, "{answer}");
        }
    });
}
