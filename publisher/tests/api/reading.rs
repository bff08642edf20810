//! Does `GET /v1/events` find what was asked for, and does paging show everything once?

use crate::harness::{ADMIN, Api, NONE, token_for};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn fill(api: &Api, tenant: &str, events: usize) {
    let all: Vec<Value> =
        (1..=events).map(|n| json!({"tenant": tenant, "type": "t", "channels": ["c"], "data": n})).collect();
    for chunk in all.chunks(500) {
        assert_eq!(api.post(json!(chunk)).await.status, 201);
    }
}

fn seqs(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_shows_300_events_once_there_and_back() {
    let api = Api::new().await;
    fill(&api, "read-pages", 300).await;
    let page_at = async |cursor: String| {
        let reply = api.get(&format!("/v1/events?tenant=read-pages&limit=47{cursor}")).await;
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        reply.json
    };
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let mut page = page_at(String::new()).await;
    assert!(page["previous"].is_null());
    loop {
        there.extend(seqs(&page));
        let Some(next) = page["next"].as_str() else { break };
        page = page_at(format!("&after={next}")).await;
    }
    assert_eq!(there, (1..=300).rev().collect::<Vec<u64>>());
    let oldest_shown = seqs(&page)[0];
    while let Some(previous) = page["previous"].as_str() {
        page = page_at(format!("&before={previous}")).await;
        back.splice(0..0, seqs(&page));
    }
    assert_eq!(back, (oldest_shown + 1..=300).rev().collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_asked_about_a_tenants_health_once_in_a_while() {
    let api = Api::new().await;
    fill(&api, "read-health", 1).await;
    let mut answers = std::collections::HashSet::new();
    for _ in 0..20 {
        let reply = api.get("/v1/health/events?tenant=read-health").await;
        // How long the log took, to the nanosecond: the same answer has the same.
        answers.insert(reply.json["log"]["answer_ms"].to_string());
        assert_eq!(reply.status, 200, "{:?}", reply.json);
    }
    assert!(!answers.contains("null") && answers.len() <= 3, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_combine() {
    let api = Api::new().await;
    let events = json!([
        {"tenant": "read-filter", "type": "appointment.created", "source": "desk", "subject": "a1", "actor": "mila", "channels": ["c:1"], "time": "2026-01-01T00:00:00Z", "data": "50% Off"},
        {"tenant": "read-filter", "type": "appointment.moved", "source": "desk", "subject": "a1", "actor": "jan", "channels": ["c:1", "c:2"], "time": "2026-02-01T00:00:00Z"},
        {"tenant": "read-filter", "type": "order.paid", "source": "shop", "subject": "o1", "actor": "mila", "channels": ["c:2"], "time": "2026-03-01T00:00:00Z"},
    ]);
    assert_eq!(api.post(events).await.status, 201);
    for (query, found) in [
        ("", vec![3, 2, 1]),
        ("&type=appointment.created", vec![1]),
        ("&type=appointment.*", vec![2, 1]),
        ("&type=*", vec![3, 2, 1]),
        ("&source=shop", vec![3]),
        ("&actor=mila", vec![3, 1]),
        ("&subject=a1&actor=jan", vec![2]),
        ("&channel=c:2", vec![3, 2]),
        ("&q=50%25%20off", vec![1]),
        ("&q=5_%25", vec![]),
        ("&from=2026-02-01T00:00:00Z", vec![3, 2]),
        ("&from=2026-01-15T00:00:00Z&to=2026-03-01T00:00:00Z", vec![2]),
        ("&limit=1", vec![3]),
    ] {
        let reply = api.get(&format!("/v1/events?tenant=read-filter{query}")).await;
        assert_eq!((reply.status.as_u16(), seqs(&reply.json)), (200, found), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_parameters_are_named() {
    let api = Api::new().await;
    for (query, name, code) in [
        ("limit=0", "limit", "invalid"),
        ("limit=201", "limit", "invalid"),
        ("limit=x", "limit", "invalid"),
        ("from=yesterday", "from", "invalid"),
        ("to=2026-01-01", "to", "invalid"),
        ("type=a*b", "type", "invalid"),
        ("channel=a%20b", "channel", "invalid"),
        ("q=", "q", "invalid"),
        ("q=a%00", "q", "invalid"),
        ("typ=x", "typ", "unknown_parameter"),
        ("type=x&type=y", "type", "repeated_parameter"),
        ("after=x&before=y", "before", "invalid"),
    ] {
        let reply = api.get(&format!("/v1/events?tenant=read-faults&{query}")).await;
        reply.problem(400, "invalid_parameter");
        assert_eq!(reply.faults(), [(name.to_owned(), code.to_owned())], "{query}");
    }
    api.get("/v1/events?tenant=Bad").await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_own_log_only() {
    let api = Api::new().await;
    fill(&api, "read-cursor", 3).await;
    fill(&api, "read-cursor2", 3).await;
    let page = api.get("/v1/events?tenant=read-cursor&limit=1").await.json;
    let next = page["next"].as_str().unwrap().to_owned();
    assert_eq!(seqs(&api.get(&format!("/v1/events?tenant=read-cursor&after={next}")).await.json), [2, 1]);
    for (tenant, cursor) in [
        ("read-cursor2", next.as_str()),
        ("read-cursor", "x"),
        ("read-cursor", &next[1..]),
        ("read-nobody", next.as_str()),
    ] {
        let reply = api.get(&format!("/v1/events?tenant={tenant}&after={cursor}")).await;
        reply.problem(400, "invalid_cursor");
    }
    api.database.sql("update carillon.tenants set epoch = 'other' where id = 'read-cursor'");
    api.get(&format!("/v1/events?tenant=read-cursor&after={next}")).await.problem(400, "invalid_cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_found_by_its_id() {
    let api = Api::new().await;
    let id = "a/b č?";
    api.post(json!({"tenant": "read-one", "type": "t", "channels": ["c"], "id": id, "data": 1.0}))
        .await
        .seq();
    let reply = api.get("/v1/events/a%2Fb%20%C4%8D%3F?tenant=read-one").await;
    assert_eq!((reply.json["seq"].as_u64(), &reply.json["event"]["id"]), (Some(1), &json!(id)));
    assert!(String::from_utf8_lossy(&reply.bytes).contains("\"data\":1.0"), "bytes as published");
    api.get("/v1/events/none?tenant=read-one").await.problem(404, "not_found");
    api.get("/v1/events/a%00b?tenant=read-one").await.problem(404, "not_found");
    api.get("/v1/events/a%ffb?tenant=read-one").await.problem(404, "not_found");
}

/// Larger than what is read at once: such a page comes in pieces, and is the same page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_megabytes_comes_in_pieces_and_whole() {
    let api = Api::new().await;
    let note = "x".repeat(20_000);
    for part in 0..3 {
        let all: Vec<Value> = (1..=40)
            .map(|n| json!({"tenant": "read-large", "type": "t", "channels": ["c"], "data": {"n": part * 40 + n, "note": note}}))
            .collect();
        assert_eq!(api.post(json!(all)).await.status, 201);
    }
    let page_at = async |query: &str| {
        let reply = api.get(&format!("/v1/events?tenant=read-large{query}")).await;
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        for row in reply.json["events"].as_array().unwrap() {
            assert_eq!(row["event"]["data"]["n"], row["seq"]);
            assert_eq!(row["event"]["data"]["note"], note.as_str());
        }
        reply.json
    };
    let all = page_at("&limit=200").await;
    assert_eq!(seqs(&all), (1..=120).rev().collect::<Vec<u64>>());
    assert!(all["next"].is_null() && all["previous"].is_null());
    let newest = page_at("&limit=50").await;
    assert_eq!(seqs(&newest), (71..=120).rev().collect::<Vec<u64>>());
    let older = page_at(&format!("&limit=50&after={}", newest["next"].as_str().unwrap())).await;
    assert_eq!(seqs(&older), (21..=70).rev().collect::<Vec<u64>>());
    let back = page_at(&format!("&limit=50&before={}", older["previous"].as_str().unwrap())).await;
    assert_eq!(seqs(&back), seqs(&newest));
    assert!(back["previous"].is_null());
    let filtered = page_at("&limit=3&q=%22n%22:1").await;
    assert_eq!(seqs(&filtered), [120, 119, 118]);
}

/// Each page holds its memory until its last byte is taken: a user may leave sixteen, a tenant's users sixty-four.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_nobody_takes_use_up_their_readers_own_share_of_memory() {
    let api = Api::new().await;
    let events = |tenant: &str| {
        json!(vec![
            json!({"tenant": tenant, "type": "t", "tenant_wide": true, "data": "x".repeat(20_000)});
            10
        ])
    };
    for tenant in ["unread", "unread-other"] {
        assert_eq!(api.post(events(tenant)).await.status, 201);
    }
    let unread = async |tenant: &str, user: usize| {
        let token = token_for(&format!("user-{user}"), tenant, &[], ADMIN);
        let request = Request::get("/v1/events?limit=200").header("authorization", token);
        let answer = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (answer.status().as_u16(), answer)
    };
    let mut pages = Vec::new();
    for user in 0..4 {
        for _ in 0..16 {
            let (status, page) = unread("unread", user).await;
            assert_eq!(status, 200, "{} pages are not taken", pages.len());
            pages.push(page);
        }
        let (status, refused) = unread("unread", user).await;
        assert_eq!(status, 429, "sixteen pages of this user are not taken");
        assert!(refused.headers().contains_key("retry-after"));
    }
    assert_eq!(unread("unread", 4).await.0, 429, "sixty-four pages of this tenant are not taken");
    assert_eq!(unread("unread-other", 0).await.0, 200, "another tenant has its own share");
    // Whoever takes a page to its end has room for another one.
    let taken = pages.remove(0).into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&taken).unwrap()["events"].as_array().unwrap().len(), 10);
    assert_eq!(unread("unread", 0).await.0, 200);
    assert_eq!(unread("unread", 1).await.0, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_found_however_it_was_escaped_and_escapes_are_no_text() {
    let api = Api::new().await;
    for data in [
        r#""Jana Kov\u00e1\u010dov\u00e1""#,
        r#""Jana Kováčová""#,
        r#""JANA KOV\u00C1\u010COV\u00C1""#,
        r#"{"note":"she said \"hi\" in C:\\temp\nand left \ud83d\ude00 \u0000"}"#,
        r#"{"url":"https:\/\/example.com\/a"}"#,
        r#"{"big":12,"back":"\\u0041\\n"}"#,
    ] {
        let body = format!(r#"{{"tenant":"read-text","type":"t","channels":["c"],"data":{data}}}"#);
        assert_eq!(api.post(body).await.status, 201, "{data}");
    }
    for (typed, found) in [
        ("Jana Kováčová", vec![3, 2, 1]),
        ("kováč", vec![3, 2, 1]),
        ("u010d", vec![]),
        ("said \"hi\" in", vec![4]),
        ("C:\\temp", vec![4]),
        ("C:\\\\temp", vec![]),
        ("nand left", vec![]),
        ("and left 😀", vec![4]),
        ("ude00", vec![]),
        ("https://example.com/a", vec![5]),
        ("\\/", vec![]),
        ("\\u0041\\n", vec![6]),
        ("\"big\":12", vec![6]),
        ("%", vec![]),
    ] {
        let query = percent_encoding::utf8_percent_encode(typed, percent_encoding::NON_ALPHANUMERIC);
        let reply = api.get(&format!("/v1/events?tenant=read-text&q={query}")).await;
        assert_eq!((reply.status.as_u16(), seqs(&reply.json)), (200, found), "{typed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_times_at_their_ends_are_kept() {
    let api = Api::new().await;
    let long = "9".repeat(400);
    let body = format!(
        r#"{{"tenant":"read-ends","type":"t","channels":["c"],"id":"n","time":"9999-12-31T23:59:59Z","data":[1e400,{long}]}}"#
    );
    assert_eq!(api.post(body).await.seq(), 1);
    let reply = api.get("/v1/events/n?tenant=read-ends").await;
    let text = String::from_utf8_lossy(&reply.bytes).into_owned();
    assert!(
        text.contains(&format!("\"data\":[1e400,{long}]")) && text.contains("9999-12-31T23:59:59Z"),
        "{text}"
    );
    for (query, found) in [("from=9999-12-31T23:59:59Z", vec![1]), ("to=9999-12-31T23:59:59Z", vec![])] {
        let reply = api.get(&format!("/v1/events?tenant=read-ends&{query}")).await;
        // No float holds these numbers, so the test looks at the text, too.
        let text = String::from_utf8_lossy(&reply.bytes).into_owned();
        assert_eq!(
            (reply.status.as_u16(), text.matches("\"seq\":").count()),
            (200, found.len()),
            "{query}: {text}"
        );
    }
    let wrong =
        json!({"tenant": "read-ends", "type": "t", "channels": ["c"], "time": "2026-03-01T09:30:00+25:00"});
    api.post(wrong).await.invalid(&[("/time", "invalid")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reads_over_rest_what_it_may_subscribe_to() {
    let api = Api::new().await;
    let events = json!([
        {"tenant": "read-same", "type": "t", "channels": ["room:front-desk"], "id": "front"},
        {"tenant": "read-same", "type": "t", "channels": ["room:back-office", "secret"], "id": "back"},
        {"tenant": "read-same", "type": "t", "channels": ["secret"], "id": "secret"},
        {"tenant": "read-same", "type": "t", "users": ["mila"], "id": "own"},
    ]);
    assert_eq!(api.post(events).await.status, 201);
    let mila = token_for("mila", "read-same", &["room:*", "lobby"], NONE);
    let list = async |token: &str, query: &str| {
        api.get_with(&[("authorization", token)], &format!("/v1/events?{query}")).await
    };
    for (query, found) in [
        ("", vec![4]),
        ("channel=room:front-desk", vec![1]),
        ("channel=room:back-office", vec![2]),
        ("channel=room:front-desk&type=t", vec![1]),
        ("channel=lobby", vec![]),
        ("channel=user:mila", vec![4]),
        ("order=asc&channel=room:front-desk", vec![1]),
    ] {
        let reply = list(&mila, query).await;
        assert_eq!((reply.status.as_u16(), seqs(&reply.json)), (200, found), "{query}");
    }
    for query in ["channel=secret", "channel=user:jan", "channel=role:admin", "order=asc&channel=secret"] {
        list(&mila, query).await.problem(403, "forbidden");
    }
    for (id, seen) in [("front", true), ("back", true), ("own", true), ("secret", false)] {
        let reply = api.get_with(&[("authorization", &mila)], &format!("/v1/events/{id}")).await;
        assert_eq!(reply.status.as_u16(), if seen { 200 } else { 404 }, "{id}");
    }
    let admin = token_for("root", "read-same", &[], ADMIN);
    assert_eq!(seqs(&list(&admin, "channel=secret").await.json), [3, 2]);
    assert_eq!(seqs(&list(&admin, "").await.json), [4, 3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_reads_forward_without_an_end() {
    let api = Api::new().await;
    let page = async |query: String| {
        let reply = api.get(&format!("/v1/events?tenant=read-on&order=asc&limit=40&{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {:?}", reply.json);
        assert!(reply.json["previous"].is_null());
        (seqs(&reply.json), reply.json["next"].as_str().unwrap().to_owned())
    };
    // A tenant that was never used has a place to begin, too.
    let (none, mut next) = page(String::new()).await;
    assert!(none.is_empty());
    fill(&api, "read-on", 100).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let (found, after) = page(format!("after={next}")).await;
        all.extend(found);
        next = after;
    }
    assert_eq!(all, (1..=100).collect::<Vec<u64>>());
    assert_eq!(page(format!("after={next}")).await.0, [0; 0], "the end is a place, too");
    fill(&api, "read-on", 3).await;
    assert_eq!(page(format!("after={next}")).await.0, [101, 102, 103]);
    assert_eq!(page("after=100".into()).await.0, [101, 102, 103], "a seq is a place");
    assert_eq!(page("after=101&channel=c".into()).await.0, [102, 103]);
    let (none, next) = page("channel=nobody".into()).await;
    assert!(none.is_empty());
    fill(&api, "read-on", 1).await;
    assert_eq!(page(format!("after={next}")).await.0, [104], "what was looked at is not looked at again");
    for (query, code) in [
        ("after=105", "invalid_cursor"),
        ("after=x", "invalid_cursor"),
        ("before=x", "invalid_parameter"),
        ("order=up", "invalid_parameter"),
    ] {
        let order = if query.starts_with("order") { "" } else { "order=asc&" };
        api.get(&format!("/v1/events?tenant=read-on&{order}{query}")).await.problem(400, code);
    }
    api.database.sql("delete from carillon.events where tenant_id = 'read-on' and seq <= 50");
    let gap = api.get("/v1/events?tenant=read-on&order=asc&after=30").await;
    gap.problem(400, "invalid_cursor");
    assert!(gap.json["detail"].as_str().unwrap().contains("retention has dropped"), "{:?}", gap.json);
    assert_eq!(page("after=50".into()).await.0[0], 51);
    assert_eq!(page("".into()).await.0[0], 51, "the beginning is the oldest there is");
}
