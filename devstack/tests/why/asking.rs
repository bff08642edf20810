//! Who may ask, about whom, and what is a question?

use super::{call, device, facts, knows, notice, send, stack, why};
use crate::wire::{block_on, claims, publish, token};
use carillon_devstack::stack::KeyTenant;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn people_ask_about_themselves_and_learn_nothing_of_what_is_for_others() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-asking");
        let own = publish(&stack, tenant, &["user:mila"], json!({})).await;
        let others = publish(&stack, tenant, &["user:ana"], json!({})).await;
        let ask = async |bearer: &str, query: &str| {
            let path = format!("/v1/why?{query}");
            send(&stack, bearer, Method::GET, &path, Value::Null).await
        };
        let mila = token(&stack, &claims(tenant, "mila"));
        let (status, answer) = ask(&mila, &format!("event={}", own.id)).await;
        assert_eq!(
            (status, &answer["user"], &answer["seq"]),
            (200, &json!("mila"), &json!(own.seq)),
            "{answer}"
        );
        let (status, answer) = ask(&mila, &format!("event={}&user=ana", own.id)).await;
        assert_eq!((status, &answer["code"]), (403, &json!("missing_scope")), "{answer}");
        // What is for others and what is not there look the same.
        let (_, of_others) = ask(&mila, &format!("event={}", others.id)).await;
        let (_, of_none) = ask(&mila, "event=none").await;
        let same = |answer: &Value, id: &str| answer.to_string().replace(id, "ID");
        let (mut theirs, mut nobodys) = (of_others.clone(), of_none.clone());
        for answer in [&mut theirs, &mut nobodys] {
            // An id says by itself when it was made.
            answer["facts"][0]["data"]["made"] = Value::Null;
        }
        assert_eq!(same(&theirs, &others.id), same(&nobodys, "none"));
        let missing = &of_none["facts"][0]["data"];
        assert!(missing["oldest"].is_null() && !of_none.to_string().contains("reaches back"), "{of_none}");
        let (_, of_all) = call(
            &stack,
            (tenant, None),
            Method::GET,
            &format!("/v1/why?tenant={tenant}&event=none&user=mila"),
            Value::Null,
        )
        .await;
        assert!(of_all["facts"][0]["data"]["oldest"].is_string(), "{of_all}");
        assert_eq!(of_others["verdict"], "never_published");

        let mut boss = claims(tenant, "boss");
        boss.caps = vec!["admin".into()];
        let boss = token(&stack, &boss);
        let (status, answer) = ask(&boss, &format!("event={}&user=ana", others.id)).await;
        assert_eq!((status, &answer["verdict"]), (200, &json!("never_connected")), "{answer}");
        assert_eq!(ask(&boss, &format!("event={}&user=ana&tenant=why-other", others.id)).await.0, 403);
        let reads = stack.create_api_key(KeyTenant::One(tenant), &["read"]).await.unwrap();
        assert_eq!(ask(&reads, &format!("event={}&user=ana", others.id)).await.0, 200);
        let publishes = stack.create_api_key(KeyTenant::One(tenant), &["publish"]).await.unwrap();
        assert_eq!(ask(&publishes, &format!("event={}&user=ana", others.id)).await.0, 403);
        assert_eq!(ask("nobody", "event=x&user=ana").await.0, 401);
    });
}

/// Whoever asks about themselves hears nothing of webhooks, nodes and other people's connections; whoever sees all hears it.
#[test]
fn people_are_not_told_of_webhooks_nodes_and_other_peoples_connections() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-own");
        let (_phone, _) = device(&stack, (tenant, "mila"), "phone").await;
        let (_other, of_ana) = device(&stack, (tenant, "ana"), "phone").await;
        knows(&stack, tenant, "mila", 1).await;
        let (id, _) = notice(
            &stack,
            tenant,
            json!({"audience": {"tenant": true}, "escalate": [{"after": "1h", "to": "webhook:pager"}]}),
        )
        .await;
        let event = reqwest::Client::new()
            .post(format!("{}/v1/events", stack.publisher(0).url()))
            .bearer_auth(stack.api_key())
            .header("X-Carillon-Connection", &of_ana)
            .json(&json!({"tenant": tenant, "type": "t", "tenant_wide": true}))
            .send();
        let event: Value = event.await.unwrap().json().await.unwrap();
        let event = event["id"].as_str().unwrap();
        // Neither how far the log reaches back: this id was made in 2001.
        let old = uuid::Uuid::from_u128(978_307_200_000 << 80 | 7 << 76 | 2 << 62).to_string();
        let (_, own) = send(
            &stack,
            &token(&stack, &claims(tenant, "mila")),
            Method::GET,
            &format!("/v1/why?event={old}"),
            Value::Null,
        )
        .await;
        assert_eq!(own["verdict"], "never_published", "{own}");
        assert_eq!(why(&stack, tenant, &old, "mila", "").await["verdict"], "past_retention");
        let mila = token(&stack, &claims(tenant, "mila"));
        for (id, code) in [(id.as_str(), "escalation"), (event, "except")] {
            let (status, own) =
                send(&stack, &mila, Method::GET, &format!("/v1/why?event={id}"), Value::Null).await;
            assert_eq!(status, 200, "{own}");
            let all = why(&stack, tenant, id, "mila", "").await;
            assert_eq!((facts(&own, code).len(), facts(&all, code).len()), (0, 1), "{own} {all}");
            assert!(!own.to_string().contains("pager") && !own.to_string().contains(&of_ana), "{own}");
            let node = |answer: &Value| facts(answer, "sessions")[0]["data"]["open"][0]["node"].clone();
            assert!(node(&own).is_null() && node(&all).is_string(), "{own} {all}");
        }
    });
}

#[test]
fn a_bad_question_is_told_which_part_is_bad() {
    block_on(async {
        let (stack, tenant) = (stack().await, "why-bad");
        for (query, parameter) in [
            ("user=mila", "event"),
            ("event=x", "user"),
            ("event=&user=mila", "event"),
            ("event=x&user=%00", "user"),
            ("event=x&user=mila&device=a%20b", "device"),
            ("event=x&user=mila&roles=%01", "roles"),
            ("event=x&user=mila&evnt=y", "evnt"),
            ("event=x&event=y&user=mila", "event"),
        ] {
            let path = format!("/v1/why?tenant={tenant}&{query}");
            let (status, answer) = call(&stack, (tenant, None), Method::GET, &path, Value::Null).await;
            assert_eq!((status, &answer["code"]), (400, &json!("invalid_parameter")), "{query}: {answer}");
            assert_eq!(answer["errors"][0]["parameter"], parameter, "{query}: {answer}");
        }
        let path = "/v1/why?event=x&user=mila";
        let (status, answer) = call(&stack, (tenant, None), Method::GET, path, Value::Null).await;
        assert_eq!((status, &answer["errors"][0]["code"]), (400, &json!("tenant_required")), "{answer}");
        // A tenant that was never used is asked about in vain, and not made.
        let answer = why(&stack, "why-unused", "x", "mila", "").await;
        assert_eq!((&answer["verdict"], &answer["epoch"]), (&json!("never_published"), &Value::Null));
        super::becomes(&stack, "select count(*) from carillon.tenants where id = 'why-unused'", "0").await;
    });
}
