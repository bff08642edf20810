//! Do people without the capability publish what channel rules let them, and nothing else?

use crate::harness::{Api, Database, NONE, PUBLISH, Reply, make_key, token};
use carillon_backplane::api_key::Fresh;
use carillon_backplane::log::Role;
use carillon_platform::auth::Caps;
use carillon_protocol::UserId;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn rule(api: &Api, tenant: &str, pattern: &str, rule: Value) {
    let pattern = pattern.replace('{', "%7B").replace('}', "%7D");
    let path = format!("/v1/channel-rules/{pattern}?tenant={tenant}");
    let set = api.call(Method::PUT, &path, &[JSON], rule.to_string()).await;
    assert_eq!(set.status, 200, "{:?}", set.json);
}

/// A tenant in which people sell: orders are kept, talk is not.
async fn with_rules(tenant: &str) -> Api {
    let api = Api::new().await;
    let sells =
        json!({"publish": ["role:sales"], "durable": true, "client_types": ["order.*"], "rate": 1_000});
    rule(&api, tenant, "order:{order}", sells).await;
    rule(&api, tenant, "desk:{user}", json!({"publish": ["self"], "durable": true, "rate": 3})).await;
    rule(&api, tenant, "talk:*", json!({"publish": ["anyone"]})).await;
    api
}

async fn send(api: &Api, bearer: &str, event: Value) -> Reply {
    api.post_with(&[("authorization", bearer)], event).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_publishes_what_a_rule_lets_them_in_their_own_name() {
    let api = with_rules("cli-own").await;
    let mila = token("mila", &[("cli-own", &["sales"])], NONE);
    let sold = json!({"type": "order.paid", "channel": "order:7", "data": {"total": 1.50}, "id": "o-1"});
    let first = send(&api, &mila, sold.clone()).await;
    assert_eq!(first.seq(), 1);
    let again = send(&api, &mila, sold).await;
    assert_eq!((again.seq(), again.header("idempotency-replayed")), (1, Some("true")));
    let stored = api.get("/v1/events/o-1?tenant=cli-own").await.json;
    assert_eq!((&stored["event"]["actor"], &stored["channels"]), (&json!("mila"), &json!(["order:7"])));
    // Somebody else's name is refused, whatever rules say, also for an administrator; also in CloudEvents form.
    let head = token("head", &[("cli-own", &["sales"])], Caps { admin: true, ..NONE });
    let other = json!({"type": "order.paid", "channel": "order:7", "actor": "jan"});
    send(&api, &head, other).await.problem(403, "actor_forbidden");
    let other = send(&api, &mila, json!({"type": "order.paid", "channel": "order:7", "actor": "jan"})).await;
    other.problem(403, "actor_forbidden");
    let cloud = json!({"specversion": "1.0", "id": "c-1", "source": "/till", "type": "order.paid", "channels": "order:8"});
    let structured = [("authorization", mila.as_str()), ("content-type", "application/cloudevents+json")];
    assert_eq!(api.post_with(&structured, cloud.clone()).await.seq(), 2);
    let mut many = cloud;
    (many["id"], many["users"]) = (json!("c-2"), json!("jan"));
    let beyond = api.post_with(&structured, many).await;
    beyond.problem(403, "forbidden");
    assert_eq!(beyond.faults(), [("/users".to_owned(), "forbidden".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_allows_is_refused_by_name_and_nothing_is_stored() {
    let api = with_rules("cli-no").await;
    let mila = token("mila", &[("cli-no", &["sales"])], NONE);
    let jan = token("jan", &[("cli-no", &["kitchen"])], NONE);
    let expect = |reply: &Reply, faults: &[(&str, &str)]| {
        reply.problem(403, "forbidden");
        let faults: Vec<_> = faults.iter().map(|(at, code)| ((*at).to_owned(), (*code).to_owned())).collect();
        assert_eq!(reply.faults(), faults, "{:?}", reply.json);
    };
    let order = json!({"type": "order.paid", "channel": "order:7"});
    expect(&send(&api, &jan, order.clone()).await, &[("/channel", "forbidden")]);
    expect(
        &send(&api, &mila, json!({"type": "refund", "channel": "order:7"})).await,
        &[("/type", "forbidden")],
    );
    expect(
        &send(&api, &mila, json!({"type": "x", "channel": "talk:1"})).await,
        &[("/channel", "not_durable")],
    );
    let mixed = json!([order, {"type": "order.paid", "channels": ["order:1", "tenant", "desk:jan"]}]);
    let wrong = [("/1/channels/1", "forbidden"), ("/1/channels/2", "forbidden")];
    expect(&send(&api, &mila, mixed).await, &wrong);
    for (field, value) in
        [("users", json!(["jan"])), ("roles", json!(["sales"])), ("tenant_wide", json!(true))]
    {
        let mut event = json!({"type": "order.paid", "channel": "order:7"});
        event[field] = value;
        expect(&send(&api, &mila, event).await, &[(&format!("/{field}"), "forbidden")]);
    }
    let binary = [
        ("authorization", mila.as_str()),
        ("ce-specversion", "1.0"),
        ("ce-id", "b-1"),
        ("ce-source", "/till"),
        ("ce-type", "refund"),
        ("ce-channels", "order:7"),
        ("content-type", "text/plain"),
    ];
    let told = api.call(Method::POST, "/v1/events", &binary, "x").await;
    expect(&told, &[("ce-type", "forbidden")]);
    let heads = api.database.sql("select head from carillon.tenants where id = 'cli-no'");
    assert_eq!(heads, "0", "nothing was stored");
    // The capability goes on as before, and where nobody has set a rule so does what is said without it.
    let all = token("boss", &[("cli-no", &[])], PUBLISH);
    let event = json!({"type": "refund", "channel": "order:7", "users": ["jan"], "priority": "high"});
    assert_eq!(send(&api, &all, event).await.seq(), 1);
    let elsewhere = token("mila", &[("cli-no-rules", &["sales"])], NONE);
    send(&api, &elsewhere, order.clone()).await.problem(403, "missing_scope");
    // Another tenant's rules say nothing here.
    let both = token("mila", &[("cli-no", &["sales"]), ("cli-no-rules", &["sales"])], NONE);
    let mut there = order;
    there["tenant"] = json!("cli-no-rules");
    send(&api, &both, there).await.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_s_rate_holds_for_a_person_and_a_channel() {
    let api = with_rules("cli-rate").await;
    let mila = token("mila", &[("cli-rate", &["sales"])], NONE);
    let note = |user: &str| json!({"type": "note", "channel": format!("desk:{user}")});
    let four = json!([note("mila"), note("mila"), note("mila"), note("mila")]);
    let never = send(&api, &mila, four).await;
    never.problem(403, "forbidden");
    assert_eq!(never.faults(), [("/3/channel".to_owned(), "too_many".to_owned())]);
    assert_eq!(send(&api, &mila, json!([note("mila"), note("mila"), note("mila")])).await.status, 201);
    // A third of a second gives one back, and the machine may be busy.
    let refused = async {
        for _ in 0..100 {
            let answer = send(&api, &mila, note("mila")).await;
            if answer.status != 201 {
                return answer;
            }
        }
        panic!("a hundred one after the other are more than three a second")
    };
    let refused = refused.await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let jan = token("jan", &[("cli-rate", &[])], NONE);
    assert_eq!(send(&api, &jan, note("jan")).await.status, 201, "another person's");
    // What is only tried counts, too, and tells nobody who is connected.
    let ann = token("ann", &[("cli-rate", &[])], NONE);
    let headers = [JSON, ("authorization", ann.as_str())];
    let tries = async || {
        let body = note("ann").to_string();
        api.call(Method::POST, "/v1/dry-runs/events", &headers, body).await
    };
    let mut tried = vec![tries().await];
    while tried.last().is_some_and(|answer| answer.status == 200) && tried.len() < 100 {
        tried.push(tries().await);
    }
    assert!(tried.len() >= 4, "{}", tried.len());
    assert_eq!(tried[0].json["events"][0]["audience"], Value::Null, "{:?}", tried[0].json);
    assert!(tried[0].json["events"][0]["channels"] == json!(["desk:ann"]), "{:?}", tried[0].json);
    tried.last().unwrap().problem(429, "rate_limited");
    assert_eq!(send(&api, &mila, json!({"type": "order.paid", "channel": "order:1"})).await.status, 201);
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(send(&api, &mila, note("mila")).await.status, 201, "a third of a second gives one back");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_takes_an_id_that_a_service_uses() {
    let api = with_rules("cli-ids").await;
    let mila = token("mila", &[("cli-ids", &["sales"])], NONE);
    let event = json!({"type": "order.paid", "channel": "order:7", "id": "paid-7"});
    assert_eq!(send(&api, &mila, event).await.seq(), 1);
    let service =
        json!({"tenant": "cli-ids", "type": "order.paid", "channel": "order:7", "id": "paid-7", "data": 1});
    assert_eq!(api.post(service).await.seq(), 2);
    let jan = token("jan", &[("cli-ids", &["sales"])], NONE);
    let event = json!({"type": "order.paid", "channel": "order:7", "id": "paid-7", "data": 2});
    assert_eq!(send(&api, &jan, event.clone()).await.seq(), 3);
    let other = json!({"type": "order.paid", "channel": "order:7", "id": "paid-7", "data": 3});
    send(&api, &jan, other).await.problem(422, "idempotency_mismatch");
    assert_eq!(send(&api, &jan, event).await.seq(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_excepted_goes_along_and_into_no_comparison() {
    let api = with_rules("cli-except").await;
    let (one, two) = ("gateway-1-0000000a-0-4-7", "gateway-2-0000000b-1-5-8");
    let key = [("x-api-key", api.key.as_str()), ("x-carillon-connection", one)];
    let array = json!([
        {"tenant": "cli-except", "type": "t", "channels": ["order:1"], "id": "a"},
        {"tenant": "cli-except", "type": "t", "channels": ["order:1"], "id": "b", "except": two},
    ]);
    assert_eq!(api.post_with(&key, array.clone()).await.status, 201);
    let again = api.post(array).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, Some("true")));
    let cloud = json!({"specversion": "1.0", "id": "c", "source": "s", "type": "t", "tenant": "cli-except", "channels": ["order:1"], "except": one});
    assert_eq!(api.post_with(&[("content-type", "application/cloudevents+json")], cloud).await.seq(), 3);
    let mila = token("mila", &[("cli-except", &["sales"])], NONE);
    let event = json!({"type": "order.paid", "channel": "order:7", "except": one});
    assert_eq!(send(&api, &mila, event).await.seq(), 4);
    let announced: Vec<_> = {
        let batches = api.announced(4).await;
        let events = batches.iter().flat_map(|batch| &batch.events);
        let told = events.map(|event| {
            assert!(
                !String::from_utf8_lossy(&event.body).contains("except"),
                "it does not stay in the event"
            );
            event
                .except
                .as_deref()
                .map(|except| (except.connection.to_string(), except.of.as_ref().map(UserId::to_string)))
        });
        told.collect()
    };
    let of = |name: &str, user: Option<&str>| Some((name.to_owned(), user.map(str::to_owned)));
    let mila = of(one, Some("mila"));
    assert_eq!(announced, [of(one, None), of(two, None), of(one, None), mila], "a person's own alone");
    for bad in ["gateway-1", "", "a b"] {
        let event = json!({"tenant": "cli-except", "type": "t", "channels": ["c"], "except": bad});
        api.post(event).await.invalid(&[("/except", "invalid")]);
    }
    let event = json!({"tenant": "cli-except", "type": "t", "channels": ["c"]});
    let wrong = api.post_with(&[("x-carillon-connection", "gateway-1")], event).await;
    wrong.problem(400, "invalid_header");
    assert_eq!(wrong.faults(), [("X-Carillon-Connection".to_owned(), "invalid".to_owned())]);
}

/// A key as a gateway makes it.
async fn gateway_key(database: &Database) -> String {
    let fresh = Fresh::make().unwrap();
    database.log(Role::Gateway).enrol_gateway(&fresh.id, &fresh.hash).await.unwrap();
    fresh.text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_publishes_for_a_person_as_rules_let_them_and_nothing_else() {
    let api = with_rules("cli-relay").await;
    let key = gateway_key(&api.database).await;
    let relayed = |user: &str, roles: &[&str], event: Value| {
        json!({"tenant": "cli-relay", "user": user, "roles": roles, "event": event}).to_string()
    };
    let call = async |key: &str, body: String| {
        let headers = [("x-api-key", key), JSON];
        api.call(Method::POST, "/v1/relayed-events", &headers, body).await
    };
    let event = json!({"type": "order.paid", "channel": "order:7", "id": "r-1", "data": [1.0]});
    let first = call(&key, relayed("mila", &["sales"], event.clone())).await;
    assert_eq!((first.seq(), &first.json["id"]), (1, &json!("r-1")));
    assert_eq!(call(&key, relayed("mila", &["sales"], event.clone())).await.seq(), 1, "the same event");
    // It is the same one over REST, too.
    let mila = token("mila", &[("cli-relay", &["sales"])], NONE);
    assert_eq!(send(&api, &mila, event.clone()).await.seq(), 1);
    assert_eq!(api.get("/v1/events/r-1?tenant=cli-relay").await.json["event"]["actor"], "mila");
    call(&key, relayed("mila", &[], event.clone())).await.problem(403, "forbidden");
    let mut foreign = event.clone();
    foreign["tenant"] = json!("cli-own");
    call(&key, relayed("mila", &["sales"], foreign)).await.problem(403, "tenant_forbidden");
    call(&key, "{}".into()).await.problem(400, "invalid_json");
    let several = call(&key, relayed("mila", &["sales"], json!([event, event]))).await;
    several.invalid(&[("/event", "wrong_type")]);
    // The key is good for nothing else, and no other key for this.
    let with_key = [("x-api-key", key.as_str())];
    let plain = json!({"tenant": "cli-relay", "type": "order.paid", "channel": "order:7"});
    api.post_with(&with_key, plain).await.problem(403, "missing_scope");
    api.get_with(&with_key, "/v1/events?tenant=cli-relay").await.problem(403, "missing_scope");
    let publisher = make_key(&api.database, None, "publish,read,admin", None).await;
    call(&publisher, relayed("mila", &["sales"], event)).await.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_s_login_makes_keys_of_that_kind_alone_and_they_end() {
    let database = Database::shared().await;
    let key = gateway_key(&database).await;
    let id = key.split('_').nth(1).unwrap().to_owned();
    let stored = database.sql(&format!(
        "select scopes, tenant_id is null, expires_at - created_at from carillon.api_keys where id = '{id}'"
    ));
    assert_eq!(stored, "{relay}|t|1 day");
    let gateway = database.log(Role::Gateway);
    assert!(gateway.enrol_gateway("x'--", &[0; 32]).await.is_err());
    assert!(gateway.enrol_gateway(&id, &[0; 32]).await.is_err(), "no key is replaced");
    database.sql(&format!(
        "update carillon.api_keys set expires_at = now() - interval '2 days' where id = '{id}'"
    ));
    gateway_key(&database).await;
    assert_eq!(database.sql(&format!("select count(*) from carillon.api_keys where id = '{id}'")), "0");
}
