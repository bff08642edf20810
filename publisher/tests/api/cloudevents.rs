//! Are CloudEvents taken as their specification says?

use crate::harness::{Api, Reply};
use serde_json::{Value, json};

const ONE: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json; charset=utf-8");

fn event(more: Value) -> Value {
    let mut event = json!({"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "tenant": "ce", "channels": "c"});
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

async fn stored(api: &Api, reply: &Reply, tenant: &str) -> Value {
    let id = reply.json["id"].as_str().unwrap_or_else(|| panic!("{:?}", reply.json));
    api.get(&format!("/v1/events/{id}?tenant={tenant}")).await.json
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudevent_keeps_its_attributes_and_loses_its_targets() {
    let api = Api::new().await;
    let sent = event(json!({
        "tenant": "ce-one", "channels": "order:1, order:2", "users": ["42"], "roles": "a,b", "tenantwide": "true",
        "subject": "s", "time": "2026-03-01T09:30:00.5Z", "datacontenttype": "application/json", "dataschema": "/schema",
        "region": "eu", "attempt": 3, "test": true, "unset": null, "actor": "mila", "priority": "low", "data": {"a": 1}
    }));
    let reply = api.post_with(&[ONE], &sent).await;
    assert_eq!(reply.seq(), 1);
    let row = stored(&api, &reply, "ce-one").await;
    assert_eq!(row["channels"], json!(["order:1", "order:2", "user:42", "role:a", "role:b", "tenant"]));
    assert_eq!(
        row["event"],
        json!({"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "time": "2026-03-01T09:30:00.5Z",
            "subject": "s", "actor": "mila", "priority": "low", "attempt": 3, "datacontenttype": "application/json",
            "dataschema": "/schema", "region": "eu", "test": true, "data": {"a": 1}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_data_stays_base64() {
    let api = Api::new().await;
    let reply = api.post_with(&[ONE], event(json!({"tenant": "ce-binary", "data_base64": "AQID"}))).await;
    reply.seq();
    assert_eq!(stored(&api, &reply, "ce-binary").await["event"]["data_base64"], "AQID");
    let refused = |more: Value| event(more);
    api.post_with(&[ONE], refused(json!({"data_base64": "%%%"})))
        .await
        .invalid(&[("/data_base64", "invalid")]);
    let both = refused(json!({"data_base64": "AQID", "data": 1}));
    api.post_with(&[ONE], both).await.invalid(&[("/data_base64", "conflicting")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_in_order() {
    let api = Api::new().await;
    let batch =
        json!([event(json!({"tenant": "ce-batch"})), event(json!({"tenant": "ce-batch", "id": "2"}))]);
    let reply = api.post_with(&[BATCH], batch).await;
    let ids: Vec<&str> =
        reply.json.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!((reply.status.as_u16(), ids), (201, vec!["1", "2"]));
    let again =
        json!([event(json!({"tenant": "ce-batch"})), event(json!({"tenant": "ce-batch", "id": "2"}))]);
    assert_eq!(api.post_with(&[BATCH], again).await.header("idempotency-replayed"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_must_fit_the_content_type() {
    let api = Api::new().await;
    api.post_with(&[BATCH], event(json!({}))).await.invalid(&[("", "wrong_type")]);
    api.post_with(&[ONE], json!([event(json!({}))])).await.invalid(&[("", "wrong_type")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_specification_forbids_is_named() {
    let api = Api::new().await;
    api.post_with(&[ONE], json!({"tenant": "ce", "channels": ["c"]})).await.invalid(&[
        ("/specversion", "required"),
        ("/id", "required"),
        ("/source", "required"),
        ("/type", "required"),
    ]);
    let refused = event(json!({
        "specversion": "0.3", "Region": "eu", "averyveryverylongname1": 1, "nested": {"a": 1}, "list": [1],
        "channels": "ok, not ok", "tenantwide": 1
    }));
    api.post_with(&[ONE], refused).await.invalid(&[
        ("/specversion", "invalid"),
        ("/channels", "invalid"),
        ("/tenantwide", "wrong_type"),
        ("/Region", "unknown_field"),
        ("/averyveryverylongname1", "unknown_field"),
        ("/list", "wrong_type"),
        ("/nested", "wrong_type"),
    ]);
}
