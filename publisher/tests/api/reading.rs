//! Does `GET /v1/events` find what was asked for, and does paging show everything once?

use crate::harness::Api;
use serde_json::{Value, json};

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
