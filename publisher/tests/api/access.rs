//! Is everybody let in who may, and nobody else?

use crate::harness::{ADMIN, Api, Database, NONE, PUBLISH, make_key, token};
use carillon_platform::config::Tenants as Policy;
use carillon_protocol::TenantId;
use http::Method;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

fn event(tenant: &str) -> serde_json::Value {
    json!({"tenant": tenant, "type": "t", "channels": ["c"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn without_valid_credentials_nothing_is_told() {
    let api = Api::new().await;
    let missing = api.get_with(&[("anonymous", "")], "/v1/events").await;
    missing.problem(401, "credentials_missing");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"carillon\""));
    let forged = format!("{}x", api.key);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expired = make_key(&api.database, None, "publish,read", Some(now - 1)).await;
    for key in ["crln_nobody_secret", "crln_", forged.as_str(), expired.as_str()] {
        let reply = api.post_with(&[("x-api-key", key)], event("acc")).await;
        reply.problem(401, "credentials_invalid");
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    let both = [("authorization", "Bearer a.b.c"), ("x-api-key", api.key.as_str())];
    api.get_with(&both, "/v1/events?tenant=acc").await.problem(401, "credentials_invalid");
    let bearer = format!("{}x", token("mila", &[("acc", &[])], PUBLISH));
    api.post_with(&[("authorization", &bearer)], event("acc")).await.problem(401, "token_invalid");
    api.post_with(&[("authorization", "Basic YTpi")], event("acc")).await.problem(401, "credentials_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_and_a_hot_one_is_cached() {
    let api = Api::new().await;
    let key = make_key(&api.database, Some("acc-revoked"), "publish", None).await;
    let id = key.split('_').nth(1).unwrap().to_owned();
    let owner = api.database.log(carillon_backplane::log::Role::Owner);
    assert!(owner.revoke_api_key(&id).await.unwrap());
    api.post_with(&[("x-api-key", &key)], event("acc-revoked")).await.problem(401, "credentials_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_capabilities_bound_what_one_may_do() {
    let api = Api::new().await;
    let reads = make_key(&api.database, Some("acc-scope"), "read", None).await;
    let publishes = make_key(&api.database, Some("acc-scope"), "publish", None).await;
    api.post_with(&[("x-api-key", &reads)], event("acc-scope")).await.problem(403, "missing_scope");
    assert_eq!(api.post_with(&[("x-api-key", &publishes)], event("acc-scope")).await.seq(), 1);
    api.get_with(&[("x-api-key", &publishes)], "/v1/events").await.problem(403, "missing_scope");
    assert_eq!(api.get_with(&[("x-api-key", &reads)], "/v1/events").await.status, 200);
    let person = token("mila", &[("acc-scope", &[])], NONE);
    api.post_with(&[("authorization", &person)], event("acc-scope")).await.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_tenant_stays_in_it() {
    let api = Api::new().await;
    let key = make_key(&api.database, Some("acc-mine"), "publish,read", None).await;
    let mine = [("x-api-key", key.as_str())];
    assert_eq!(api.post_with(&mine, json!({"type": "t", "channels": ["c"]})).await.seq(), 1);
    assert_eq!(api.post_with(&mine, event("acc-mine")).await.seq(), 2);
    let twice = json!([
        {"type": "t", "channels": ["c"], "id": "a"},
        {"tenant": "acc-mine", "type": "t", "channels": ["c"], "id": "a"},
    ]);
    api.post_with(&mine, twice).await.invalid(&[("/1/id", "duplicate_id")]);
    let array = json!([event("acc-mine"), event("acc-other"), event("acc-mine")]);
    let reply = api.post_with(&mine, array).await;
    reply.problem(403, "tenant_forbidden");
    assert_eq!(reply.faults(), [("/1/tenant".to_owned(), "tenant_forbidden".to_owned())]);
    api.get_with(&mine, "/v1/events?tenant=acc-other").await.problem(403, "tenant_forbidden");
    api.get_with(&mine, "/v1/events/x?tenant=acc-other").await.problem(403, "tenant_forbidden");
    assert_eq!(api.database.sql("select head from carillon.tenants where id = 'acc-mine'"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_all_tenants_names_one() {
    let api = Api::new().await;
    let array = json!([event("acc-all-1"), event("acc-all-2")]);
    let reply = api.post(array).await;
    assert_eq!((reply.json[0]["seq"].as_u64(), reply.json[1]["seq"].as_u64()), (Some(1), Some(1)));
    let unnamed = api.get("/v1/events").await;
    unnamed.problem(400, "invalid_parameter");
    assert_eq!(unnamed.faults(), [("tenant".to_owned(), "tenant_required".to_owned())]);
    let headers = [("content-type", "application/json")];
    let body = json!({"type": "t", "channels": ["c"]}).to_string();
    let reply = api.call(Method::POST, "/v1/events?tenant=acc-all-1", &headers, body).await;
    assert_eq!(reply.seq(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_publishes_in_their_own_name() {
    let api = Api::new().await;
    let mila = token("mila", &[("acc-name", &[])], PUBLISH);
    let own = [("authorization", mila.as_str())];
    let reply = api.post_with(&own, json!({"type": "t", "channels": ["c"], "id": "a"})).await;
    assert_eq!(reply.seq(), 1);
    assert_eq!(api.get("/v1/events/a?tenant=acc-name").await.json["event"]["actor"], "mila");
    let other = json!({"type": "t", "channels": ["c"], "actor": "jan"});
    let refused = api.post_with(&own, &other).await;
    refused.problem(403, "actor_forbidden");
    assert_eq!(refused.faults(), [("/actor".to_owned(), "actor_forbidden".to_owned())]);
    let admin = token("mila", &[("acc-name", &[])], ADMIN);
    assert_eq!(api.post_with(&[("authorization", &admin)], other).await.seq(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_several_tenants_names_one_of_them() {
    let api = Api::new().await;
    let both = token("mila", &[("acc-a", &[]), ("acc-b", &[])], PUBLISH);
    let headers = [("authorization", both.as_str())];
    assert_eq!(api.post_with(&headers, event("acc-b")).await.seq(), 1);
    let unnamed = json!({"type": "t", "channels": ["c"]});
    api.post_with(&headers, unnamed).await.invalid(&[("/tenant", "tenant_required")]);
    api.post_with(&headers, event("acc-c")).await.problem(403, "tenant_forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_person_reads_only_what_was_sent_to_them() {
    let api = Api::new().await;
    let to = |id: &str, target: serde_json::Value| {
        let mut event = json!({"tenant": "acc-read", "type": "t", "id": id});
        event.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        event
    };
    let events = json!([
        to("1", json!({"users": ["mila"]})),
        to("2", json!({"users": ["jan"]})),
        to("3", json!({"roles": ["desk"]})),
        to("4", json!({"roles": ["boss"]})),
        to("5", json!({"tenant_wide": true})),
        to("6", json!({"channels": ["contact:1"]})),
    ]);
    assert_eq!(api.post(events).await.status, 201);
    let seen = async |caps, roles: &[&str]| {
        let bearer = token("mila", &[("acc-read", roles)], caps);
        let reply = api.get_with(&[("authorization", &bearer)], "/v1/events").await;
        let ids: Vec<String> = reply.json["events"]
            .as_array()
            .unwrap_or_else(|| panic!("{:?}", reply.json))
            .iter()
            .map(|row| row["event"]["id"].as_str().unwrap().to_owned())
            .collect();
        ids.join("")
    };
    assert_eq!(seen(NONE, &["desk"]).await, "531");
    assert_eq!(seen(ADMIN, &[]).await, "654321");
    let bearer = token("mila", &[("acc-read", &[])], NONE);
    let one = async |id: &str| api.get_with(&[("authorization", &bearer)], &format!("/v1/events/{id}")).await;
    assert_eq!(one("1").await.json["event"]["id"], "1");
    one("2").await.problem(404, "not_found");
    one("nothing").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_tenants_must_be_there_before() {
    let database = Database::shared().await;
    let api = Api::with(database.clone(), Policy::Registered).await;
    api.post(event("acc-unknown")).await.problem(403, "unknown_tenant");
    api.get("/v1/events?tenant=acc-unknown").await.problem(403, "unknown_tenant");
    let log = database.log(carillon_backplane::log::Role::Publisher);
    log.open_tenant(&TenantId::new("acc-known").unwrap(), true).await.unwrap();
    assert_eq!(api.post(event("acc-known")).await.seq(), 1);
    let mixed = json!([event("acc-known"), event("acc-unknown")]);
    let refused = api.post(mixed).await;
    refused.problem(403, "unknown_tenant");
    assert_eq!(refused.faults(), [("/1/tenant".to_owned(), "unknown_tenant".to_owned())]);
    assert_eq!(database.sql("select head from carillon.tenants where id = 'acc-known'"), "1");
}
