//! Why does a notice not stand in the inbox, or why did it not ring?

use super::{device, does, facts, knows, notice, says, stack, why_is};
use crate::wire::{ask, block_on, events_to};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn why_is_it_not_in_the_inbox_because_its_type_is_muted() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-muted");
        does(&stack, (tenant, "mila"), Method::GET, "/v1/inbox", Value::Null).await;
        let muted = json!({"types": {"shift.*": {"inbox": false}}});
        does(&stack, (tenant, "mila"), Method::PUT, "/v1/preferences", muted).await;
        let (id, _) = notice(&stack, tenant, json!({"audience": {"users": ["mila", "ana"]}})).await;
        let answer = why_is(&stack, (tenant, &id), "mila", "muted").await;
        says(&answer, "their own preference for shift.* says so");
        assert_eq!(facts(&answer, "preferences")[0]["data"]["inbox"]["gets"], false);
        assert_ne!(super::why(&stack, tenant, &id, "ana", "").await["verdict"], "muted");
    });
}

#[test]
fn why_did_it_not_ring_because_it_was_quiet_for_them() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-quiet");
        let (mut phone, _) = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        let quiet = json!({"do_not_disturb_until": "2099-01-01T00:00:00Z"});
        does(&stack, (tenant, "mila"), Method::PUT, "/v1/preferences", quiet).await;
        let (id, seq) = notice(&stack, tenant, json!({"audience": {"users": ["mila"]}})).await;
        let (critical, last) =
            notice(&stack, tenant, json!({"audience": {"users": ["mila"]}, "priority": "critical"})).await;
        events_to(&mut phone, last).await;
        assert!(ask(&mut phone, json!({"type": "ack", "id": 1, "seq": last})).await.is("ok"));
        let answer = why_is(&stack, (tenant, &id), "mila", "quiet_hours").await;
        says(&answer, "it was quiet for mila until 2099-01-01T00:00:00Z");
        assert_eq!((&answer["delivered"], &answer["seq"]), (&json!(true), &json!(seq)));
        // What is critical passes.
        why_is(&stack, (tenant, &critical), "mila", "acked").await;
        let off = json!({"types": {"shift.moved": {"toast": false, "desktop": false}}, "do_not_disturb_until": null});
        does(&stack, (tenant, "mila"), Method::PUT, "/v1/preferences", off).await;
        says(
            &why_is(&stack, (tenant, &id), "mila", "not_shown").await,
            "toast and desktop are off for shift.moved",
        );
    });
}

#[test]
fn where_is_the_notice_they_have_put_it_off_archived_read_deleted_or_emptied_their_inbox() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-marks");
        let mila = (tenant, "mila");
        does(&stack, mila, Method::GET, "/v1/inbox", Value::Null).await;
        let (id, seq) =
            notice(&stack, tenant, json!({"audience": {"users": ["mila"]}, "requires_ack": true})).await;
        let at = |deed: &str| format!("/v1/inbox/{seq}{deed}");
        let until = format!("{:.0}", jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24));
        does(&stack, mila, Method::POST, &at("/snooze"), json!({"until": until})).await;
        let answer = why_is(&stack, (tenant, &id), "mila", "snoozed").await;
        says(&answer, &format!("put it off until {until}"));
        does(&stack, mila, Method::POST, &at("/snooze"), json!({"until": null})).await;
        does(&stack, mila, Method::POST, &at("/read"), Value::Null).await;
        let answer = why_is(&stack, (tenant, &id), "mila", "read").await;
        assert_eq!(
            (&answer["delivered"], &facts(&answer, "notice")[0]["data"]["in_inbox"]),
            (&json!(true), &json!(true))
        );
        does(&stack, mila, Method::POST, &at("/archive"), Value::Null).await;
        why_is(&stack, (tenant, &id), "mila", "archived").await;
        does(&stack, mila, Method::POST, &at("/ack"), Value::Null).await;
        says(&why_is(&stack, (tenant, &id), "mila", "acked").await, "mila took note of it at");
        does(&stack, mila, Method::DELETE, &at(""), Value::Null).await;
        let answer = why_is(&stack, (tenant, &id), "mila", "deleted").await;
        assert_eq!(facts(&answer, "notice")[0]["data"]["in_inbox"], false);
        let (other, up_to) = notice(&stack, tenant, json!({"audience": {"users": ["mila"]}})).await;
        does(&stack, mila, Method::POST, "/v1/inbox/clear", json!({"up_to": up_to})).await;
        why_is(&stack, (tenant, &other), "mila", "cleared").await;
    });
}

#[test]
fn where_has_the_notice_gone_it_was_taken_back_or_its_time_is_over() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-retracted");
        let (id, _) = notice(&stack, tenant, json!({"audience": {"users": ["mila"]}})).await;
        let path = format!("/v1/notices/{id}?tenant={tenant}");
        let (status, answer) = super::call(&stack, (tenant, None), Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        let answer = why_is(&stack, (tenant, &id), "mila", "retracted").await;
        says(&answer, "The notice was taken back at ");
        assert_eq!(answer["delivered"], false);
        let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5)).to_string();
        let (id, _) =
            notice(&stack, tenant, json!({"audience": {"users": ["mila"]}, "expires_at": soon})).await;
        says(&why_is(&stack, (tenant, &id), "mila", "expired").await, "The notice expired at ");
    });
}

#[test]
fn why_does_a_newcomer_not_have_the_notice_that_went_to_everybody_before() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-newcomer");
        let (id, _) = notice(&stack, tenant, json!({"audience": {"tenant": true}})).await;
        does(&stack, (tenant, "eva"), Method::GET, "/v1/inbox", Value::Null).await;
        let answer = why_is(&stack, (tenant, &id), "eva", "before_first_seen").await;
        says(&answer, "eva was seen for the first time after it");
        // To ask about somebody opens no inbox of theirs.
        super::why(&stack, tenant, &id, "nobody", "").await;
        super::becomes(
            &stack,
            "select string_agg(user_id, ' ') from carillon.inbox_state where tenant_id = 'why-newcomer'",
            "eva",
        )
        .await;
    });
}
