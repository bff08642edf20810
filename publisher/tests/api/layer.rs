//! Does every answer have its form: ids, types, limits, unknown paths, the contract for people and machines?

use crate::harness::Api;
use axum::body::Body;
use http::Method;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_problems() {
    let api = Api::new().await;
    api.get("/v1/nothing").await.problem(404, "not_found");
    api.get("/docs/").await.problem(404, "not_found");
    let wrong = api.call(Method::PUT, "/v1/events", &[], Body::empty()).await;
    wrong.problem(405, "method_not_allowed");
    assert!(wrong.header("allow").unwrap().contains("POST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_type_an_encoding_and_a_size() {
    let api = Api::new().await;
    let event = r#"{"tenant":"layer","type":"t","channels":["c"]}"#;
    let post = async |headers: &[(&str, &str)]| api.call(Method::POST, "/v1/events", headers, event).await;
    post(&[]).await.problem(415, "unsupported_media_type");
    post(&[("content-type", "text/plain")]).await.problem(415, "unsupported_media_type");
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    post(&gzip).await.problem(415, "unsupported_media_type");
    for key in ["", "two words", &"k".repeat(256)] {
        let reply = post(&[("content-type", "application/json"), ("idempotency-key", key)]).await;
        reply.problem(400, "invalid_header");
        assert_eq!(reply.faults(), [("Idempotency-Key".to_owned(), "invalid".to_owned())]);
    }
    let large = " ".repeat(1024 * 1024 + 1);
    api.post(large).await.problem(413, "body_too_large");
    let filled = format!("{event}{}", " ".repeat(1024 * 1024 - event.len()));
    assert_eq!(api.post(filled).await.seq(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id() {
    let api = Api::new().await;
    for path in ["/openapi.json", "/docs", "/nothing", "/v1/events"] {
        let given = api.get_with(&[("x-request-id", "my-id")], path).await;
        assert_eq!(given.header("x-request-id"), Some("my-id"), "{path}");
        let made = api.get_with(&[("x-request-id", "<bad id>")], path).await;
        assert_eq!(made.header("x-request-id").map(str::len), Some(36), "{path}");
        assert_eq!(made.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_describes_itself_without_the_internet() {
    let api = Api::new().await;
    let document = api.get_with(&[("anonymous", "")], "/openapi.json").await.json;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, method) in [("/v1/events", "post"), ("/v1/events", "get"), ("/v1/events/{id}", "get")] {
        assert!(document["paths"][path][method]["responses"]["401"].is_object(), "{method} {path}");
    }
    let schemas = &document["components"]["schemas"];
    let fields = schemas["PlainEvent"]["properties"].as_object().unwrap();
    for field in [
        "tenant",
        "type",
        "data",
        "source",
        "subject",
        "actor",
        "priority",
        "channels",
        "channel",
        "users",
        "roles",
        "tenant_wide",
        "id",
        "time",
    ] {
        assert!(fields.contains_key(field), "{field}");
    }
    assert_eq!(schemas["PlainEvent"]["required"], serde_json::json!(["type"]));
    let schemes: Vec<&String> =
        document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(schemes, ["apiKey", "apiKeyBearer", "userToken"]);
    let prose = document["info"]["description"].as_str().unwrap();
    for code in ["idempotency_mismatch", "target_required", "overloaded", "token_expired"] {
        assert!(prose.contains(code), "{code}");
    }
    let page = api.get_with(&[("anonymous", "")], "/docs").await;
    let html = String::from_utf8_lossy(&page.bytes).into_owned();
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing from elsewhere");
    // It begins with an event that a key for all tenants can publish as it stands.
    let event =
        html.split("<textarea").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1)).unwrap().to_owned();
    assert_eq!(api.post(event).await.status, 201);
    for (path, kind) in [("/docs/page.js", "text/javascript"), ("/docs/page.css", "text/css")] {
        let asset = api.get_with(&[("anonymous", "")], path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(asset.header("content-type").unwrap().starts_with(kind) && html.contains(path), "{path}");
    }
    let root = api.get_with(&[("anonymous", "")], "/").await;
    let text = String::from_utf8_lossy(&root.bytes).into_owned();
    assert_eq!(root.status, 200);
    assert!(root.header("content-type").unwrap().starts_with("text/html"));
    for name in ["/docs", "/openapi.json", "/v1/events", "/v1/ws", "/v1/sse", "/v1/poll"] {
        assert!(text.contains(name), "{name}");
    }
    let viewer = api.get_with(&[("anonymous", "")], "/docs/rapidoc-min.js").await;
    assert!(viewer.bytes.len() > 100_000);
    let tag = viewer.header("etag").unwrap().to_owned();
    let again = api.get_with(&[("anonymous", ""), ("if-none-match", &tag)], "/docs/rapidoc-min.js").await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_use_the_api() {
    let api = Api::new().await;
    let page = "https://app.example.com";
    let asks = [
        ("anonymous", ""),
        ("origin", page),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key,traceparent,ce-type"),
    ];
    let leave = api.call(Method::OPTIONS, "/v1/events", &asks, Body::empty()).await;
    assert_eq!(leave.status, 200);
    assert_eq!(leave.header("access-control-allow-origin"), Some(page));
    let allowed = leave.header("access-control-allow-headers").unwrap();
    for header in ["authorization", "content-type", "idempotency-key", "traceparent", "ce-type"] {
        assert!(allowed.contains(header), "{header}: {allowed}");
    }
    assert!(leave.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(leave.header("access-control-allow-credentials").is_none(), "no cookie is ever looked at");
    let event = r#"{"tenant":"layer-page","type":"t","channels":["c"]}"#;
    let sent = api.post_with(&[("origin", page), ("idempotency-key", "k")], event).await;
    assert_eq!((sent.seq(), sent.header("access-control-allow-origin")), (1, Some(page)));
    let exposed = sent.header("access-control-expose-headers").unwrap();
    for header in ["x-request-id", "idempotency-replayed", "ratelimit", "ratelimit-policy", "retry-after"] {
        assert!(exposed.contains(header), "{header}: {exposed}");
    }
    let refused = api.get_with(&[("anonymous", ""), ("origin", page)], "/v1/events").await;
    refused.problem(401, "credentials_missing");
    assert_eq!(refused.header("access-control-allow-origin"), Some(page), "errors can be read, too");
    for other in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
        let reply = api.get_with(&[("origin", other)], "/v1/events?tenant=layer-page").await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("access-control-allow-origin")),
            (200, None),
            "{other}"
        );
    }
}
