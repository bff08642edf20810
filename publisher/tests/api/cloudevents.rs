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

/// What the SDKs for Go, JavaScript and Python 2 send unless told otherwise: attributes as headers, the data as the body.
async fn binary(api: &Api, tenant: &str, media: Option<&str>, more: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut headers = vec![
        ("ce-specversion", "1.0"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("ce-tenant", tenant),
        ("ce-channels", "c"),
    ];
    headers.extend(media.map(|media| ("content-type", media)));
    headers.extend(more);
    api.call(http::Method::POST, "/v1/events", &headers, body.to_vec()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_mode_is_the_event_that_structured_mode_is() {
    let api = Api::new().await;
    let id = [("ce-id", "b1"), ("ce-subject", "Kova%C4%8D"), ("ce-region", "eu"), ("ce-users", "42,7")];
    let sent =
        binary(&api, "ce-same", Some("application/json"), &id, br#"{"channels":["x"],"type":"looks.plain"}"#)
            .await;
    assert_eq!(sent.seq(), 1);
    let row = stored(&api, &sent, "ce-same").await;
    assert_eq!(row["channels"], json!(["c", "user:42", "user:7"]));
    let event = &row["event"];
    assert_eq!(
        (&event["type"], &event["subject"], &event["region"]),
        (&json!("order.paid"), &json!("Kovač"), &json!("eu"))
    );
    assert_eq!(event["data"], json!({"type": "looks.plain", "channels": ["x"]}), "the data is the data");
    let structured = json!({"specversion": "1.0", "id": "b1", "source": "/shop", "type": "order.paid", "tenant": "ce-same",
        "channels": "c", "users": ["42", "7"], "subject": "Kovač", "region": "eu", "datacontenttype": "application/json",
        "data": {"type": "looks.plain", "channels": ["x"]}});
    let again = api.post_with(&[ONE], structured).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{:?}", again.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_mode_takes_data_of_any_type() {
    let api = Api::new().await;
    for (id, media, body, data, base64) in [
        ("t1", Some("text/plain"), &b"hello"[..], json!("hello"), Value::Null),
        ("t2", Some("application/x-protobuf"), b"\x08\x01", Value::Null, json!("CAE=")),
        ("t3", Some("application/vnd.shop+json"), b"[1.0]", json!([1.0]), Value::Null),
        ("t4", None, b"", Value::Null, Value::Null),
    ] {
        let sent = binary(&api, "ce-types", media, &[("ce-id", id)], body).await;
        sent.seq();
        let event = &stored(&api, &sent, "ce-types").await["event"];
        assert_eq!((&event["data"], &event["data_base64"]), (&data, &base64), "{id}");
        assert_eq!(event["datacontenttype"].as_str(), media, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_mode_is_never_read_half() {
    let api = Api::new().await;
    let plain = br#"{"tenant":"ce-half","type":"t","channels":["c"]}"#;
    let headers = [("content-type", "application/json"), ("ce-type", "order.paid")];
    let reply = api.call(http::Method::POST, "/v1/events", &headers, plain.to_vec()).await;
    reply.invalid(&[
        ("ce-specversion", "required"),
        ("ce-id", "required"),
        ("ce-source", "required"),
        ("", "target_required"),
    ]);
    let refused = binary(
        &api,
        "ce-half",
        Some("application/json"),
        &[("ce-id", "1"), ("ce-time", "now")],
        b"{\"a\":1,\"a\":2}",
    )
    .await;
    refused.invalid(&[("/data/a", "duplicate_key"), ("ce-time", "invalid")]);
    binary(&api, "ce-half", Some("application/json"), &[("ce-id", "1")], b"{")
        .await
        .problem(400, "invalid_json");
    let twice = [("ce-id", "1"), ("ce-id", "2"), ("ce-data", "x")];
    let reply = binary(&api, "ce-half", None, &twice, b"").await;
    reply.problem(422, "validation");
    assert!(reply.faults().contains(&("ce-data".into(), "conflicting".into())), "{:?}", reply.json);
    assert_eq!(api.database.sql("select count(*) from carillon.events where tenant_id = 'ce-half'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_body_with_specversion_is_a_cloudevent() {
    let api = Api::new().await;
    let reply = api.post(event(json!({"tenant": "ce-plain", "region": "eu"}))).await;
    assert_eq!(reply.seq(), 1);
    assert_eq!(stored(&api, &reply, "ce-plain").await["event"]["region"], "eu");
    let mixed = json!([event(json!({"tenant": "ce-plain", "id": "2"})), {"tenant": "ce-plain", "type": "t", "channels": ["c"]}]);
    assert_eq!(api.post(mixed).await.status, 201);
    api.post(event(json!({"specversion": "0.3"}))).await.invalid(&[("/specversion", "invalid")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_with_commas_are_named_in_a_json_list() {
    let api = Api::new().await;
    let sent = event(json!({"tenant": "ce-comma", "users": "[\"Smith, John\", \"42\"]"}));
    let reply = api.post_with(&[ONE], sent).await;
    reply.seq();
    assert_eq!(
        stored(&api, &reply, "ce-comma").await["channels"],
        json!(["c", "user:Smith, John", "user:42"])
    );
    let broken = event(json!({"users": "[\"Smith", "id": "9"}));
    api.post_with(&[ONE], broken).await.invalid(&[("/users", "invalid")]);
}
