//! Does each path take its form, and does the document say of each operation what one client can be generated from?

use crate::harness::Api;
use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

const PLAIN: &str = r#"{"tenant":"forms","type":"t","channels":["c"]}"#;
const CLOUD: &str =
    r#"{"specversion":"1.0","tenant":"forms","id":"ID","source":"s","type":"t","channels":["c"]}"#;

async fn post(api: &Api, path: &str, media: &str, body: &str) -> crate::harness::Reply {
    let answer = api.call(Method::POST, path, &[("content-type", media)], body.to_owned()).await;
    assert_ne!(answer.status, 404, "{path}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_an_array_and_so_is_its_answer() {
    let api = Api::new().await;
    let both = format!("[{PLAIN},{PLAIN}]");
    let answer = post(&api, "/v1/event-batches", "application/json", &both).await;
    assert_eq!((answer.status.as_u16(), answer.json.as_array().unwrap().len()), (201, 2));
    let one = post(&api, "/v1/event-batches", "application/json", &format!("[{PLAIN}]")).await;
    assert_eq!((one.status.as_u16(), one.json.as_array().unwrap().len()), (201, 1));
    post(&api, "/v1/event-batches", "application/json", PLAIN).await.invalid(&[("", "wrong_type")]);
    let other = post(&api, "/v1/event-batches", "application/cloudevents+json", CLOUD).await;
    other.problem(415, "unsupported_media_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_are_taken_under_both_content_types() {
    let api = Api::new().await;
    for (id, media) in [("f1", "application/cloudevents+json"), ("f2", "application/json")] {
        let event = CLOUD.replace("ID", id);
        let answer = post(&api, "/v1/cloudevents", media, &event).await;
        assert_eq!((answer.status.as_u16(), answer.json["id"].as_str()), (201, Some(id)), "{media}");
    }
    for (id, media) in [("f3", "application/cloudevents-batch+json"), ("f4", "application/json")] {
        let events = format!("[{}]", CLOUD.replace("ID", id));
        let answer = post(&api, "/v1/cloudevent-batches", media, &events).await;
        assert_eq!((answer.status.as_u16(), answer.json[0]["id"].as_str()), (201, Some(id)), "{media}");
    }
    post(&api, "/v1/cloudevents", "application/json", PLAIN).await.problem(422, "validation");
    let array = format!("[{CLOUD}]");
    post(&api, "/v1/cloudevents", "application/json", &array).await.invalid(&[("", "wrong_type")]);
    post(&api, "/v1/cloudevent-batches", "application/json", CLOUD).await.invalid(&[("", "wrong_type")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_has_one_media_type_one_answer_and_a_path_that_is_there() {
    let api = Api::new().await;
    let document = api.get("/openapi.json").await.json;
    let mut with_body = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            let here = path.replace("{id}", "1");
            let answer = api.call(method.clone(), &here, &[("anonymous", "")], Body::empty()).await;
            answer.problem(401, "credentials_missing");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["schema"]["type"].is_string(), "{path} {parameter}");
            }
            if let Some(content) = operation["requestBody"]["content"].as_object() {
                assert_eq!(content.len(), 1, "{method} {path}");
                with_body.push(path.as_str());
            }
        }
    }
    with_body.sort_unstable();
    assert_eq!(
        with_body,
        [
            "/v1/api-keys",
            "/v1/api-keys/{id}",
            "/v1/api-keys/{id}/rotate",
            "/v1/binary-cloudevents",
            "/v1/channel-rules/{pattern}",
            "/v1/cloudevent-batches",
            "/v1/cloudevents",
            "/v1/dry-runs/events",
            "/v1/dry-runs/notices",
            "/v1/event-batches",
            "/v1/event-types/{type}",
            "/v1/event-types/{type}/preview",
            "/v1/events",
            "/v1/inbox/archive-all",
            "/v1/inbox/clear",
            "/v1/inbox/read-all",
            "/v1/inbox/seen-all",
            "/v1/inbox/{seq}/snooze",
            "/v1/notices",
            "/v1/preferences",
            "/v1/preferences/defaults",
            "/v1/tenants/{tenant}",
            "/v1/webhooks/{webhook}",
            "/v1/webhooks/{webhook}/replay",
            "/v1/webhooks/{webhook}/rotate"
        ]
    );
    assert_eq!(document["servers"][0]["url"], "/");
    // Null is not among what a field of a request may be, and says in a page that there is no other.
    let schemas = &document["components"]["schemas"];
    let next = &schemas["EventPage"]["properties"]["next"]["type"];
    assert_eq!(next, &json!(["string", "null"]));
    for name in ["PlainEvent", "CloudEvent", "ChannelRuleBody"] {
        for (field, schema) in schemas[name]["properties"].as_object().unwrap() {
            let mut schema = schema.clone();
            // Its text may say what null means in data.
            schema.as_object_mut().unwrap().remove("description");
            assert!(!schema.to_string().contains("null"), "{name}.{field}: {schema}");
        }
    }
}

/// The examples of the document are published as they stand, with a key for all tenants.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_taken() {
    let api = Api::new().await;
    let document = api.get("/openapi.json").await.json;
    let schemas = &document["components"]["schemas"];
    let (plain, cloud) = (&schemas["PlainEvent"]["example"], &schemas["CloudEvent"]["example"]);
    for (path, body) in [
        ("/v1/events", plain.clone()),
        ("/v1/event-batches", json!([plain])),
        ("/v1/cloudevents", cloud.clone()),
        ("/v1/cloudevent-batches", json!([cloud])),
    ] {
        let answer = post(&api, path, "application/json", &body.to_string()).await;
        assert_eq!(answer.status, 201, "{path}: {:?}", answer.json);
    }
    let rule = schemas["ChannelRuleBody"]["example"].to_string();
    let (path, json) =
        ("/v1/channel-rules/staff:%7Buser%7D?tenant=examples", [("content-type", "application/json")]);
    let answer = api.call(Method::PUT, path, &json, rule).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let tried = api.get("/v1/channel-rules/test?tenant=examples&user=a&channel=staff:a").await;
    assert_eq!(tried.status, 200, "{:?}", tried.json);
    let operation = &document["paths"]["/v1/binary-cloudevents"]["post"];
    let parameters = operation["parameters"].as_array().unwrap();
    let example = |parameter: &&Value| parameter["example"].is_string();
    let headers: Vec<(&str, &str)> = parameters
        .iter()
        .filter(example)
        .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap()))
        .collect();
    assert!(headers.iter().any(|(name, _)| *name == "ce-channels"), "{headers:?}");
    let answer = api.call(Method::POST, "/v1/binary-cloudevents", &headers, "data").await;
    assert_eq!(answer.status, 201, "{:?}", answer.json);
}

/// Every answer is compared with the document as it comes ([`crate::contract`]); here are those of publishing and reading, and their problems.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_described() {
    let api = Api::new().await;
    let (tenant, media) = ("answers", [("content-type", "application/json")]);
    let event = json!({"tenant": tenant, "type": "t", "id": "a1", "users": ["42"], "data": {"a": 1}, "priority": "high"});
    let cloud = json!({"specversion": "1.0", "tenant": tenant, "id": "a2", "source": "s", "type": "t", "channels": ["c"]});
    for (path, body) in [
        ("/v1/events", event.clone()),
        ("/v1/event-batches", json!([event])),
        ("/v1/cloudevents", cloud.clone()),
        ("/v1/cloudevent-batches", json!([cloud])),
    ] {
        let taken = api.call(Method::POST, path, &media, body.to_string()).await;
        assert_eq!(taken.status, 201, "{path}: {:?}", taken.json);
        for (headers, body, status) in [
            (&media[..], "{", 400),
            (&[("content-type", "application/json"), ("authorization", "Bearer x")], "{}", 401),
            (&[("content-type", "text/plain")], "{}", 415),
            (&media, "[{}]", 422),
        ] {
            let refused = api.call(Method::POST, path, headers, body.to_owned()).await;
            assert_eq!(refused.status, status, "{path} {body}");
        }
    }
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "a3"),
        ("ce-source", "s"),
        ("ce-type", "t"),
        ("ce-tenant", tenant),
        ("ce-users", r#"["Smith, John"]"#),
    ];
    let binary = "/v1/binary-cloudevents";
    assert_eq!(api.call(Method::POST, binary, &attributes, "data").await.status, 201);
    let nothing = api.call(Method::POST, binary, &[], "data").await;
    nothing.problem(422, "validation");
    assert!(nothing.faults().contains(&("ce-id".to_owned(), "required".to_owned())), "{:?}", nothing.json);
    let structured =
        api.call(Method::POST, binary, &[("content-type", "application/cloudevents+json")], "{}").await;
    assert_eq!(structured.status, 415);
    let page = api.get(&format!("/v1/events?tenant={tenant}")).await;
    assert_eq!(page.json["events"].as_array().unwrap().len(), 3);
    assert_eq!(page.json["events"][0]["channels"], json!(["user:Smith, John"]));
    api.get("/v1/events?limit=0").await.problem(400, "invalid_parameter");
    assert_eq!(api.get(&format!("/v1/events/a1?tenant={tenant}")).await.status, 200);
    api.get(&format!("/v1/events/none?tenant={tenant}")).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_are_described_beside_it() {
    let api = Api::new().await;
    let answer = api.get_with(&[("anonymous", "")], "/asyncapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json["asyncapi"], "3.1.0");
}

/// The CloudEvents' path takes both modes, as the SDKs send them; a path of another form refuses a half of one.
#[tokio::test(flavor = "multi_thread")]
async fn binary_mode_is_for_the_paths_that_take_it() {
    let api = Api::new().await;
    for (path, id) in [("/v1/events", "m1"), ("/v1/cloudevents", "m2"), ("/v1/binary-cloudevents", "m3")] {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "s"),
            ("ce-type", "t"),
            ("ce-tenant", "modes"),
            ("ce-channels", "c"),
            ("content-type", "application/json"),
        ];
        let answer = api.call(Method::POST, path, &headers, PLAIN).await;
        assert_eq!((answer.status.as_u16(), answer.json["id"].as_str()), (201, Some(id)), "{path}");
        let row = api.get(&format!("/v1/events/{id}?tenant=modes")).await.json;
        assert_eq!(row["event"]["data"]["tenant"], "forms", "the body is data: {row}");
    }
    for path in ["/v1/event-batches", "/v1/cloudevent-batches"] {
        let headers = [("content-type", "application/json"), ("ce-id", "m4")];
        let answer = api.call(Method::POST, path, &headers, format!("[{PLAIN}]")).await;
        answer.problem(415, "unsupported_media_type");
    }
}
