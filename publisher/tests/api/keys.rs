//! Are API keys made, rotated and ended over REST, and is what proves them shown once?

use crate::harness::{ADMIN, Api, NONE, Reply, make_key, token_for};
use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn call(api: &Api, method: Method, path: &str, who: &str, body: Option<Value>) -> Reply {
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    api.call(method, path, &[JSON, ("authorization", who)], body).await
}

async fn works(api: &Api, key: &str) -> bool {
    let reply = api.get_with(&[("x-api-key", key)], "/v1/events").await;
    assert!(matches!(reply.status.as_u16(), 200 | 401), "{:?}", reply.json);
    reply.status == 200
}

async fn until(mut is_so: impl AsyncFnMut() -> bool, what: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so().await {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_works_is_replaced_with_an_overlap_and_ends() {
    let (api, tenant) = (Api::new().await, "keys-life");
    let admin = token_for("ada", tenant, &[], ADMIN);
    let body = json!({"scopes": ["read", "publish"], "name": "shop", "expires_at": "2999-01-01T00:00:00Z"});
    let made = call(&api, Method::POST, "/v1/api-keys", &admin, Some(body)).await;
    assert_eq!(made.status, 201, "{:?}", made.json);
    let (key, id) = (made.json["key"].as_str().unwrap(), made.json["id"].as_str().unwrap());
    assert!(key.starts_with(&format!("crln_{id}_")), "{:?}", made.json);
    for (name, expected) in [
        ("name", json!("shop")),
        ("tenant", json!(tenant)),
        ("scopes", json!(["publish", "read"])),
        ("expires_at", json!("2999-01-01T00:00:00Z")),
        ("last_used_at", Value::Null),
    ] {
        assert_eq!(made.json[name], expected, "{name}");
    }
    assert!(works(&api, key).await);
    let path = format!("/v1/api-keys/{id}");
    let read = async || call(&api, Method::GET, &path, &admin, None).await.json;
    until(async || read().await["last_used_at"].is_string(), "it is noted that it is used").await;
    let shown = read().await;
    assert!(
        shown.get("key").is_none() && !shown.to_string().contains(key.split('_').nth(2).unwrap()),
        "{shown}"
    );
    // Another one that may do the same; both work.
    let rotate = format!("{path}/rotate");
    let next = call(&api, Method::POST, &rotate, &admin, Some(json!({"overlap_seconds": 3_600}))).await;
    assert_eq!(
        (next.status.as_u16(), &next.json["replaces"], &next.json["name"]),
        (201, &json!(id), &json!("shop"))
    );
    let new = next.json["key"].as_str().unwrap();
    assert!(works(&api, new).await && works(&api, key).await);
    let before = read().await;
    assert_eq!(before["replaced_by"], next.json["id"]);
    assert!(before["expires_at"].as_str().unwrap() < "2999", "{before}");
    // The answer was lost: once more, with the end of the first one. Another name does not bring back what was replaced.
    let again = call(&api, Method::POST, &rotate, &admin, Some(json!({}))).await;
    assert_eq!((again.status.as_u16(), &again.json["expires_at"]), (201, &json!("2999-01-01T00:00:00Z")));
    let renamed = call(&api, Method::PUT, &path, &admin, Some(json!({"name": "old"}))).await.json;
    assert_eq!((&renamed["expires_at"], &renamed["replaced_by"]), (&before["expires_at"], &again.json["id"]));
    // An end that is set anew, and one now.
    let new_path = format!("/v1/api-keys/{}", next.json["id"].as_str().unwrap());
    let changed = call(&api, Method::PUT, &new_path, &admin, Some(json!({"name": "till"}))).await.json;
    assert_eq!((&changed["name"], &changed["expires_at"]), (&json!("till"), &Value::Null));
    assert_eq!(call(&api, Method::DELETE, &new_path, &admin, None).await.status, 204);
    call(&api, Method::DELETE, &new_path, &admin, None).await.problem(404, "not_found");
    until(async || !works(&api, new).await, "a key that was ended stops working within ten seconds").await;
    assert!(works(&api, key).await, "the one before goes on for an hour");
    let listed = call(&api, Method::GET, "/v1/api-keys", &admin, None).await.json;
    assert_eq!((listed["keys"].as_array().unwrap().len(), &listed["next"]), (3, &Value::Null));
    let first = call(&api, Method::GET, "/v1/api-keys?limit=1", &admin, None).await.json;
    let after = format!("/v1/api-keys?limit=1&after={}", first["next"].as_str().unwrap());
    let second = call(&api, Method::GET, &after, &admin, None).await.json;
    assert_eq!([&first["keys"][0], &second["keys"][0]], [&listed["keys"][0], &listed["keys"][1]]);
    // One record for each change.
    let audit = api.get_with(&[("authorization", &admin)], "/v1/audit?action=api_key").await.json;
    let told: Vec<_> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let (changed, made) = told.split_at(5);
    assert!(
        changed.iter().all(|action| *action == "api_key.changed") && made == ["api_key.created"],
        "{told:?}"
    );
    assert_eq!(audit["entries"][4]["after"]["replaced_by"], next.json["id"]);
    assert!(!audit.to_string().contains(key.split('_').nth(2).unwrap()), "{audit}");
}

/// A publisher knows a key for ten seconds after its end; what it makes in that time would outlive it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_ended_makes_changes_and_ends_no_other() {
    let (api, tenant) = (Api::new().await, "keys-ended");
    let admin = token_for("ada", tenant, &[], ADMIN);
    let make = async |scopes: Value| {
        call(&api, Method::POST, "/v1/api-keys", &admin, Some(json!({"scopes": scopes}))).await.json
    };
    let (leaked, other) = (make(json!(["admin"])).await, make(json!(["read"])).await);
    let thief = format!("Bearer {}", leaked["key"].as_str().unwrap());
    let body = json!({"scopes": ["admin"]});
    assert_eq!(call(&api, Method::POST, "/v1/api-keys", &thief, Some(body.clone())).await.status, 201);
    let path = |key: &Value| format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(call(&api, Method::DELETE, &path(&leaked), &admin, None).await.status, 204);
    for (method, path, body) in [
        (Method::POST, "/v1/api-keys".to_owned(), body),
        (Method::POST, format!("{}/rotate", path(&other)), json!({})),
        (Method::PUT, path(&other), json!({})),
        (Method::DELETE, path(&other), json!({})),
    ] {
        call(&api, method, &path, &thief, Some(body)).await.problem(401, "credentials_invalid");
    }
    assert!(works(&api, other["key"].as_str().unwrap()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_a_tenants_own_and_what_is_wrong_is_told() {
    let (api, tenant) = (Api::new().await, "keys-own");
    let (admin, mila) = (token_for("ada", tenant, &[], ADMIN), token_for("mila", tenant, &[], NONE));
    let body = json!({"scopes": ["read"]});
    let made = call(&api, Method::POST, "/v1/api-keys", &admin, Some(body.clone())).await.json;
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    for (method, path) in [
        (Method::GET, "/v1/api-keys".to_owned()),
        (Method::POST, "/v1/api-keys".into()),
        (Method::GET, path.clone()),
        (Method::PUT, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/rotate")),
    ] {
        call(&api, method.clone(), &path, &mila, Some(body.clone())).await.problem(403, "missing_scope");
        call(&api, method, &format!("{path}?tenant=*"), &admin, Some(body.clone()))
            .await
            .problem(403, "tenant_forbidden");
    }
    let other = token_for("ada", "keys-other", &[], ADMIN);
    call(&api, Method::GET, &path, &other, None).await.problem(404, "not_found");
    call(&api, Method::DELETE, &path, &other, None).await.problem(404, "not_found");
    assert_eq!(call(&api, Method::GET, "/v1/api-keys", &other, None).await.json["keys"], json!([]));
    // Keys for all tenants are made with one.
    let all = format!("Bearer {}", api.key);
    let wide =
        call(&api, Method::POST, "/v1/api-keys?tenant=*", &all, Some(json!({"scopes": ["publish"]}))).await;
    assert_eq!((wide.status.as_u16(), &wide.json["tenant"]), (201, &Value::Null), "{:?}", wide.json);
    let event = json!({"tenant": tenant, "type": "t", "tenant_wide": true}).to_string();
    let sent = api
        .call(Method::POST, "/v1/events", &[JSON, ("x-api-key", wide.json["key"].as_str().unwrap())], event)
        .await;
    assert_eq!(sent.status, 201);
    let reader = make_key(&api.database, Some(tenant), "publish,read", None).await;
    api.get_with(&[("x-api-key", &reader)], "/v1/api-keys").await.problem(403, "missing_scope");
    for (body, at, code) in [
        (json!({}), "/scopes", "required"),
        (json!({"scopes": []}), "/scopes", "invalid"),
        (json!({"scopes": ["relay"]}), "/scopes", "invalid"),
        (json!({"scopes": ["read"], "name": ""}), "/name", "invalid"),
        (json!({"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}), "/expires_at", "invalid"),
        (json!({"scopes": ["read"], "tenant": "x"}), "/tenant", "unknown_field"),
    ] {
        call(&api, Method::POST, "/v1/api-keys", &admin, Some(body)).await.invalid(&[(at, code)]);
    }
    call(&api, Method::POST, &format!("{path}/rotate"), &admin, Some(json!({"overlap_seconds": 2_592_001})))
        .await
        .invalid(&[("/overlap_seconds", "invalid")]);
    call(&api, Method::GET, "/v1/api-keys?after=%2F", &admin, None).await.problem(400, "invalid_cursor");
}
