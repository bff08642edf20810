//! Why did an event not get to a device?

use super::receiver::{Receiver, Reply};
use super::{becomes, call, device, facts, knows, says, stack, why_is, why_of};
use crate::wire::{PATIENCE, ask, block_on, claims, events_to, publish, token};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn why_is_there_nothing_of_this_order_because_it_was_never_published() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-never");
        let never = why_is(&stack, (tenant, "order-1"), "mila", "never_published").await;
        says(&never, "the log is empty");
        publish(&stack, tenant, &["tenant"], json!({})).await;
        let never = why_is(&stack, (tenant, "order-1"), "mila", "never_published").await;
        says(&never, "No event order-1 was published in why-never");
        assert_eq!((&never["delivered"], &never["seq"]), (&json!(false), &Value::Null));
    });
}

#[test]
fn why_is_there_nothing_of_last_years_order_because_retention_took_it() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-past");
        let body = json!({"tenant": tenant, "id": "order-1", "type": "order.paid", "users": ["mila"]});
        let (status, first) = call(&stack, (tenant, None), Method::POST, "/v1/events", body).await;
        assert_eq!(status, 201, "{first}");
        let made = publish(&stack, tenant, &["user:mila"], json!({})).await;
        // As dropping its partition does.
        stack.sql("delete from carillon.events where tenant_id = 'why-past'").await.unwrap();
        publish(&stack, tenant, &["tenant"], json!({})).await;
        let past = why_is(&stack, (tenant, "order-1"), "mila", "past_retention").await;
        says(&past, "the log has it no more");
        assert_eq!(past["seq"], first["seq"], "the key of its id is kept for two days");
        // Whoever chose no id got one that says when it was made.
        let past = why_is(&stack, (tenant, &made.id), "mila", "past_retention").await;
        says(&past, "whose id was made at");
    });
}

#[test]
fn why_did_this_person_not_get_it_because_it_went_to_others() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-others");
        let _phone = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        let event = publish(&stack, tenant, &["user:ana", "role:head"], json!({})).await;
        let answer = why_is(&stack, (tenant, &event.id), "mila", "not_addressed").await;
        says(&answer, "it went to user:ana, role:head");
        assert_eq!(answer["delivered"], false);
        let by: Vec<&Value> = facts(&answer, "channel").iter().map(|fact| &fact["data"]["by"]).collect();
        assert_eq!(by, ["other_person", "other_role"]);
        // The server keeps nobody's roles: who asks may say them.
        let answer = why_of(&stack, (tenant, &event.id), "mila", "&roles=head", "not_subscribed").await;
        assert_eq!(facts(&answer, "channel")[1]["data"]["by"], "role");
        // One that they were connected with is known.
        let mut head = claims(tenant, "hana");
        head.roles = vec!["head".into()];
        let _hana = crate::wire::open(&stack, stack.gateway(0), &head).await;
        becomes(
            &stack,
            "select count(*) from carillon.connections where tenant_id = 'why-others' and user_id = 'hana'",
            "1",
        )
        .await;
        let later = publish(&stack, tenant, &["role:head"], json!({})).await;
        let answer = why_is(&stack, (tenant, &later.id), "hana", "no_receipt").await;
        assert_eq!(
            (&answer["delivered"], &facts(&answer, "channel")[0]["data"]["by"]),
            (&Value::Null, &json!("role"))
        );
    });
}

#[test]
fn why_does_the_page_of_this_order_stay_empty_because_no_rule_lets_them_or_nobody_subscribed() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-rules");
        let (mut phone, _) = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        for (pattern, who) in [("order:*", json!(["role:sales"])), ("room:*", json!(["anyone"]))] {
            let path = format!("/v1/channel-rules/{pattern}?tenant={tenant}");
            let (status, answer) =
                call(&stack, (tenant, None), Method::PUT, &path, json!({"subscribe": who})).await;
            assert!(status < 300, "{answer}");
        }
        let event = publish(&stack, tenant, &["order:7"], json!({})).await;
        let answer = why_is(&stack, (tenant, &event.id), "mila", "forbidden").await;
        says(
            &answer,
            "the rule order:* of the tenant is for order:7 and names neither them nor a role of theirs",
        );
        let rule = &facts(&answer, "channel")[0]["data"];
        assert_eq!(
            (&rule["pattern"], &rule["source"], &rule["verdict"]),
            (&json!("order:*"), &json!("tenant"), &json!("forbidden"))
        );
        let event = publish(&stack, tenant, &["room:7"], json!({})).await;
        let answer = why_is(&stack, (tenant, &event.id), "mila", "not_subscribed").await;
        says(&answer, "the rule room:* lets them");
        let event = publish(&stack, tenant, &["nowhere:7"], json!({})).await;
        says(&why_is(&stack, (tenant, &event.id), "mila", "forbidden").await, "no rule is for that");
        // Who is in it gets it.
        let joined = ask(&mut phone, json!({"type": "subscribe", "id": 1, "channels": ["room:7"]})).await;
        assert!(joined.is("ok"), "{joined:?}");
        let event = publish(&stack, tenant, &["room:7"], json!({})).await;
        events_to(&mut phone, event.seq).await;
        assert!(ask(&mut phone, json!({"type": "ack", "id": 2, "seq": event.seq})).await.is("ok"));
        let answer = why_is(&stack, (tenant, &event.id), "mila", "acked").await;
        assert_eq!(facts(&answer, "channel")[0]["data"]["by"], "member");
    });
}

#[test]
fn why_did_this_phone_not_ring_because_it_was_offline_since_before() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-offline");
        let (phone, connection) = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        phone.close().await;
        becomes(&stack, "select count(*) from carillon.sessions where tenant_id = 'why-offline'", "1").await;
        let event = publish(&stack, tenant, &["user:mila"], json!({})).await;
        let answer = why_is(&stack, (tenant, &event.id), "mila", "offline").await;
        says(&answer, "(bye); they get it when they come back");
        let sessions = &facts(&answer, "sessions")[0]["data"];
        assert_eq!((&sessions["before"]["connection"], &sessions["open"]), (&json!(connection), &json!([])));
        assert_eq!(
            (&answer["delivered"], &facts(&answer, "device")[0]["data"]["got"]),
            (&json!(false), &json!("offline"))
        );
        why_of(&stack, (tenant, &event.id), "mila", "&device=phone", "offline").await;
        let answer = why_of(&stack, (tenant, &event.id), "mila", "&device=tablet", "device_unknown").await;
        says(&answer, "No device tablet of mila has ever been seen");
        let answer = why_is(&stack, (tenant, &event.id), "mila", "offline").await;
        assert!(answer["answer"].as_str().unwrap().starts_with("mila was not connected"), "{answer}");
        let answer = why_is(
            &stack,
            (tenant, &publish(&stack, tenant, &["user:eva"], json!({})).await.id),
            "eva",
            "never_connected",
        )
        .await;
        says(&answer, "eva has never been connected");
    });
}

#[test]
fn why_did_this_phone_not_ring_because_its_network_does_not_take_the_event() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-behind");
        let (mut laptop, _) = device(&stack, (tenant, "mila"), "laptop").await;
        // Nobody reads it: no ping is answered, so nothing is known to have reached it.
        let (phone, _) = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 2).await;
        let event = publish(&stack, tenant, &["user:mila"], json!({})).await;
        let answer = why_of(&stack, (tenant, &event.id), "mila", "&device=phone", "device_behind").await;
        says(&answer, "It has not reached phone");
        events_to(&mut laptop, event.seq).await;
        assert!(ask(&mut laptop, json!({"type": "ack", "id": 1, "seq": event.seq})).await.is("ok"));
        let answer = why_is(&stack, (tenant, &event.id), "mila", "acked").await;
        says(&answer, "laptop acknowledged it. It has not reached phone.");
        assert_eq!(answer["delivered"], true);
        drop(phone);
    });
}

#[test]
fn did_it_get_there_yes_and_the_device_has_not_said_that_it_handled_it() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-unacked");
        let (mut phone, _) = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        let event = publish(&stack, tenant, &["user:mila"], json!({})).await;
        events_to(&mut phone, event.seq).await;
        // The pong of a later ping says that it has arrived.
        for _ in 0..2 {
            phone.next_of("heartbeat", PATIENCE).await.unwrap();
        }
        let answer = why_is(&stack, (tenant, &event.id), "mila", "delivered").await;
        says(&answer, "It reached mila: phone has it and has not acknowledged it.");
        let told = &facts(&answer, "device")[0]["data"];
        assert_eq!(
            (&told["has"], &told["acknowledged"], &told["connected"]),
            (&json!(true), &json!(false), &json!(true))
        );
    });
}

#[test]
fn why_does_my_own_tab_not_show_it_because_it_published_it_itself() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-except");
        let (mut phone, connection) = device(&stack, (tenant, "mila"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        let mut mila = claims(tenant, "mila");
        mila.caps = vec!["publish".into()];
        let answer = reqwest::Client::new()
            .post(format!("{}/v1/events", stack.publisher(0).url()))
            .bearer_auth(token(&stack, &mila))
            .header("X-Carillon-Connection", &connection)
            .json(&json!({"type": "order.paid", "users": ["mila"]}))
            .send();
        let receipt: Value = answer.await.unwrap().json().await.unwrap();
        let (id, seq) = (receipt["id"].as_str().unwrap(), receipt["seq"].as_u64().unwrap());
        let excepted = why_is(&stack, (tenant, id), "mila", "excepted").await;
        says(&excepted, &format!("{connection}, which asked not to get it back"));
        assert_eq!(excepted["delivered"], false);
        // Also when the cursor has passed it: that says nothing here.
        let later = publish(&stack, tenant, &["user:mila"], json!({})).await;
        events_to(&mut phone, later.seq).await;
        assert!(
            later.seq > seq
                && ask(&mut phone, json!({"type": "ack", "id": 1, "seq": later.seq})).await.is("ok")
        );
        why_is(&stack, (tenant, &later.id), "mila", "acked").await;
        why_is(&stack, (tenant, id), "mila", "excepted").await;
        let other = publish(&stack, tenant, &["user:mila"], json!({})).await;
        assert!(facts(&super::why(&stack, tenant, &other.id, "mila", "").await, "except").is_empty());
    });
}

#[test]
fn why_was_nobody_told_because_the_webhook_fails() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-webhook");
        let receiver = Receiver::start(|_| Reply::Status(500, "", "no")).await;
        let path = format!("/v1/webhooks/push?tenant={tenant}");
        let body = json!({"url": receiver.url, "types": ["order.*"], "ordered": false});
        let (status, answer) = call(&stack, (tenant, None), Method::PUT, &path, body).await;
        assert_eq!(status, 201, "{answer}");
        let body = json!({"tenant": tenant, "type": "order.paid", "users": ["mila"]});
        let (_, receipt) = call(&stack, (tenant, None), Method::POST, "/v1/events", body).await;
        let id = receipt["id"].as_str().unwrap();
        let answer = why_is(&stack, (tenant, id), "mila", "webhook_failing").await;
        says(&answer, "the webhook push failed");
        let told = &facts(&answer, "webhook")[0]["data"];
        assert_eq!(
            (&told["webhook"], &told["state"], &told["attempts"][0]["status"]),
            (&json!("push"), &json!("retrying"), &json!(500))
        );
        // People are not told what their tenant's services do.
        let (status, own) =
            call(&stack, (tenant, Some("mila")), Method::GET, &format!("/v1/why?event={id}"), Value::Null)
                .await;
        assert_eq!((status, &own["verdict"]), (200, &json!("never_connected")), "{own}");
        assert!(facts(&own, "webhook").is_empty());
    });
}
