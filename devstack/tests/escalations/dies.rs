//! Is each person named once, and never after an ack, when whoever works it out is killed at any point?

use super::receiver::Receiver;
use super::{acks, call, named, notice, opens, push, until};
use carillon_devstack::stack::{Stack, StackConfig};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PEOPLE: usize = 120;
const NOTICES: usize = 24;

/// All events of escalations, as the log has them.
async fn logged(stack: &Stack, tenant: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/events?tenant={tenant}&type=notice.unacknowledged&limit=200{after}");
        let (status, page) = call(stack, (tenant, None), Method::GET, &path, Value::Null).await;
        assert_eq!(status, 200, "{page}");
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return events,
        }
    }
}

/// Waits until everything is looked at.
async fn settled(stack: &Stack, tenant: &str, ids: &[String]) {
    for id in ids {
        until("a step is done", async || {
            let steps = super::state(stack, tenant, id).await["escalate"].clone();
            steps.as_array().unwrap().iter().all(|step| step["due_at"].is_null())
        })
        .await;
    }
}

#[test]
fn publishers_killed_at_any_point_name_each_person_once_and_nobody_who_took_note_before() {
    super::wire::block_on(async {
        let stack =
            Arc::new(Stack::start(StackConfig { publishers: 3, ..StackConfig::default() }).await.unwrap());
        let tenant = "killed";
        let users: Vec<String> = (0..PEOPLE).map(|n| format!("u{n:03}")).collect();
        for user in &users {
            opens(&stack, tenant, user).await;
        }
        let push: Receiver = push(&stack, tenant).await;
        // Publisher 0 takes the requests; the others are killed, again and again.
        let over = Arc::new(AtomicBool::new(false));
        let killing = {
            let (stack, over) = (stack.clone(), over.clone());
            tokio::spawn(async move {
                let mut kills = 0;
                while !over.load(Ordering::SeqCst) {
                    for (number, pause) in [(1, 130), (2, 370)] {
                        stack.publisher(number).restart().await.unwrap();
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                        kills += 1;
                    }
                }
                kills
            })
        };
        let mut notices = Vec::new();
        let mut acked: BTreeMap<(String, u64), u64> = BTreeMap::new();
        for round in 0..NOTICES {
            let escalate =
                json!([{"after": "1s", "to": "webhook:push"}, {"after": "2s", "to": "webhook:push"}]);
            let body = json!({"audience": {"tenant": true}, "escalate": escalate});
            let (id, seq) = notice(&stack, tenant, body).await;
            notices.push((id, seq));
            // Some take note while the steps of this notice and of those before are due: the log's head after the answer says
            // where in the log that was.
            for n in 0..6 {
                let user = &users[(round * 7 + n * 17) % PEOPLE];
                let (_, of) = &notices[round.saturating_sub(n % 3)];
                if let Entry::Vacant(unsaid) = acked.entry((user.clone(), *of)) {
                    acks(&stack, tenant, user, *of).await;
                    let path = format!("/v1/position?tenant={tenant}");
                    let (_, position) = call(&stack, (tenant, None), Method::GET, &path, Value::Null).await;
                    unsaid.insert(position["seq"].as_u64().unwrap());
                }
            }
        }
        let ids: Vec<String> = notices.iter().map(|(id, _)| id.clone()).collect();
        settled(&stack, tenant, &ids).await;
        over.store(true, Ordering::SeqCst);
        let kills = killing.await.unwrap();
        assert!(kills >= 6, "{kills}");
        // A recount of the log.
        let mut times: BTreeMap<(String, u64, i64), u32> = BTreeMap::new();
        let events = logged(&stack, tenant).await;
        for item in &events {
            let (at, data) = (item["seq"].as_u64().unwrap(), &item["event"]["data"]);
            let (of, step) = (data["notice"]["seq"].as_u64().unwrap(), data["step"].as_i64().unwrap());
            for person in data["people"].as_array().unwrap() {
                let user = person["user"].as_str().unwrap().to_owned();
                if let Some(head) = acked.get(&(user.clone(), of)) {
                    assert!(
                        at <= *head,
                        "{user} was named by {at}, and had taken note of {of} when the log ended at {head}"
                    );
                }
                *times.entry((user, of, step)).or_default() += 1;
            }
        }
        assert!(times.values().all(|times| *times == 1), "nobody twice");
        for (_, of) in &notices {
            for user in &users {
                let is_named = |step| times.contains_key(&(user.clone(), *of, step));
                if !acked.contains_key(&(user.clone(), *of)) {
                    assert!(is_named(1) && is_named(2), "{user} has never taken note of {of}");
                }
            }
        }
        // And all of it reaches the endpoint, but for those who took note before it was sent.
        let logged: BTreeSet<(String, i64, u64)> =
            times.into_keys().map(|(user, of, step)| (user, step, of)).collect();
        let expected: BTreeSet<_> = logged
            .iter()
            .filter(|(user, _, of)| !acked.contains_key(&(user.clone(), *of)))
            .cloned()
            .collect();
        until("everything has arrived", async || {
            expected.is_subset(&named(&push).into_iter().collect::<BTreeSet<_>>())
        })
        .await;
        assert!(
            named(&push).into_iter().all(|named| logged.contains(&named)),
            "nobody whom the log does not name"
        );
        Arc::into_inner(stack).unwrap().stop().await.unwrap();
    });
}
