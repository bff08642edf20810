//! Does null in a request count as not given, wherever it does not mean something?
//!
//! Many encoders write what is not there as null. `/openapi.json` names the fields; those that it says may be null mean something by it.

use crate::harness::Api;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The fields of a shape that may be left out and are never null in the document.
fn left_out(document: &Value, shape: &str) -> Vec<String> {
    let shape = &document["components"]["schemas"][shape];
    let is_required =
        |name: &str| shape["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
    let is_never_null = |schema: &Value| {
        let says_what = schema.get("type").or(schema.get("$ref")).or(schema.get("allOf")).is_some();
        says_what && !schema["type"].to_string().contains("null")
    };
    let fields = shape["properties"].as_object().unwrap().iter();
    fields
        .filter(|(name, schema)| !is_required(name) && is_never_null(schema))
        .map(|(name, _)| name.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn null_counts_as_not_given_wherever_it_means_nothing_else() {
    let api = Api::new().await;
    let document = api.get("/openapi.json").await.json;
    let plain = json!({"tenant": "nulls", "type": "t", "channels": ["c"]});
    let cloud = json!({"specversion": "1.0", "id": "i", "source": "/s", "type": "t", "tenant": "nulls", "channels": ["c"]});
    let (put, post, nothing) = (Method::PUT, Method::POST, json!({}));
    let mut tried = 0;
    for (shape, method, path, body, inside) in [
        ("ApiKeyBody", &post, "api-keys?tenant=nulls", &json!({"scopes": ["publish"]}), None),
        ("ChannelRuleBody", &put, "channel-rules/order:*?tenant=nulls", &nothing, None),
        ("PlainEvent", &post, "events", &plain, None),
        ("CloudEvent", &post, "events", &cloud, None),
        ("MeansShown", &put, "event-types/t?tenant=nulls", &nothing, Some("defaults")),
        ("EventTypeBody", &put, "event-types/t?tenant=nulls", &json!({"title": "A title"}), None),
        ("PreviewBody", &post, "event-types/t/preview?tenant=nulls", &nothing, None),
        ("PreferencesBody", &put, "preferences?tenant=nulls&user=mila", &nothing, None),
        ("QuietHoursShown", &put, "preferences?tenant=nulls&user=mila", &nothing, Some("quiet_hours")),
        ("PreferenceDefaultsBody", &put, "preferences/defaults?tenant=nulls", &nothing, None),
        ("TenantSettingsBody", &put, "tenants/nulls", &nothing, None),
        ("WebhookBody", &put, "webhooks/w?tenant=nulls", &json!({"url": "https://app.example/in"}), None),
        ("RotateBody", &post, "webhooks/w/rotate?tenant=nulls", &nothing, None),
    ] {
        for name in left_out(&document, shape).into_iter().filter(|name| body.get(name).is_none()) {
            let mut sent = body.clone();
            sent[&name] = Value::Null;
            if let Some(member) = inside {
                sent = json!({member: sent});
            }
            let reply = api.call(method.clone(), &format!("/v1/{path}"), &[JSON], sent.to_string()).await;
            assert!(reply.status.is_success(), "{shape}.{name}: {}", reply.json);
            tried += 1;
        }
    }
    assert!(tried > 50, "{tried} fields");
    // A step of an escalation is an element of a list.
    let step = json!({"after": "1h", "to": "webhook:w", "who": null});
    let notice =
        json!({"tenant": "nulls", "title": "t", "audience": {"users": ["mila"]}, "escalate": [step]});
    let reply = api.call(post, "/v1/notices", &[JSON], notice.to_string()).await;
    assert!(reply.status.is_success(), "{}", reply.json);
}
