//! Is it known before publishing what something would say and whom it is for, and is nothing stored?

use super::{becomes, call, device, does, knows, send, stack};
use crate::wire::{block_on, claims, publish, token};
use carillon_devstack::stack::KeyTenant;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn a_dry_run_checks_everything_and_tells_the_audience_and_stores_nothing() {
    block_on(async {
        let (stack, tenant) = (stack().await, "dry");
        let _phone = device(&stack, (tenant, "mila"), "phone").await;
        let _tablet = device(&stack, (tenant, "mila"), "tablet").await;
        knows(&stack, tenant, "mila", 2).await;
        does(&stack, (tenant, "ana"), Method::GET, "/v1/inbox", Value::Null).await;
        let says = json!({
            "title": "Shift moved to {{ to }}", "priority": "high",
            "locales": {"de": {"title": "Schicht auf {{ to }} verlegt"}},
            "schema": {"type": "object", "required": ["to"]},
        });
        let path = format!("/v1/event-types/shift.moved?tenant={tenant}");
        let (status, answer) = call(&stack, (tenant, None), Method::PUT, &path, says).await;
        assert!(status < 300, "{answer}");
        let wanted = json!({"tenant": tenant, "type": "shift.moved", "id": "s-1", "data": {"to": "nine"}, "tenant_wide": true, "notify": {}});
        let began = std::time::Instant::now();
        // A type is known to publishers within a second.
        let event = loop {
            let (status, answer) =
                call(&stack, (tenant, None), Method::POST, "/v1/dry-runs/events", wanted.clone()).await;
            if status == 200 {
                break answer["events"][0].clone();
            }
            assert!(began.elapsed() < crate::wire::PATIENCE, "{answer}");
        };
        assert_eq!((&event["id"], &event["channels"]), (&json!("s-1"), &json!(["tenant"])), "{event}");
        assert_eq!(event["notice"]["title"], "Shift moved to nine", "{event}");
        assert_eq!(event["notice"]["locales"]["de"]["title"], "Schicht auf nine verlegt", "{event}");
        assert_eq!(event["notice"]["priority"], "high", "{event}");
        assert_eq!(
            event["audience"],
            json!({"people": 2, "devices": 2, "connected": 1, "complete": false}),
            "{event}"
        );
        // The same faults as of publishing.
        let mut bad = wanted.clone();
        bad["data"] = json!({});
        let (status, faults) =
            call(&stack, (tenant, None), Method::POST, "/v1/dry-runs/events", bad.clone()).await;
        let (_, same) = call(&stack, (tenant, None), Method::POST, "/v1/events", bad).await;
        assert_eq!((status, &faults["errors"]), (422, &same["errors"]), "{faults}");
        let notice = json!({"tenant": tenant, "title": "Hello", "audience": {"users": ["mila"]}});
        let (_, answer) =
            call(&stack, (tenant, None), Method::POST, "/v1/dry-runs/notices", notice.clone()).await;
        assert_eq!(
            answer["events"][0]["audience"],
            json!({"people": 1, "devices": 2, "connected": 1, "complete": true}),
            "{answer}"
        );
        let eleven: Vec<&Value> = std::iter::repeat_n(&wanted, 11).collect();
        let mut eleven = json!(eleven);
        for (n, event) in eleven.as_array_mut().unwrap().iter_mut().enumerate() {
            event["id"] = json!(format!("s-{n}"));
        }
        let (status, answer) =
            call(&stack, (tenant, None), Method::POST, "/v1/dry-runs/events", eleven).await;
        assert_eq!((status, &answer["errors"][0]["code"]), (422, &json!("too_many")), "{answer}");
        // Who may publish and not look is not told whom it would reach.
        let publishes = stack.create_api_key(KeyTenant::One(tenant), &["publish"]).await.unwrap();
        let (mut may, mut boss) = (claims(tenant, "paul"), claims(tenant, "boss"));
        may.caps = vec!["publish".into()];
        boss.caps = vec!["publish".into(), "admin".into()];
        let own = json!({"tenant": tenant, "title": "Hello", "audience": {"users": ["ana"]}});
        for (bearer, is_told) in
            [(publishes, false), (token(&stack, &may), false), (token(&stack, &boss), true)]
        {
            let (status, answer) =
                send(&stack, &bearer, Method::POST, "/v1/dry-runs/notices", own.clone()).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["events"][0]["audience"].is_object(), is_told, "{answer}");
            assert_eq!(answer["events"][0]["notice"]["title"], "Hello", "{answer}");
        }
        let plain = token(&stack, &claims(tenant, "mila"));
        let (status, _) = send(&stack, &plain, Method::POST, "/v1/dry-runs/notices", notice).await;
        assert_eq!(status, 403);
        becomes(&stack, "select count(*) from carillon.events where tenant_id = 'dry'", "0").await;
        becomes(&stack, "select count(*) from carillon.idempotency where tenant_id = 'dry'", "0").await;
        assert_eq!(publish(&stack, tenant, &["tenant"], json!({})).await.seq, 1);
    });
}
