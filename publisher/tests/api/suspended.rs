//! Is everybody refused who asks for anything of a suspended tenant, but for those who run the installation?

use crate::harness::{ADMIN, Api, NONE, Reply, make_key, token_for};
use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const TENANT: &str = "suspended-all";

async fn set(api: &Api, body: Value) -> Reply {
    api.call(Method::PUT, &format!("/v1/tenants/{TENANT}"), &[JSON], body.to_string()).await
}

async fn ask(api: &Api, who: &str, method: &str, path: &str, body: &Value) -> Reply {
    let body = match method {
        "get" | "delete" => Body::empty(),
        _ => Body::from(body.to_string()),
    };
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    api.call(method, path, &[JSON, ("authorization", who)], body).await
}

/// Every operation of the contract: its method, its path with something for each parameter, and a body.
async fn operations(api: &Api) -> Vec<(String, String, Value)> {
    let document = api.get("/openapi.json").await.json;
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, _) in methods.as_object().unwrap() {
            let filled = path
                .replace("{tenant}", TENANT)
                .replace("{channel}", "order:7")
                .replace("{pattern}", "order:*")
                .replace("{type}", "order.paid")
                .replace("{seq}", "1")
                .replace("{id}", "1");
            let required: &[(&str, &str)] = match filled.as_str() {
                "/v1/presence" => &[("user", "mila")],
                "/v1/connections" if method == "delete" => &[("user", "mila")],
                "/v1/latest" => &[("channel", "order:7")],
                _ => &[],
            };
            let query: Vec<String> = required.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
            let body = match filled.as_str() {
                "/v1/events" | "/v1/dry-runs/events" => {
                    json!({"type": "order.paid", "channels": ["order:7"]})
                }
                "/v1/event-batches" => json!([{"type": "order.paid", "channels": ["order:7"]}]),
                "/v1/notices" | "/v1/dry-runs/notices" => {
                    json!({"title": "Shift moved", "audience": {"users": ["mila"]}})
                }
                _ => json!({}),
            };
            operations.push((method.clone(), format!("{filled}{query}"), body));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_a_suspended_tenant_is_answered_by_any_operation_of_the_contract() {
    let api = Api::new().await;
    let key = format!("Bearer {}", make_key(&api.database, Some(TENANT), "publish,read,admin", None).await);
    let (ada, mila) = (token_for("ada", TENANT, &[], ADMIN), token_for("mila", TENANT, &[], NONE));
    assert_eq!(set(&api, json!({})).await.json["suspended"], Value::Null);
    let before = ask(&api, &key, "get", "/v1/events", &Value::Null).await;
    assert_eq!(before.status, 200, "{:?}", before.json);
    let event = json!({"type": "order.paid", "channels": ["order:7"]});
    let first = ask(&api, &key, "post", "/v1/events", &event).await.seq();
    assert_eq!(set(&api, json!({"suspended": true})).await.json["suspended"], true);
    let operations = operations(&api).await;
    assert!(operations.len() > 50, "{operations:?}");
    let (mut refused, mut wrong) = (0, Vec::new());
    for (method, path, body) in &operations {
        // What is about no tenant, as whose the credentials are is; and bodies that are none for a path in other forms than JSON.
        if ["/openapi.json", "/asyncapi.json", "/docs", "/v1/tenants"].contains(&path.as_str())
            || path.starts_with("/v1/console/")
            || path.contains("cloudevent")
        {
            continue;
        }
        let mut codes = Vec::new();
        for who in [&key, &ada, &mila] {
            let reply = ask(&api, who, method, path, body).await;
            assert!(!reply.status.is_success(), "{method} {path}: {:?}", reply.json);
            codes.push(reply.json["code"].as_str().unwrap_or_default().to_owned());
        }
        match codes.iter().any(|code| code == "tenant_suspended") {
            true => refused += 1,
            false => wrong.push(format!("{method} {path}: {codes:?}")),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(refused > 50, "{refused}");
    // Who runs the installation looks at everything, and publishes nothing.
    assert_eq!(api.get(&format!("/v1/events?tenant={TENANT}")).await.status, 200);
    let all = format!("Bearer {}", api.key);
    let named = json!([{"tenant": "suspended-other", "type": "order.paid", "channels": ["order:7"]},
        {"tenant": TENANT, "type": "order.paid", "channels": ["order:7"]}]);
    let reply = ask(&api, &all, "post", "/v1/events", &named).await;
    reply.problem(403, "tenant_suspended");
    assert_eq!(reply.faults(), [("/1/tenant".to_owned(), "tenant_suspended".to_owned())]);
    assert_eq!(
        api.get("/v1/events?tenant=suspended-other").await.json["events"],
        json!([]),
        "all or nothing"
    );
    // Of another tenant nobody notices anything.
    let other = token_for("ada", "suspended-other", &[], ADMIN);
    assert_eq!(ask(&api, &other, "get", "/v1/events", &Value::Null).await.status, 200);
    // A person of both is let into the other.
    assert_eq!(set(&api, json!({"suspended": false})).await.json["suspended"], Value::Null);
    let next = ask(&api, &key, "post", "/v1/events", &event).await.seq();
    assert_eq!(next, first + 1, "it goes on where it was");
    assert_eq!(ask(&api, &mila, "get", "/v1/inbox", &Value::Null).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_suspend_a_tenant_and_what_is_recorded_of_it() {
    let (api, tenant) = (Api::new().await, "suspended-who");
    let path = format!("/v1/tenants/{tenant}");
    let ada = token_for("ada", tenant, &[], ADMIN);
    ask(&api, &ada, "put", &path, &json!({"suspended": true})).await.problem(403, "missing_scope");
    let put = async |body: Value| api.call(Method::PUT, &path, &[JSON], body.to_string()).await;
    for wrong in [json!("yes"), json!(1)] {
        let reply = put(json!({"suspended": wrong})).await;
        reply.problem(422, "invalid_settings");
        assert_eq!(reply.faults(), [("/suspended".to_owned(), "wrong_type".to_owned())]);
    }
    put(json!({"limits": {"connections": 5}})).await;
    put(json!({"suspended": true})).await;
    put(json!({"suspended": true})).await;
    let lifted = put(json!({"suspended": false})).await;
    assert_eq!(lifted.json["limits"]["connections"], 5, "limits stay: {:?}", lifted.json);
    let page = api.get(&format!("/v1/audit?tenant={tenant}&action=suspension")).await;
    let told: Vec<_> =
        page.json["entries"].as_array().unwrap().iter().map(|entry| entry["after"].clone()).collect();
    assert_eq!(told, [json!({"suspended": false}), json!({"suspended": true})], "{:?}", page.json);
    let limits = api.get(&format!("/v1/audit?tenant={tenant}&action=limits")).await;
    assert_eq!(limits.json["entries"].as_array().unwrap().len(), 1, "{:?}", limits.json);
    assert_eq!(limits.json["entries"][0]["action"], "limits.created");
    let told = api.told.lock().unwrap().iter().filter(|told| told.as_str() == tenant).count();
    assert_eq!(told, 4, "gateways hear of it");
}
