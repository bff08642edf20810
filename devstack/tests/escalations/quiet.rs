//! Is nobody woken for whom it is quiet, but by what is critical?

use super::{acks, call, named, notice, opens, push, stack, state, until};
use reqwest::Method;
use serde_json::{Value, json};

async fn is_quiet(stack: &carillon_devstack::stack::Stack, tenant: &str, user: &str, until: Value) {
    let body = json!({"do_not_disturb_until": until});
    let (status, answer) = call(stack, (tenant, Some(user)), Method::PUT, "/v1/preferences", body).await;
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn whom_it_is_quiet_for_is_named_when_that_ends_unless_they_took_note_and_what_is_critical_passes() {
    super::wire::block_on(async {
        let (stack, tenant) = (stack().await, "quiet");
        for user in ["ada", "ben", "cem", "dan"] {
            opens(&stack, tenant, user).await;
        }
        for user in ["ben", "cem", "dan"] {
            is_quiet(&stack, tenant, user, json!("2099-01-01T00:00:00Z")).await;
        }
        let push = push(&stack, tenant).await;
        let with = |priority: &str| json!({"audience": {"tenant": true}, "priority": priority, "escalate": [{"after": "1s", "to": "webhook:push"}]});
        let (id, seq) = notice(&stack, tenant, with("high")).await;
        until("three are held", async || state(&stack, tenant, &id).await["escalate"][0]["held"] == 3).await;
        until("the first is named", async || !push.messages().is_empty()).await;
        assert_eq!(named(&push), [("ada".to_owned(), 1, seq)]);
        acks(&stack, tenant, "cem", seq).await;
        // Who is not quiet any more is looked at at once.
        is_quiet(&stack, tenant, "cem", Value::Null).await;
        is_quiet(&stack, tenant, "ben", Value::Null).await;
        until("the second is named", async || push.messages().len() >= 2).await;
        assert_eq!(named(&push), [("ada", seq), ("ben", seq)].map(|(user, seq)| (user.to_owned(), 1, seq)));
        until("one is held", async || state(&stack, tenant, &id).await["escalate"][0]["held"] == 1).await;
        let (_, critical) = notice(&stack, tenant, with("critical")).await;
        until("all are named", async || push.messages().len() >= 3).await;
        let woken: Vec<_> = named(&push).into_iter().filter(|(_, _, seq)| *seq == critical).collect();
        assert_eq!(woken, ["ada", "ben", "cem", "dan"].map(|user| (user.to_owned(), 1, critical)));
    });
}
