//! Does whoever reads learn where the log stood, so that no event falls between what was read and what comes?

use crate::harness::{Api, NONE, PUBLISH, make_key, token_for};
use crate::inbox::{Bell, notice};
use carillon_platform::config::Tenants as Policy;
use carillon_protocol::Cursor;
use serde_json::{Value, json};

async fn publish(api: &Api, tenant: &str, id: &str) -> Value {
    let reply = api.post(json!({"tenant": tenant, "type": "t", "channels": ["c"], "id": id})).await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    reply.json
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_that_reads_says_where_the_log_stands() {
    let api = Api::new().await;
    publish(&api, "position-a", "one").await;
    let newest = publish(&api, "position-a", "two").await;
    let expected = format!("{}:2", newest["epoch"].as_str().unwrap());
    for path in [
        "/v1/position?tenant=position-a",
        "/v1/events?tenant=position-a&limit=1",
        "/v1/events?tenant=position-a&type=nothing",
        "/v1/events?tenant=position-a&order=asc",
        "/v1/events/one?tenant=position-a",
    ] {
        let reply = api.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("carillon-position")),
            (200, Some(&*expected)),
            "{path}"
        );
    }
    let told = api.get("/v1/position?tenant=position-a").await.json;
    assert_eq!(told, json!({"epoch": newest["epoch"], "seq": 2}));
    let missing = api.get("/v1/events/three?tenant=position-a").await;
    assert_eq!((missing.status.as_u16(), missing.header("carillon-position")), (404, None));
    let page = api.get_with(&[("origin", "https://app.example.com")], "/v1/position?tenant=position-a").await;
    assert!(page.header("access-control-expose-headers").unwrap().contains("carillon-position"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_and_who_has_an_event_say_where_the_log_stood() {
    let (api, tenant) = (Api::new().await, "position-bell");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    bell.list("").await;
    for id in ["n1", "n2"] {
        notice(&api, tenant, id, json!({"users": ["mila"]}), json!({"id": id})).await;
    }
    let newest = publish(&api, tenant, "one").await;
    let expected = format!("{}:3", newest["epoch"].as_str().unwrap());
    let first = bell.get("/v1/inbox?limit=1").await;
    assert_eq!(first.header("carillon-position"), Some(&*expected), "the newest event, which is no notice");
    let next = first.json["next"].as_str().unwrap();
    let further = bell.get(&format!("/v1/inbox?limit=1&after={next}")).await;
    assert_eq!((further.status.as_u16(), further.header("carillon-position")), (200, None));
    for path in ["/v1/inbox", "/v1/inbox/summary"] {
        let read = bell.get(path).await;
        assert_eq!(read.header("carillon-position"), Some(&*expected), "{path}");
        let tag = read.header("etag").unwrap();
        let spared = api.get_with(&[("authorization", &bell.bearer), ("if-none-match", tag)], path).await;
        assert_eq!(
            (spared.status.as_u16(), spared.header("carillon-position")),
            (304, Some(&*expected)),
            "{path}"
        );
    }
    let path = format!("/v1/events/one/deliveries?tenant={tenant}");
    assert_eq!(api.get(&path).await.header("carillon-position"), Some(&*expected));
    let later = api.get(&format!("{path}&after=bWlsYR9sYXB0b3A")).await;
    assert_eq!((later.status.as_u16(), later.header("carillon-position")), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_notice_who_is_connected_and_what_people_did_say_where_the_log_stood() {
    let (api, tenant) = (Api::new().await, "position-beside");
    let lists = ["/v1/connections?", "/v1/activity?"];
    for path in lists {
        let never_used = api.get(&format!("{path}tenant={tenant}")).await;
        assert_eq!(
            (never_used.status.as_u16(), never_used.header("carillon-position")),
            (200, None),
            "{path}"
        );
    }
    notice(&api, tenant, "n1", json!({"users": ["mila", "otto"]}), json!({"id": "n1"})).await;
    let newest = publish(&api, tenant, "one").await;
    let expected = format!("{}:2", newest["epoch"].as_str().unwrap());
    for path in lists.into_iter().chain(["/v1/notices/n1?limit=1&"]) {
        let first = api.get(&format!("{path}tenant={tenant}")).await;
        let told = (first.status.as_u16(), first.header("carillon-position"));
        assert_eq!(told, (200, Some(&*expected)), "{path}");
    }
    let further = api.get(&format!("/v1/notices/n1?limit=1&after=mila&tenant={tenant}")).await;
    assert_eq!((further.status.as_u16(), further.header("carillon-position")), (200, None));
    let further = api.get(&format!("/v1/connections?after=YQ&tenant={tenant}")).await;
    assert_eq!((further.status.as_u16(), further.header("carillon-position")), (200, None));
    let missing = api.get(&format!("/v1/notices/n9?tenant={tenant}")).await;
    assert_eq!((missing.status.as_u16(), missing.header("carillon-position")), (404, None));
}

/// The position of a page, and its body.
async fn page(api: &Api, query: &str) -> (Option<String>, Value) {
    let reply = api.get(&format!("/v1/events?tenant=position-pages{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {:?}", reply.json);
    (reply.header("carillon-position").map(str::to_owned), reply.json)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_does_not_begin_at_the_end_of_the_log_has_no_position_to_connect_with() {
    let api = Api::new().await;
    for id in ["one", "two"] {
        publish(&api, "position-pages", id).await;
    }
    let (first, newest) = page(&api, "&limit=1").await;
    assert!(first.unwrap().ends_with(":2"));
    // It is on no page that follows, so their position must not name it.
    publish(&api, "position-pages", "three").await;
    let next = newest["next"].as_str().unwrap();
    let (position, older) = page(&api, &format!("&limit=1&after={next}")).await;
    assert_eq!((older["events"][0]["seq"].as_u64(), position), (Some(1), None));
    let back = older["previous"].as_str().unwrap();
    let (position, newer) = page(&api, &format!("&limit=1&before={back}")).await;
    assert_eq!((newer["events"][0]["seq"].as_u64(), position), (Some(2), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_the_page_that_reaches_the_end_of_the_log_has_its_position() {
    let api = Api::new().await;
    for id in ["one", "two", "three"] {
        publish(&api, "position-pages", id).await;
    }
    let (position, mut read) = page(&api, "&order=asc&limit=1").await;
    assert_eq!((read["events"][0]["seq"].as_u64(), position), (Some(1), None), "two events are missing");
    let mut seen = vec![1];
    let told = loop {
        let next = read["next"].as_str().unwrap();
        let (position, page) = page(&api, &format!("&order=asc&limit=1&after={next}")).await;
        seen.extend(page["events"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()));
        match position {
            Some(position) => break position,
            None => assert!(!page["events"].as_array().unwrap().is_empty(), "an empty page is the end"),
        }
        // Published between two pages.
        if seen.len() == 2 {
            publish(&api, "position-pages", "four").await;
        }
        read = page;
    };
    assert_eq!((seen, told.ends_with(":4")), (vec![1, 2, 3, 4], true), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_was_never_used_has_a_position_to_connect_with() {
    let api = Api::new().await;
    let told = api.get("/v1/position?tenant=position-new").await;
    let epoch = told.json["epoch"].as_str().unwrap().to_owned();
    assert_eq!((told.json["seq"].as_u64(), epoch.is_empty()), (Some(0), false));
    let cursor: Cursor = told.header("carillon-position").unwrap().parse().unwrap();
    assert_eq!((cursor.seq.0, cursor.epoch.as_str()), (0, epoch.as_str()));
    assert_eq!(publish(&api, "position-new", "one").await["epoch"], epoch);
    let strict = Api::with(api.database.clone(), Policy::Registered).await;
    strict.get("/v1/position?tenant=position-nobody").await.problem(403, "unknown_tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_or_connect_may_ask_and_nobody_else() {
    let api = Api::new().await;
    publish(&api, "position-who", "one").await;
    let token = token_for("mila", "position-who", &[], NONE);
    let asked = api.get_with(&[("authorization", &token)], "/v1/position").await;
    assert_eq!((asked.status.as_u16(), asked.json["seq"].as_u64()), (200, Some(1)));
    let reply = api.get_with(&[("authorization", &token)], "/v1/position?tenant=other").await;
    reply.problem(403, "tenant_forbidden");
    let publishes = make_key(&api.database, Some("position-who"), "publish", None).await;
    api.get_with(&[("x-api-key", &publishes)], "/v1/position").await.problem(403, "missing_scope");
    api.get_with(&[("anonymous", "")], "/v1/position").await.problem(401, "credentials_missing");
    api.get("/v1/position").await.problem(400, "invalid_parameter");
    api.get("/v1/position?tenant=position-who&limit=1").await.problem(400, "invalid_parameter");
    let caps = token_for("root", "position-who", &[], PUBLISH);
    assert_eq!(api.get_with(&[("authorization", &caps)], "/v1/position").await.status, 200);
}
