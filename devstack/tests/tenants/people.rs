//! Do rules, signals, typing, presence and publishing go by the tenant that a frame names?

use super::{attach, come_into, detach, open, person, set_rule, stack};
use crate::wire::{PATIENCE, ask, block_on, publish};
use serde_json::json;

#[test]
fn each_tenant_has_its_rules_and_a_frame_goes_to_the_one_it_names() {
    block_on(async {
        let stack = stack().await;
        let (a, b) = ("rules-1", "rules-2");
        let anyone = json!(["anyone"]);
        let open_rule =
            json!({"subscribe": anyone, "publish": ["role:director"], "signal": anyone, "rate": 1000});
        for tenant in [a, b] {
            set_rule(&stack, tenant, "page:{page}", open_rule.clone()).await;
        }
        set_rule(&stack, b, "closed:{page}", json!({"subscribe": ["role:nobody"]})).await;
        set_rule(&stack, a, "closed:{page}", json!({"subscribe": anyone})).await;
        let mut ana = open(&stack, 0, &person("ana", &[(a, "teacher"), (b, "director")])).await;
        let mut bob = open(&stack, 1, &person("bob", &[(a, "teacher"), (b, "teacher")])).await;
        for socket in [&mut ana, &mut bob] {
            come_into(socket, attach(b)).await;
            for tenant in [a, b] {
                let ok =
                    ask(socket, json!({"type": "subscribe", "id": 1, "tenant": tenant, "channel": "page:1"}))
                        .await;
                assert!(ok.is("ok") && ok.text("tenant") == Some(tenant), "{ok:?}");
            }
        }
        for (tenant, code) in [(a, None), (b, Some("forbidden"))] {
            let frame = json!({"type": "subscribe", "id": 2, "tenant": tenant, "channel": "closed:1"});
            let answer = ask(&mut ana, frame).await;
            assert_eq!((answer.code(), answer.text("tenant")), (code, Some(tenant)), "{answer:?}");
        }
        // Without a name it is for the tenant that one is in for the longest.
        let first = ask(&mut ana, json!({"type": "unsubscribe", "id": 3, "channel": "closed:1"})).await;
        assert_eq!(first.text("tenant"), Some(a), "{first:?}");

        // She may publish where she is a director.
        let say = |tenant: &str, n: u64| json!({"type": "publish", "id": n, "tenant": tenant, "channel": "page:1", "event": {"type": "moved", "data": n}});
        assert_eq!(ask(&mut ana, say(a, 4)).await.code(), Some("forbidden"));
        let ok = ask(&mut ana, say(b, 5)).await;
        assert!(ok.is("ok") && ok.text("tenant") == Some(b), "{ok:?}");
        let signal = bob.next_of("signal", PATIENCE).await.unwrap();
        assert_eq!((signal.text("tenant"), &signal.event()["data"]), (Some(b), &json!(5)), "{signal:?}");

        // Typing is of a tenant, and ends with it.
        let typing = json!({"type": "typing", "id": 6, "tenant": b, "channel": "page:1", "state": "start"});
        assert!(ask(&mut ana, typing).await.is("ok"));
        let signal = bob.next_of("signal", PATIENCE).await.unwrap();
        assert_eq!((signal.text("tenant"), &signal.event()["data"]["state"]), (Some(b), &json!("start")));
        detach(&mut ana, b).await;
        let signal = bob.next_of("signal", PATIENCE).await.unwrap();
        assert_eq!((signal.text("tenant"), &signal.event()["data"]["state"]), (Some(b), &json!("stop")));
        ana.close().await;
        bob.close().await;
    });
}

#[test]
fn what_is_published_into_the_log_goes_into_that_of_the_tenant() {
    block_on(async {
        let stack = stack().await;
        let (a, b) = ("logs-1", "logs-2");
        for tenant in [a, b] {
            let rule = json!({"subscribe": ["anyone"], "publish": ["anyone"], "durable": true, "rate": 100});
            set_rule(&stack, tenant, "page:{page}", rule).await;
        }
        let mut ana = open(&stack, 0, &person("ana", &[(a, "x"), (b, "x")])).await;
        come_into(&mut ana, attach(b)).await;
        publish(&stack, a, &["role:x"], json!({"of": a})).await;
        ana.next_of("event", PATIENCE).await.unwrap();
        for (tenant, seq) in [(a, 2), (b, 1)] {
            let frame = json!({"type": "publish", "id": tenant, "tenant": tenant, "channel": "page:1", "event": {"type": "moved"}});
            let ok = ask(&mut ana, frame).await;
            assert_eq!((ok.text("tenant"), ok.seq()), (Some(tenant), Some(seq)), "{ok:?}");
        }
        ana.close().await;
    });
}

#[test]
fn who_is_here_is_of_each_tenant_and_whoever_leaves_it_is_gone() {
    block_on(async {
        let stack = stack().await;
        let (a, b) = ("here-1", "here-2");
        for tenant in [a, b] {
            let rule = json!({"subscribe": ["anyone"], "presence": ["anyone"], "presence_grace_ms": 300_000});
            set_rule(&stack, tenant, "page:{page}", rule).await;
        }
        let mut bob = open(&stack, 1, &person("bob", &[(a, "x"), (b, "x")])).await;
        come_into(&mut bob, attach(b)).await;
        for tenant in [a, b] {
            let frame = json!({"type": "subscribe", "id": 1, "tenant": tenant, "channel": "page:1", "presence": true});
            let ok = ask(&mut bob, frame).await;
            let presence = &ok.0["presence"]["page:1"];
            assert_eq!((ok.text("tenant"), &presence["count"]), (Some(tenant), &json!(1)), "{ok:?}");
        }
        let mut ana = open(&stack, 0, &person("ana", &[(a, "x"), (b, "x")])).await;
        come_into(&mut ana, json!({"type": "attach", "id": 1, "tenant": b, "channels": ["page:1"]})).await;
        let joined = bob.next_of("presence", PATIENCE).await.unwrap();
        assert_eq!(
            (joined.text("tenant"), &joined.0["joined"][0]["user"]),
            (Some(b), &json!("ana")),
            "{joined:?}"
        );
        let who = ask(&mut ana, json!({"type": "presence", "id": 2, "tenant": a, "channel": "page:1"})).await;
        assert_eq!(
            (who.text("tenant"), &who.0["presence"]["page:1"]["count"]),
            (Some(a), &json!(1)),
            "{who:?}"
        );
        // What she says of herself there is of that tenant.
        let meta = json!({"type": "presence", "id": 3, "tenant": b, "meta": {"desk": 4}});
        assert!(ask(&mut ana, meta).await.is("ok"));
        let updated = bob.next_of("presence", PATIENCE).await.unwrap();
        assert_eq!((updated.text("tenant"), &updated.0["updated"][0]["meta"]["desk"]), (Some(b), &json!(4)));
        // Five minutes of grace do not hold for whoever leaves.
        detach(&mut ana, b).await;
        let left = bob.next_of("presence", PATIENCE).await.unwrap();
        assert_eq!((left.text("tenant"), &left.0["left"]), (Some(b), &json!(["ana"])), "{left:?}");
        ana.close().await;
        bob.close().await;
    });
}
