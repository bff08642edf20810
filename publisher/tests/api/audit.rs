//! Does every administrative write leave exactly one record, with who, what, before and after, and a refused one none?

use crate::harness::{ADMIN, Api, NONE, Reply, make_key, token_for};
use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn call(api: &Api, method: &Method, path: &str, who: &str, body: Option<&Value>) -> Reply {
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    api.call(method.clone(), path, &[JSON, ("authorization", who)], body).await
}

async fn entries(api: &Api, who: &str, query: &str) -> Vec<Value> {
    let page = api.get_with(&[("authorization", who)], &format!("/v1/audit{query}")).await;
    assert_eq!(page.status, 200, "{:?}", page.json);
    page.json["entries"].as_array().unwrap().clone()
}

fn stored(api: &Api, tenant: &str) -> u64 {
    let sql = format!("select count(*) from carillon.audit where tenant_id = '{tenant}'");
    api.database.sql(&sql).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_administrative_write_leaves_one_record_and_a_refused_one_none() {
    let (api, tenant) = (Api::new().await, "audit-all");
    let (admin, mila) = (token_for("ada", tenant, &[], ADMIN), token_for("mila", tenant, &[], NONE));
    let all_tenants = format!("Bearer {}", api.key);
    let rule = json!({"subscribe": ["anyone"]});
    let webhook =
        json!({"url": "https://hooks.example/x", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let limits = json!({"limits": {"connections": 5}});
    let (put, post, delete) = (Method::PUT, Method::POST, Method::DELETE);
    // Method, path, body, status, what is recorded, of which, before and after; by an administrator, or with the key for all tenants.
    type Case = (Method, String, Option<Value>, u16, Option<(&'static str, &'static str)>, bool);
    let case = |method: &Method,
                path: &str,
                body: Option<Value>,
                status: u16,
                what: Option<(&'static str, &'static str)>|
     -> Case { (method.clone(), path.to_owned(), body, status, what, false) };
    let cases: Vec<Case> = vec![
        case(&put, "/v1/channel-rules/a:*", Some(rule.clone()), 200, Some(("channel_rule.created", "a:*"))),
        case(
            &put,
            "/v1/channel-rules/a:*",
            Some(json!({"subscribe": ["role:x"]})),
            200,
            Some(("channel_rule.changed", "a:*")),
        ),
        case(&put, "/v1/channel-rules/a:*", Some(json!({"subscribe": 7})), 422, None),
        case(&delete, "/v1/channel-rules/b:*", None, 404, None),
        case(&delete, "/v1/channel-rules/a:*", None, 204, Some(("channel_rule.deleted", "a:*"))),
        case(
            &put,
            "/v1/event-types/order.paid",
            Some(json!({"title": "T"})),
            200,
            Some(("event_type.created", "order.paid")),
        ),
        case(&put, "/v1/event-types/order.paid", Some(json!({"title": 1})), 422, None),
        case(
            &put,
            "/v1/event-types/order.paid",
            Some(json!({"priority": "high"})),
            200,
            Some(("event_type.changed", "order.paid")),
        ),
        case(&delete, "/v1/event-types/order.paid", None, 204, Some(("event_type.deleted", "order.paid"))),
        case(&put, "/v1/webhooks/shop", Some(webhook), 201, Some(("webhook.created", "shop"))),
        case(&put, "/v1/webhooks/shop", Some(json!({"url": "no url"})), 422, None),
        case(&post, "/v1/webhooks/shop/disable", None, 200, Some(("webhook.changed", "shop"))),
        case(&post, "/v1/webhooks/shop/enable", None, 200, Some(("webhook.changed", "shop"))),
        case(&post, "/v1/webhooks/shop/rotate", None, 200, Some(("webhook.changed", "shop"))),
        case(
            &post,
            "/v1/webhooks/shop/replay",
            Some(json!({"from_seq": 1})),
            200,
            Some(("webhook.changed", "shop")),
        ),
        case(&post, "/v1/webhooks/none/disable", None, 404, None),
        case(&delete, "/v1/webhooks/shop", None, 204, Some(("webhook.deleted", "shop"))),
        case(
            &put,
            "/v1/preferences/defaults",
            Some(json!({"locale": "de"})),
            200,
            Some(("preference_defaults.created", "preference_defaults")),
        ),
        case(&put, "/v1/preferences/defaults", Some(json!({"locale": "?"})), 422, None),
        case(
            &put,
            "/v1/preferences?user=jan",
            Some(json!({"locale": "fr"})),
            200,
            Some(("preferences.created", "jan")),
        ),
        case(
            &put,
            &format!("/v1/tenants/{tenant}"),
            Some(json!({"authorize_url": "https://app.example/ask"})),
            200,
            Some(("application.created", "application")),
        ),
        (
            put.clone(),
            format!("/v1/tenants/{tenant}"),
            Some(limits.clone()),
            200,
            Some(("limits.created", "limits")),
            true,
        ),
        case(&put, &format!("/v1/tenants/{tenant}"), Some(limits), 403, None),
        case(&delete, "/v1/connections?user=jan", None, 202, Some(("revocation.created", "jan"))),
        case(&delete, "/v1/revocations/x", None, 404, None),
    ];
    // Whoever may not, leaves nothing.
    let mut records = 0;
    for (method, path, body, status, what, with_key) in &cases {
        let refused = call(&api, method, path, &mila, body.as_ref()).await;
        assert!(refused.status == 403, "{method} {path}: {:?}", refused.json);
        assert_eq!(stored(&api, tenant), records, "{method} {path} as nobody in particular");
        let (who, name) = match with_key {
            true => (&all_tenants, format!("key:{}", api.key.split('_').nth(1).unwrap())),
            false => (&admin, "user:ada".to_owned()),
        };
        let path = match (with_key, path.contains("/v1/tenants/"), path.contains('?')) {
            (true, false, true) => format!("{path}&tenant={tenant}"),
            (true, false, false) => format!("{path}?tenant={tenant}"),
            _ => path.clone(),
        };
        let reply = call(&api, method, &path, who, body.as_ref()).await;
        assert_eq!(reply.status, *status, "{method} {path}: {:?}", reply.json);
        records += u64::from(what.is_some());
        assert_eq!(stored(&api, tenant), records, "{method} {path}");
        let Some((action, target)) = what else { continue };
        let newest = entries(&api, &admin, "?limit=1").await.remove(0);
        let said =
            [&newest["action"], &newest["target"], &newest["actor"]].map(|value| value.as_str().unwrap());
        assert_eq!(said, [*action, *target, name.as_str()], "{method} {path}");
        assert_eq!(newest["before"].is_null(), action.ends_with("created"), "{newest}");
        assert_eq!(newest["after"].is_null(), action.ends_with("deleted"), "{newest}");
    }
    // What people say for themselves is theirs.
    assert_eq!(call(&api, &put, "/v1/preferences", &mila, Some(&json!({"locale": "it"}))).await.status, 200);
    assert_eq!(stored(&api, tenant), records);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_say_before_and_after_without_secrets_and_are_found_by_who_and_what() {
    let (api, tenant) = (Api::new().await, "audit-read");
    let (ada, bo) = (token_for("ada", tenant, &[], ADMIN), token_for("bo", tenant, &[], ADMIN));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (who, name) in [(&ada, "one"), (&bo, "two"), (&ada, "two")] {
        let says = json!({"subscribe": [format!("role:{name}")]});
        call(&api, &Method::PUT, &format!("/v1/channel-rules/{name}:*"), who, Some(&says)).await;
    }
    let hook = json!({"url": "https://hooks.example/x", "secret": secret});
    assert_eq!(call(&api, &Method::PUT, "/v1/webhooks/w", &ada, Some(&hook)).await.status, 201);
    call(&api, &Method::POST, "/v1/webhooks/w/rotate", &bo, None).await;
    let all = entries(&api, &ada, "").await;
    let told: Vec<_> = all
        .iter()
        .map(|entry| (entry["actor"].as_str().unwrap(), entry["target"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("user:bo", "w"),
            ("user:ada", "w"),
            ("user:ada", "two:*"),
            ("user:bo", "two:*"),
            ("user:ada", "one:*")
        ]
    );
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains("MfKQ9r8") && text.contains("sha256:"), "{text}");
    assert_ne!(all[0]["before"]["secret"], all[0]["after"]["secret"], "that it was rotated is seen");
    assert_eq!(all[0]["before"]["url"], "https://hooks.example/x");
    assert_eq!(all[3]["after"]["rule"]["subscribe"], json!(["role:two"]));
    let found = async |query: &str| entries(&api, &ada, query).await.len();
    let at = all[2]["at"].as_str().unwrap();
    let counts = [
        ("?actor=user:bo".to_owned(), 2),
        ("?action=channel_rule".into(), 3),
        ("?action=webhook.created".into(), 1),
        ("?action=webh".into(), 0),
        ("?target=two:*&actor=user:ada".into(), 1),
        (format!("?from={at}"), 3),
        (format!("?to={at}"), 2),
    ];
    for (query, count) in counts {
        assert_eq!(found(&query).await, count, "{query}");
    }
    let (mut path, mut pages) = ("/v1/audit?limit=2".to_owned(), Vec::new());
    loop {
        let page = api.get_with(&[("authorization", &ada)], &path).await.json;
        pages.extend(page["entries"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/audit?limit=2&after={next}");
    }
    assert_eq!(pages, all);
    // Nobody else's, and by nobody else.
    let other = token_for("ada", "audit-other", &[], ADMIN);
    assert_eq!(entries(&api, &other, "").await, Vec::<Value>::new());
    let reader = make_key(&api.database, Some(tenant), "publish,read", None).await;
    api.get_with(&[("x-api-key", &reader)], "/v1/audit").await.problem(403, "missing_scope");
    for query in ["?limit=0", "?after=x", "?from=noon", "?who=ada", "?actor="] {
        let refused = api.get_with(&[("authorization", &ada)], &format!("/v1/audit{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
    }
    // Who works in the database is named by their login; nobody changes a record.
    api.database.sql(&format!(
        "delete from carillon.channel_rules where tenant_id = '{tenant}' and pattern = 'one:*'"
    ));
    let newest = entries(&api, &ada, "?limit=1").await.remove(0);
    assert!(
        newest["actor"].as_str().unwrap().starts_with("login:") && newest["action"] == "channel_rule.deleted",
        "{newest}"
    );
    let forged = "set role carillon_publisher; delete from carillon.audit";
    let psql = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| api.database.sql(forged)));
    assert!(psql.is_err(), "a publisher cannot");
    // What is past its time goes.
    api.database.sql(&format!("update carillon.audit set at = now() - interval '401 days' where tenant_id = '{tenant}' and target = 'w'"));
    api.database.log(carillon_backplane::log::Role::Publisher).forget_audit(1_000).await.unwrap();
    // A key for a test was made meanwhile.
    assert_eq!(found("").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_failed_delivery_sent_again_leaves_a_record_and_the_service_that_tries_it_again_none() {
    let (api, tenant) = (Api::new().await, "audit-again");
    let ada = token_for("ada", tenant, &[], ADMIN);
    let hook = json!({"url": "https://hooks.example/x"});
    assert_eq!(call(&api, &Method::PUT, "/v1/webhooks/shop", &ada, Some(&hook)).await.status, 201);
    api.database.sql(&format!(
        "insert into carillon.webhook_deliveries (tenant_id, webhook, seq, state, failures, next_at, attempts, answer)
        values ('{tenant}', 'shop', 7, 'parked', 7, 'infinity', '[]', '')"
    ));
    let none = call(&api, &Method::POST, "/v1/webhooks/shop/deliveries/8/retry", &ada, None).await;
    none.problem(404, "not_found");
    let again = call(&api, &Method::POST, "/v1/webhooks/shop/deliveries/7/retry", &ada, None).await;
    assert!(again.status.is_success(), "{:?}", again.json);
    let told = entries(&api, &ada, "?action=webhook_delivery").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["actor"], &told[0]["action"], &told[0]["target"]),
        (&json!("user:ada"), &json!("webhook_delivery.changed"), &json!("shop 7"))
    );
    assert_eq!(
        (&told[0]["before"]["state"], &told[0]["after"]["state"]),
        (&json!("parked"), &json!("retrying"))
    );
    // As a sender writes that it failed again.
    api.database.sql(&format!(
        "update carillon.webhook_deliveries set next_at = now() + interval '5 s', failures = 8 where tenant_id = '{tenant}'"
    ));
    assert_eq!(stored(&api, tenant), 2, "the webhook, and what ada did");
}
