//! Is a repeated request answered with its first answer, and stored once?

use crate::harness::{Api, Reply};
use futures_util::future::join_all;
use serde_json::{Value, json};

fn event(tenant: &str, data: u32) -> Value {
    json!({"tenant": tenant, "type": "t", "channels": ["c"], "data": data})
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

fn rows(api: &Api, tenant: &str) -> String {
    api.database.sql(&format!("select count(*) from carillon.events where tenant_id = '{tenant}'"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer() {
    let api = Api::new().await;
    let key = [("idempotency-key", "order-1")];
    let first = api.post_with(&key, event("idem-repeat", 1)).await;
    assert!(!replayed(&first));
    let second = api.post_with(&key, event("idem-repeat", 1)).await;
    assert!(replayed(&second));
    assert_eq!((first.status, &first.bytes), (second.status, &second.bytes));
    let spaced = format!("  {} ", serde_json::to_string_pretty(&event("idem-repeat", 1)).unwrap());
    assert!(replayed(&api.post_with(&key, spaced).await), "white space is not another request");
    assert_eq!(rows(&api, "idem-repeat"), "1");
    assert_eq!(api.announced(1).await.len(), 1, "a repeat is not announced again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_for_another_request_is_a_mismatch() {
    let api = Api::new().await;
    let key = [("idempotency-key", "order-1")];
    api.post_with(&key, event("idem-other", 1)).await.seq();
    let other = api.post_with(&key, event("idem-other", 2)).await;
    other.problem(422, "idempotency_mismatch");
    assert_eq!(other.faults(), [(String::new(), "idempotency_mismatch".to_owned())]);
    assert_eq!(
        api.post_with(&key, event("idem-other-tenant", 2)).await.seq(),
        1,
        "a key belongs to its tenant"
    );
    assert_eq!(rows(&api, "idem-other"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_id_is_a_key() {
    let api = Api::new().await;
    let named =
        |data: u32| json!({"tenant": "idem-id", "type": "t", "channels": ["c"], "id": "e-1", "data": data});
    let first = api.post(named(1)).await;
    let second = api.post(named(1)).await;
    assert_eq!((first.seq(), replayed(&second)), (second.seq(), true));
    api.post(named(2)).await.problem(422, "idempotency_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_repeated_as_a_whole() {
    let api = Api::new().await;
    let key = [("idempotency-key", "batch-1")];
    let array =
        |last: u32| json!([event("idem-array", 1), event("idem-array", 2), event("idem-array", last)]);
    let first = api.post_with(&key, array(3)).await;
    let second = api.post_with(&key, array(3)).await;
    assert_eq!((&first.bytes, replayed(&first), replayed(&second)), (&second.bytes, false, true));
    api.post_with(&key, array(4)).await.problem(422, "idempotency_mismatch");
    api.post_with(&key, json!([event("idem-array", 1)])).await.problem(422, "idempotency_mismatch");
    assert_eq!(rows(&api, "idem-array"), "3");

    let id = |id: &str, data: u32| json!({"tenant": "idem-mixed", "type": "t", "channels": ["c"], "id": id, "data": data});
    api.post(id("a", 1)).await.seq();
    let half = api.post(json!([id("a", 1), id("b", 1)])).await;
    assert_eq!(
        (half.json[0]["seq"].as_u64(), half.json[1]["seq"].as_u64(), replayed(&half)),
        (Some(1), Some(2), false)
    );
    let conflict = api.post(json!([id("c", 1), id("a", 2)])).await;
    conflict.problem(422, "idempotency_mismatch");
    assert_eq!(conflict.faults(), [("/1".to_owned(), "idempotency_mismatch".to_owned())]);
    assert_eq!(rows(&api, "idem-mixed"), "2", "all or none");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_are_stored_once() {
    let api = Api::new().await;
    let twin = Api::new().await;
    let key = [("idempotency-key", "storm")];
    let calls =
        (0..50).map(|n| if n % 2 == 0 { &api } else { &twin }.post_with(&key, event("idem-storm", 1)));
    let replies = join_all(calls).await;
    assert_eq!(replies.iter().filter(|reply| !replayed(reply)).count(), 1);
    assert!(
        replies.iter().all(|reply| reply.status == 201 && reply.bytes == replies[0].bytes),
        "{replies:?}"
    );
    assert_eq!(rows(&api, "idem-storm"), "1");
    assert_eq!(api.announced.lock().unwrap().len() + twin.announced.lock().unwrap().len(), 1);
}
