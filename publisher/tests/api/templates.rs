//! Is a notice without a text of its own filled once, by its type's templates, and read by everybody in their language?

use crate::harness::{ADMIN, Api, Reply, token_for};
use crate::inbox::Bell;
use http::{Method, StatusCode};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) async fn set_type(api: &Api, tenant: &str, kind: &str, says: Value) {
    let admin = token_for("ada", tenant, &[], ADMIN);
    let path = format!("/v1/event-types/{kind}");
    let set = api.call(Method::PUT, &path, &[JSON, ("authorization", &admin)], says.to_string()).await;
    assert_eq!(set.status, 200, "{:?}", set.json);
}

async fn notices(api: &Api, body: Value) -> Reply {
    api.call(Method::POST, "/v1/notices", &[JSON], body.to_string()).await
}

fn stored(api: &Api, tenant: &str) -> String {
    api.database.sql(&format!(
        "select (select count(*) from carillon.events where tenant_id = '{tenant}') || ' ' ||
            (select count(*) from carillon.notices where tenant_id = '{tenant}')"
    ))
}

fn order() -> Value {
    json!({
        "title": "Order {{ id }} was paid", "body": "{{ total }} from {{ customer.name }}", "priority": "high",
        "locales": {"de": {"title": "Bestellung {{ id }} ist bezahlt"}, "fr": {"title": "Payé", "body": "{{ total }} €"}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_filled_once_and_everybody_reads_it_in_their_language() {
    let (api, tenant) = (Api::new().await, "templates");
    set_type(&api, tenant, "order.paid", order()).await;
    let people = ["mila", "jan", "ana", "bo"].map(|user| Bell::of(&api, user, tenant, &[]));
    for (bell, locale) in people.iter().zip(["de-AT", "fr", "pt", ""]) {
        bell.list("").await;
        if !locale.is_empty() {
            let set = bell.call(Method::PUT, "/v1/preferences", Some(json!({"locale": locale}))).await;
            assert_eq!(set.status, 200, "{:?}", set.json);
        }
    }
    let event = json!({"tenant": tenant, "type": "order.paid", "tenant_wide": true, "id": "e1",
        "data": {"id": "o-1", "total": 12.5, "customer": {"name": "Ana"}}, "notify": {"group": "orders"}});
    let seq = api.post(&event).await.seq();
    let read = async |bell: &Bell<'_>| {
        let item = bell.get("/v1/inbox").await.json["items"][0].clone();
        ["title", "body", "locale", "priority", "group"].map(|name| item[name].clone())
    };
    let [mila, jan, ana, bo] = &people;
    let rest = [json!("high"), json!("orders")];
    let texts = |title: &str, body: &str, locale: Value| {
        [json!(title), json!(body), locale, rest[0].clone(), rest[1].clone()]
    };
    assert_eq!(read(mila).await, texts("Bestellung o-1 ist bezahlt", "12.5 from Ana", json!("de")));
    assert_eq!(read(jan).await, texts("Payé", "12.5 €", json!("fr")));
    for bell in [ana, bo] {
        assert_eq!(read(bell).await, texts("Order o-1 was paid", "12.5 from Ana", Value::Null));
    }
    // What is searched is what is read.
    for (bell, found) in [(mila, 1), (jan, 0), (bo, 0)] {
        let page = bell.get("/v1/inbox?q=BESTELLUNG").await.json;
        assert_eq!(page["items"].as_array().unwrap().len(), found);
    }
    // A page that shows the event as it happens has all languages.
    let logged = api.get(&format!("/v1/events?tenant={tenant}")).await.json;
    let notify: Value =
        serde_json::from_str(logged["events"][0]["event"]["notify"].as_str().unwrap()).unwrap();
    let expected = json!({"title": "Order o-1 was paid", "body": "12.5 from Ana", "group": "orders",
        "locales": {"de": {"title": "Bestellung o-1 ist bezahlt"}, "fr": {"title": "Payé", "body": "12.5 €"}}});
    assert_eq!(notify, expected);
    // It says what it said then, whatever its type says later, and a repeat is the same event.
    set_type(&api, tenant, "order.paid", json!({"title": "Other"})).await;
    assert_eq!(read(mila).await, texts("Bestellung o-1 ist bezahlt", "12.5 from Ana", json!("de")));
    assert_eq!(api.post(&event).await.seq(), seq);
    let mut other = event.clone();
    other["notify"]["vars"] = json!({"id": "o-2"});
    api.post(&other).await.problem(422, "idempotency_mismatch");
    // Another language makes another answer, on every device.
    let tag = mila.get("/v1/inbox").await.header("etag").unwrap().to_owned();
    let version = mila.get("/v1/inbox/summary").await.json["version"].as_u64().unwrap();
    mila.call(Method::PUT, "/v1/preferences", Some(json!({"locale": "fr"}))).await;
    let again = api.get_with(&[("authorization", &mila.bearer), ("if-none-match", &tag)], "/v1/inbox").await;
    assert_eq!((again.status.as_u16(), &again.json["items"][0]["title"]), (200, &json!("Payé")));
    assert_eq!(again.json["version"].as_u64().unwrap(), version + 1);
    // A tenant's language is that of whoever has said none.
    let admin = Bell::with(&api, token_for("ada", tenant, &[], ADMIN));
    admin.call(Method::PUT, "/v1/preferences/defaults", Some(json!({"locale": "de"}))).await;
    assert_eq!(read(bo).await[0], "Bestellung o-1 ist bezahlt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_cannot_be_filled_is_refused_by_the_name_of_what_is_missing_and_nothing_is_stored() {
    let (api, tenant) = (Api::new().await, "templates-wrong");
    set_type(&api, tenant, "order.paid", order()).await;
    set_type(&api, tenant, "bare", json!({"priority": "low"})).await;
    set_type(&api, tenant, "empty", json!({"title": "{{ name }}"})).await;
    let event = |kind: &str, data: Value, notify: Value| json!({"tenant": tenant, "type": kind, "tenant_wide": true, "data": data, "notify": notify});
    let whole = json!({"id": "o-1", "total": 1, "customer": {"name": "Ana"}});
    let refused = [
        (event("order.paid", json!({"id": 1, "total": 2}), json!({})), "/data/customer/name", "template"),
        (event("order.paid", whole.clone(), json!({"template": "nothing"})), "/notify/template", "template"),
        (event("order.paid", whole.clone(), json!({"template": "bare"})), "/notify/template", "template"),
        (event("empty", json!({}), json!({"vars": {"nam": 1}})), "/notify/vars/name", "template"),
        (event("empty", json!({"name": " "}), json!({})), "/data", "template"),
    ];
    for (body, at, code) in &refused {
        let reply = api.post(body).await;
        reply.problem(422, "template");
        assert!(
            reply.faults().contains(&((*at).to_owned(), (*code).to_owned())),
            "{body}: {:?}",
            reply.faults()
        );
    }
    for (body, at, code) in [
        (event("bare", json!({}), json!({})), "/notify/title", "required"),
        (
            event("order.paid", whole.clone(), json!({"title": "T", "vars": {}})),
            "/notify/vars",
            "conflicting",
        ),
        (event("order.paid", whole.clone(), json!({"body": "B"})), "/notify/title", "required"),
    ] {
        api.post(&body).await.invalid(&[(at, code)]);
    }
    // In an array the place begins with the index, and none of it is stored.
    let array = json!([event("order.paid", whole.clone(), json!({})), refused[0].0]);
    let reply = api.post(&array).await;
    reply.problem(422, "template");
    assert!(reply.faults().iter().any(|(at, _)| at == "/1/data/customer/name"), "{:?}", reply.faults());
    let reply = notices(
        &api,
        json!({"tenant": tenant, "type": "order.paid", "audience": {"tenant": true}, "vars": {"id": 1}}),
    )
    .await;
    reply.problem(422, "template");
    assert!(reply.faults().iter().any(|(at, _)| at == "/vars/total"), "{:?}", reply.faults());
    assert_eq!(stored(&api, tenant), "0 0");
    // With all that they need they are stored, by all ways in.
    api.post(json!([
        event("order.paid", whole.clone(), json!({})),
        event("x", json!(1), json!({"template": "order.paid", "vars": whole}))
    ]))
    .await;
    let sent = notices(&api, json!({"tenant": tenant, "template": "order.paid", "audience": {"users": ["mila"]}, "vars": {"id": 7}, "data": {"total": 8.0, "customer": {"name": "B\nC"}}})).await;
    assert_eq!(sent.status, 201, "{:?}", sent.json);
    assert_eq!(stored(&api, tenant), "3 3");
    let mila = Bell::of(&api, "mila", tenant, &[]);
    let item = mila.get("/v1/inbox").await.json["items"][0].clone();
    assert_eq!(
        (&item["title"], &item["body"], &item["type"]),
        (&json!("Order 7 was paid"), &json!("8 from B\nC"), &json!("notice"))
    );
}

/// However much templates would do, a request is answered at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_templates_may_do_has_a_bound_for_a_notice_and_for_a_request() {
    let (api, tenant) = (Api::new().await, "templates-bound");
    let busy = "{% for a in range(60) %}{% for b in range(20) %}{% endfor %}{% endfor %}x";
    let locales: serde_json::Map<String, Value> =
        ["de", "fr", "it", "es", "pt", "nl", "pl", "sv", "fi", "da"]
            .iter()
            .map(|tag| ((*tag).to_owned(), json!({"title": busy})))
            .collect();
    set_type(&api, tenant, "busy", json!({"title": busy, "locales": locales})).await;
    set_type(&api, tenant, "one", json!({"title": busy})).await;
    let event = |kind: &str| json!({"tenant": tenant, "type": kind, "tenant_wide": true, "notify": {}});
    api.post(event("one")).await.seq();
    let reply = api.post(event("busy")).await;
    reply.problem(422, "template");
    assert!(reply.faults().iter().all(|(at, _)| at == "/data"), "{:?}", reply.faults());
    let many: Vec<Value> = (0..500).map(|_| event("one")).collect();
    let began = std::time::Instant::now();
    api.post(json!(many)).await.problem(422, "template");
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(stored(&api, tenant), "1 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_names_nobody_goes_to_the_audience_of_its_type_and_is_refused_where_there_is_none() {
    let (api, tenant) = (Api::new().await, "type-audience");
    let audience = json!({"roles": ["clerk"], "users": ["mila"]});
    set_type(&api, tenant, "order.late", json!({"title": "{{ id }} is late", "audience": audience})).await;
    set_type(&api, tenant, "plain", json!({"title": "x"})).await;
    let channels = |id: &str| {
        let sql = format!(
            "SELECT array_to_string(channels, ' ') FROM carillon.events WHERE tenant_id = '{tenant}' AND id = '{id}'"
        );
        api.database.sql(&sql)
    };
    // As an event, as a notice, by the type whose template it names, and not where it names somebody itself.
    let data = json!({"id": "o-1"});
    let event = json!({"tenant": tenant, "id": "e1", "type": "order.late", "data": data, "notify": {}});
    assert_eq!(api.post(&event).await.status.as_u16(), 201);
    let again = api.post(&event).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "the same request: {:?}", again.json);
    let notice = |id: &str, more: Value| {
        let mut body = json!({"tenant": tenant, "id": id, "data": data});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (id, more, expected) in [
        ("n1", json!({"type": "order.late"}), "user:mila role:clerk"),
        ("n2", json!({"template": "order.late"}), "user:mila role:clerk"),
        ("n3", json!({"type": "order.late", "title": "Late", "audience": {}}), "user:mila role:clerk"),
        ("n4", json!({"type": "order.late", "audience": {"tenant": true}}), "tenant"),
    ] {
        let sent = notices(&api, notice(id, more.clone())).await;
        assert_eq!(sent.status.as_u16(), 201, "{more}: {:?}", sent.json);
        assert_eq!(channels(id), expected, "{more}");
    }
    assert_eq!(channels("e1"), "user:mila role:clerk");
    let mila = Bell::of(&api, "mila", tenant, &[]);
    assert_eq!(
        mila.get("/v1/inbox").await.json["items"].as_array().unwrap().len(),
        4,
        "what went to everybody before she was seen is not hers"
    );
    // Nobody is named, and no type does; an event that is no notice names its targets.
    let before = stored(&api, tenant);
    for (body, path, pointer) in [
        (notice("f1", json!({"type": "plain"})), "/v1/notices", "/audience"),
        (notice("f2", json!({"title": "T"})), "/v1/notices", "/audience"),
        (json!({"tenant": tenant, "type": "plain", "notify": {}}), "/v1/events", ""),
        (json!({"tenant": tenant, "type": "order.late", "data": data}), "/v1/events", ""),
    ] {
        let refused = api.call(Method::POST, path, &[JSON], body.to_string()).await;
        let fault = &refused.json["errors"][0];
        assert_eq!(
            (refused.status, &fault["pointer"], &fault["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer), &json!("target_required")),
            "{body}: {:?}",
            refused.json
        );
    }
    assert_eq!(stored(&api, tenant), before);
    // What is wrong with an audience is told, and nothing is set.
    let admin = token_for("ada", tenant, &[], ADMIN);
    let headers = [JSON, ("authorization", admin.as_str())];
    let wrong = json!({"title": "x", "audience": {"users": []}}).to_string();
    let refused = api.call(Method::PUT, "/v1/event-types/plain", &headers, wrong).await;
    assert_eq!(
        (refused.status, &refused.json["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/audience"))
    );
    let shown = api.call(Method::GET, "/v1/event-types/order.late", &headers, String::new()).await;
    assert_eq!(shown.json["audience"], audience);
}
