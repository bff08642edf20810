//! Which events are taken, which are refused, and is every fault named?

use crate::harness::Api;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_acknowledged_stored_and_announced() {
    let api = Api::new().await;
    let event = r#"{"tenant": "pub-one", "type": "order.paid", "source": "shop", "subject": "o-17", "actor": "mila",
        "priority": "high", "channels": ["order:17"], "users": ["42", "42"], "roles": ["cashier"], "tenant_wide": true,
        "id": "e-1", "time": "2026-03-01T10:30:00+01:00", "data": {"total": 12.50, "n": 10000000000000000000001}}"#;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = api.post_with(&[("traceparent", trace), ("x-request-id", "r-1")], event).await;
    assert_eq!(reply.seq(), 1);
    assert_eq!(reply.json["id"], "e-1");
    assert_eq!(reply.header("x-request-id"), Some("r-1"));
    assert_eq!(reply.header("idempotency-replayed"), None);
    let body = r#"{"specversion":"1.0","id":"e-1","source":"shop","type":"order.paid","time":"2026-03-01T09:30:00Z","subject":"o-17","actor":"mila","priority":"high","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":{"total":12.50,"n":10000000000000000000001}}"#;
    let stored =
        api.database.sql("select body || traceparent from carillon.events where tenant_id = 'pub-one'");
    assert_eq!(stored, format!("{body}{trace}"));
    let announced = api.announced(1).await;
    let [envelope] = &announced[..] else { panic!("{announced:?}") };
    assert_eq!((envelope.tenant.as_str(), envelope.first.0), ("pub-one", 1));
    let channels: Vec<&str> = envelope.events[0].channels.iter().map(|channel| channel.as_str()).collect();
    assert_eq!(channels, ["order:17", "user:42", "role:cashier", "tenant"]);
    assert_eq!(envelope.events[0].body, body.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_event_gets_an_id_a_source_and_a_time() {
    let api = Api::new().await;
    let reply = api.post(json!({"tenant": "pub-least", "type": "x", "channel": "c", "data": null})).await;
    assert_eq!(reply.seq(), 1);
    let id = reply.json["id"].as_str().unwrap().to_owned();
    let event = api.get(&format!("/v1/events/{id}?tenant=pub-least")).await.json["event"].clone();
    assert_eq!((&event["source"], &event["data"]), (&json!("api"), &Value::Null));
    assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
    assert!(event.get("data").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_an_event_is_told_at_once() {
    let api = Api::new().await;
    let event = json!({
        "tenant": "Bad Tenant", "type": "two words", "source": "", "subject": 7, "actor": "a\u{0}", "priority": "HIGH",
        "channels": ["ok", "not ok", 3], "users": "42", "roles": [""], "tenant_wide": "yes", "id": "x".repeat(129),
        "time": "yesterday", "chanels": []
    });
    api.post(event).await.invalid(&[
        ("/type", "invalid"),
        ("/tenant", "invalid"),
        ("/id", "invalid"),
        ("/source", "invalid"),
        ("/subject", "wrong_type"),
        ("/actor", "invalid"),
        ("/priority", "invalid"),
        ("/channels/1", "invalid"),
        ("/channels/2", "wrong_type"),
        ("/users", "wrong_type"),
        ("/roles/0", "invalid"),
        ("/tenant_wide", "wrong_type"),
        ("/time", "invalid"),
        ("/chanels", "unknown_field"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_has_its_own_code_and_place() {
    let api = Api::new().await;
    let base = json!({"tenant": "pub-rules", "type": "t", "channels": ["c"]});
    let with = |name: &str, value: Value| {
        let mut event = base.clone();
        event[name] = value;
        event
    };
    let cases = [
        (json!({"tenant": "pub-rules", "channels": ["c"]}), ("/type", "required")),
        (with("type", Value::Null), ("/type", "required")),
        (with("type", json!("x".repeat(257))), ("/type", "too_long")),
        (with("subject", json!("x".repeat(257))), ("/subject", "too_long")),
        (json!({"tenant": "pub-rules", "type": "t"}), ("", "target_required")),
        (with("channels", json!([])), ("", "target_required")),
        (with("channel", json!("d")), ("/channel", "conflicting")),
        (with("channels", json!(vec!["c"; 101])), ("/channels", "too_many")),
        (with("data", json!("x".repeat(65_536))), ("", "too_large")),
        (with("event_type", json!("x")), ("/event_type", "unknown_field")),
        (with("dataschema", json!("/s")), ("/dataschema", "unknown_field")),
        (json!({"type": "t", "channels": ["c"]}), ("/tenant", "tenant_required")),
    ];
    for (event, fault) in cases {
        api.post(event).await.invalid(&[fault]);
    }
    let users: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let crowd = json!({"tenant": "pub-rules", "type": "t", "users": users, "roles": users});
    api.post(crowd).await.invalid(&[("", "too_many")]);
    let hint = api.post(with("payload", json!(1))).await;
    assert!(
        hint.json["errors"][0]["detail"].as_str().unwrap().contains("did you mean data?"),
        "{:?}",
        hint.json
    );
    assert_eq!(api.database.sql("select count(*) from carillon.events where tenant_id = 'pub-rules'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_none_or_says_a_thing_twice_or_is_bottomless_is_refused() {
    let api = Api::new().await;
    let broken = api.post("{\n  \"type\": oops}").await;
    broken.problem(400, "invalid_json");
    assert!(broken.json["detail"].as_str().unwrap().contains("line 2 column 11"), "{:?}", broken.json);
    for body in ["", "nul", "{\"type\":\"\\ud800\"}", "{}{}", "[1,2"] {
        api.post(body).await.problem(400, "invalid_json");
    }
    let latin: &[u8] = b"{\"type\":\"\xe9\"}";
    let json_type = [("content-type", "application/json")];
    api.call(http::Method::POST, "/v1/events", &json_type, latin.to_vec()).await.problem(400, "invalid_json");
    for body in ["1", "\"x\"", "null", "true"] {
        api.post(body).await.invalid(&[("", "wrong_type")]);
    }
    let twice = r#"{"tenant":"pub-json","type":"t","channel":"c","data":{"a":[{"b":1,"b":2}]}}"#;
    api.post(twice).await.invalid(&[("/data/a/0/b", "duplicate_key")]);
    let depth = |levels: usize| {
        let data = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"tenant":"pub-json","type":"t","channel":"c","data":{data}}}"#)
    };
    assert_eq!(api.post(depth(63)).await.seq(), 1);
    let deep = api.post(depth(64)).await;
    deep.problem(422, "validation");
    assert_eq!(deep.faults()[0].1, "too_deep");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_stored_whole_or_not_at_all() {
    let api = Api::new().await;
    let event = |n: usize| json!({"tenant": "pub-array", "type": "t", "channels": ["c"], "data": n});
    let good: Vec<Value> = (0..500).map(event).collect();
    let reply = api.post(json!(good)).await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    let seqs: Vec<u64> =
        reply.json.as_array().unwrap().iter().map(|one| one["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<u64>>());

    let mut bad = good[..5].to_vec();
    bad[1]["type"] = json!("");
    bad[3]["users"] = json!([""]);
    bad[4] = json!("x");
    api.post(json!(bad)).await.invalid(&[
        ("/1/type", "invalid"),
        ("/3/users/0", "invalid"),
        ("/4", "wrong_type"),
    ]);
    let same = |id: &str| json!({"tenant": "pub-array", "type": "t", "channels": ["c"], "id": id});
    api.post(json!([same("a"), same("b"), same("a")])).await.invalid(&[("/2/id", "duplicate_id")]);
    api.post("[]").await.invalid(&[("", "empty")]);
    let many: Vec<Value> = (0..501).map(event).collect();
    api.post(json!(many)).await.invalid(&[("", "too_many")]);
    assert_eq!(api.database.sql("select count(*) from carillon.events where tenant_id = 'pub-array'"), "500");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_only_texts() {
    let api = Api::new().await;
    let hostile = "x'); DROP TABLE carillon.events; -- \" \\ %_ $1 {\u{1F600}}";
    let named = format!("user:{hostile}");
    let event = json!({
        "tenant": "pub-sql", "type": "a'||pg_sleep(9)||'", "source": hostile, "subject": hostile, "actor": hostile,
        "channels": [named], "users": [hostile], "roles": [hostile], "id": hostile, "data": {hostile: hostile}
    });
    assert_eq!(api.post_with(&[("idempotency-key", "';--")], event.clone()).await.seq(), 1);
    let listed = api.get("/v1/events?tenant=pub-sql").await;
    let row = &listed.json["events"][0];
    assert_eq!(row["channels"], json!([named, format!("role:{hostile}")]));
    for name in ["type", "source", "subject", "actor", "id", "data"] {
        assert_eq!(row["event"][name], event[name], "{name}");
    }
    for filter in ["type", "source", "subject", "actor", "channel", "q"] {
        let reply =
            api.get(&format!("/v1/events?tenant=pub-sql&{filter}=%27%29%3B%20DROP%20TABLE%20x%3B--")).await;
        assert!(reply.status == 200 || reply.status == 400, "{filter} {:?}", reply.json);
        assert!(reply.json["events"].as_array().is_none_or(Vec::is_empty), "{filter}");
    }
}
