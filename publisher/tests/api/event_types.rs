//! Are event types kept as they were set, refused with the reason, and kept to by whoever publishes?

use crate::harness::{ADMIN, Api, NONE, PUBLISH, Reply, make_key, token_for};
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(api: &Api, tenant: &str, kind: &str, says: Value) -> Reply {
    let path = format!("/v1/event-types/{kind}?tenant={tenant}");
    api.call(Method::PUT, &path, &[JSON], says.to_string()).await
}

async fn preview(api: &Api, tenant: &str, kind: &str, body: Value) -> Reply {
    let path = format!("/v1/event-types/{kind}/preview?tenant={tenant}");
    api.call(Method::POST, &path, &[JSON], body.to_string()).await
}

fn head(api: &Api, tenant: &str) -> u64 {
    let query = format!("select head from carillon.tenants where id = '{tenant}'");
    api.database.sql(&query).parse().unwrap_or(0)
}

fn order() -> Value {
    json!({"schema": {
        "type": "object", "required": ["id"], "additionalProperties": false,
        "properties": {"id": {"type": "string"}, "total": {"type": "number", "minimum": 0}, "at": {"format": "date-time"}},
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_is_kept_as_it_was_set_and_goes() {
    let api = Api::new().await;
    let says = json!({
        "title": "Order {{ id }}", "locales": {"de-ch": {"title": "Bestellung {{ id }}"}}, "priority": "high",
        "mandatory": true, "defaults": {"toast": false}, "schema": {"type": "object"},
    });
    let set = put(&api, "types-kept", "order.paid", says).await;
    let expected = json!({
        "type": "order.paid", "title": "Order {{ id }}", "locales": {"de-CH": {"title": "Bestellung {{ id }}"}},
        "priority": "high", "mandatory": true, "defaults": {"toast": false}, "schema": {"type": "object"},
    });
    assert_eq!((set.status.as_u16(), &set.json), (200, &expected));
    let one = "/v1/event-types/order.paid?tenant=types-kept";
    assert_eq!(api.get(one).await.json, expected);
    assert_eq!(put(&api, "types-kept", "a.b", json!({})).await.status, 200);
    let listed = api.get("/v1/event-types?tenant=types-kept").await.json;
    let names: Vec<&str> =
        listed["types"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.b", "order.paid"]);
    assert_eq!(api.call(Method::DELETE, one, &[], "").await.status, 204);
    api.get(one).await.problem(404, "not_found");
    api.call(Method::DELETE, one, &[], "").await.problem(404, "not_found");
    assert_eq!(api.get("/v1/event-types?tenant=types-nobody").await.json, json!({"types": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_type_is_told_and_nothing_changes() {
    let api = Api::new().await;
    let wrong = json!({"title": "{{ id", "schema": {"requierd": ["a"]}, "colour": 1});
    let reply = put(&api, "types-wrong", "a", wrong).await;
    reply.problem(422, "invalid_event_type");
    let mut faults = reply.faults();
    faults.sort();
    let expected =
        [("/colour", "unknown_field"), ("/schema/requierd", "unknown_field"), ("/title", "template")];
    assert_eq!(faults, expected.map(|(at, code)| (at.to_owned(), code.to_owned())));
    put(&api, "types-wrong", "a%20b", json!({})).await.problem(400, "invalid_parameter");
    put(&api, "types-wrong", "a*", json!({})).await.problem(400, "invalid_parameter");
    assert_eq!(api.get("/v1/event-types?tenant=types-wrong").await.json, json!({"types": []}));
    // Who may: an administrator, of the tenant alone.
    let path = "/v1/event-types/a?tenant=types-wrong";
    for (who, status, code) in [
        (token_for("mila", "types-wrong", &[], PUBLISH), 403, "missing_scope"),
        (token_for("mila", "types-other", &[], ADMIN), 403, "tenant_forbidden"),
    ] {
        api.call(Method::PUT, path, &[JSON, ("authorization", &who)], "{}").await.problem(status, code);
        api.get_with(&[("authorization", &who)], path).await.problem(status, code);
    }
    let admin = token_for("mila", "types-wrong", &[], ADMIN);
    let set = api.call(Method::PUT, path, &[JSON, ("authorization", &admin)], "{}").await;
    assert_eq!(set.status, 200, "{:?}", set.json);
    let all =
        api.call(Method::PUT, "/v1/event-types/a?tenant=*", &[JSON, ("authorization", &admin)], "{}").await;
    all.problem(403, "tenant_forbidden");
    let bound = make_key(&api.database, Some("types-wrong"), "publish,read", None).await;
    api.get_with(&[("x-api-key", &bound)], path).await.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_breaks_the_schema_is_refused_with_each_place_and_nothing_is_stored() {
    let api = Api::new().await;
    let event = |data: Value| json!({"tenant": "types-data", "type": "order.paid", "tenant_wide": true, "data": data});
    assert_eq!(api.post(event(json!({"x": 1}))).await.seq(), 1, "nothing is said about it yet");
    assert_eq!(put(&api, "types-data", "order.paid", order()).await.status, 200);
    assert_eq!(
        api.post(event(json!({"id": "o-1", "total": 4.5}))).await.seq(),
        2,
        "at once, where it was set"
    );
    let reply = api.post(event(json!({"total": -1, "at": "today", "x": 1}))).await;
    reply.problem(422, "validation");
    let mut faults = reply.faults();
    faults.sort();
    let expected = ["/data/at", "/data/id", "/data/total", "/data/x"];
    assert_eq!(faults, expected.map(|at| (at.to_owned(), "schema".to_owned())));
    assert!(!reply.json.to_string().contains("today"), "what was sent is not repeated");
    // A batch: each element by itself, all of it refused.
    let batch = json!([event(json!({"id": "o-2"})), event(json!(7)), {"tenant": "types-data", "type": "other", "tenant_wide": true, "data": 7},
        {"tenant": "types-data", "type": "order.paid", "tenant_wide": true}]);
    let reply = api.post(batch).await;
    reply.invalid(&[("/1/data", "schema"), ("/3/data", "schema")]);
    // A CloudEvent, also one whose data is bytes.
    let cloud = json!({"specversion": "1.0", "id": "c", "source": "s", "type": "order.paid", "tenantwide": true, "data": {}});
    let headers = [("content-type", "application/cloudevents+json")];
    let reply = api.call(Method::POST, "/v1/events?tenant=types-data", &headers, cloud.to_string()).await;
    assert!(reply.faults().contains(&("/data/id".to_owned(), "schema".to_owned())), "{:?}", reply.json);
    let bytes = json!({"specversion": "1.0", "id": "c", "source": "s", "type": "order.paid", "tenantwide": true, "data_base64": "AAAA"});
    let reply = api.call(Method::POST, "/v1/events?tenant=types-data", &headers, bytes.to_string()).await;
    assert!(reply.faults().contains(&("/data_base64".to_owned(), "schema".to_owned())), "{:?}", reply.json);
    assert_eq!(head(&api, "types-data"), 2);
    // That a latest value is gone is no data.
    let gone = json!({"tenant": "types-data", "type": "order.paid", "tenant_wide": true, "key": "o-1", "data": null});
    assert_eq!(api.post(gone).await.seq(), 3);
    let path = "/v1/event-types/order.paid?tenant=types-data";
    assert_eq!(api.call(Method::DELETE, path, &[], "").await.status, 204);
    assert_eq!(api.post(event(json!({"x": 1}))).await.seq(), 4);
    // Another tenant is not concerned.
    let other = json!({"tenant": "types-data-2", "type": "order.paid", "tenant_wide": true, "data": 1});
    assert_eq!(api.post(other).await.seq(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installations_types_hold_where_a_tenant_has_said_nothing() {
    let api = Api::new().await;
    let event = |tenant: &str, data: Value| {
        json!({"tenant": tenant, "type": "types.of.all", "tenant_wide": true, "data": data}).to_string()
    };
    let all =
        api.call(Method::PUT, "/v1/event-types/types.of.all?tenant=*", &[JSON], order().to_string()).await;
    assert_eq!(all.status, 200, "{:?}", all.json);
    api.post(event("types-all-a", json!({}))).await.invalid(&[("/data/id", "schema")]);
    assert_eq!(put(&api, "types-all-a", "types.of.all", json!({"priority": "urgent"})).await.status, 200);
    let id = api.post(event("types-all-a", json!({}))).await.json["id"].as_str().unwrap().to_owned();
    let stored = api.get(&format!("/v1/events/{id}?tenant=types-all-a")).await.json;
    assert_eq!(stored["event"]["priority"], "urgent", "{stored}");
    // What the publisher says itself counts; the default is not part of what is compared.
    let said = json!({"tenant": "types-all-a", "type": "types.of.all", "tenant_wide": true, "id": "p-1", "priority": "low"});
    api.post(&said).await.seq();
    let left = json!({"tenant": "types-all-a", "type": "types.of.all", "tenant_wide": true, "id": "p-2"});
    let seq = api.post(&left).await.seq();
    assert_eq!(put(&api, "types-all-a", "types.of.all", json!({"priority": "normal"})).await.status, 200);
    assert_eq!(api.post(&left).await.seq(), seq, "the same request again, whatever is set since");
    let low = api.get("/v1/events/p-1?tenant=types-all-a").await.json;
    assert_eq!(low["event"]["priority"], "low");
    let gone = api.call(Method::DELETE, "/v1/event-types/types.of.all?tenant=*", &[], "").await;
    assert_eq!(gone.status, 204);
    assert_eq!(api.post(event("types-all-b", json!({}))).await.seq(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_publisher_keeps_to_a_type_soon_and_whoever_has_none_costs_no_question() {
    let (here, there) = (Api::new().await, Api::new().await);
    let event = json!({"tenant": "types-far", "type": "a", "tenant_wide": true, "data": 1});
    there.post(&event).await.seq();
    assert_eq!(put(&here, "types-far", "a", json!({"schema": {"type": "object"}})).await.status, 200);
    here.post(&event).await.invalid(&[("/data", "schema")]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while there.post(&event).await.status != 422 {
        assert!(std::time::Instant::now() < deadline, "the other publisher never heard of it");
        there.types.look().await.unwrap();
    }
    there.post(&event).await.invalid(&[("/data", "schema")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_tried_with_variables_in_a_language() {
    let api = Api::new().await;
    let says = json!({
        "title": "Order {{ id }}", "body": "{{ total }} from {{ customer.name }}",
        "locales": {"de": {"title": "Bestellung {{ id }}"}}, "schema": {"type": "object"},
    });
    assert_eq!(put(&api, "types-try", "order.paid", says).await.status, 200);
    let full = json!({"id": "<o-1>", "total": 8.0, "customer": {"name": "Mila & Co"}});
    let made = preview(&api, "types-try", "order.paid", json!({"vars": full})).await;
    let expected =
        json!({"type": "order.paid", "locale": null, "title": "Order <o-1>", "body": "8 from Mila & Co"});
    assert_eq!((made.status.as_u16(), &made.json), (200, &expected));
    let german =
        preview(&api, "types-try", "order.paid", json!({"vars": {"id": 7}, "data": full, "locale": "de-CH"}))
            .await;
    let expected =
        json!({"type": "order.paid", "locale": "de", "title": "Bestellung 7", "body": "8 from Mila & Co"});
    assert_eq!(german.json, expected, "{:?}", german.json);
    let missing =
        preview(&api, "types-try", "order.paid", json!({"vars": {"id": 1, "total": 2, "customer": {}}}))
            .await;
    missing.problem(422, "template");
    assert_eq!(missing.faults(), [("/vars/customer/name".to_owned(), "template".to_owned())]);
    assert!(
        missing.json["errors"][0]["detail"].as_str().unwrap().contains("customer.name"),
        "{:?}",
        missing.json
    );
    preview(&api, "types-try", "order.paid", json!({"vars": [], "locale": "?"}))
        .await
        .invalid(&[("/locale", "invalid"), ("/vars", "wrong_type")]);
    preview(&api, "types-try", "order.paid", json!({"data": 1})).await.problem(422, "validation");
    preview(&api, "types-try", "nothing", json!({})).await.problem(404, "not_found");
    assert_eq!(put(&api, "types-try", "bare", json!({})).await.status, 200);
    preview(&api, "types-try", "bare", json!({})).await.problem(422, "template");
    let user = token_for("mila", "types-try", &[], NONE);
    let path = "/v1/event-types/order.paid/preview";
    api.call(Method::POST, path, &[JSON, ("authorization", &user)], "{}").await.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_are_changed_together_are_all_kept_and_have_a_bound() {
    let api = Api::new().await;
    let names: Vec<String> = (0..4).map(|n| format!("t{n}")).collect();
    let replies =
        futures_util::future::join_all(names.iter().map(|name| put(&api, "types-many", name, json!({}))))
            .await;
    let busy = replies.iter().filter(|reply| reply.json["code"] == "log_busy").count();
    let set = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(set + busy, 4, "{replies:?}");
    let stored = api.database.sql("select count(*) from carillon.event_types where tenant_id = 'types-many'");
    assert_eq!(stored, set.to_string());
    api.database.sql(
        "insert into carillon.event_types (tenant_id, type, definition)
         select 'types-many', 'x' || n, '{}' from generate_series(1, 500) n",
    );
    let more = put(&api, "types-many", "one-more", json!({})).await;
    more.problem(422, "invalid_event_type");
    assert_eq!(more.faults(), [("type".to_owned(), "too_many".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_release_stored_is_shown_and_nothing_passes_by_it() {
    let api = Api::new().await;
    assert_eq!(put(&api, "types-new", "a", json!({})).await.status, 200);
    api.database.sql(
        r#"update carillon.event_types set definition = '{"schema": {"newKeyword": 1}, "colour": "red"}' where tenant_id = 'types-new'"#,
    );
    let event = json!({"tenant": "types-new", "type": "a", "tenant_wide": true, "data": 1});
    api.post(&event).await.invalid(&[("/type", "schema")]);
    api.database.sql("update carillon.event_types set definition = '[' where tenant_id = 'types-new'");
    let shown = api.get("/v1/event-types/a?tenant=types-new").await.json;
    assert_eq!((&shown["type"], &shown["unreadable"]), (&json!("a"), &json!(true)));
}
