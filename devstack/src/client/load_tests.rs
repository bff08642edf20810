//! Does a load repeat what was not acknowledged, under the same key, and write down what was?

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::ledger::Ledger;
use super::load::{Load, LoadPlan};
use super::post::Post;
use super::publish::{PublishError, Publisher};

/// What came: `(idempotency key, body)`.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// Answers each request with what `answer` makes of its number and body; nothing cuts the connection.
async fn serve(answer: fn(u64, &Value) -> Option<(u16, Value)>) -> (Publisher, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let publisher =
        Publisher::new(&format!("http://{}", listener.local_addr().unwrap()), "crln_x_y").unwrap();
    let requests = Requests::default();
    let (seen, count) = (Arc::clone(&requests), Arc::new(AtomicU64::new(0)));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, count) = (Arc::clone(&seen), Arc::clone(&count));
            tokio::spawn(async move {
                while let Some((head, body)) = request(&mut stream).await {
                    assert!(head.contains("authorization: Bearer crln_x_y"), "{head}");
                    let key = head.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
                    seen.lock().unwrap().push((key.unwrap_or_default().to_owned(), body.clone()));
                    let Some((status, answer)) = answer(count.fetch_add(1, Ordering::SeqCst), &body) else {
                        return;
                    };
                    let answer = answer.to_string();
                    let kind = if status < 300 { "application/json" } else { "application/problem+json" };
                    let length = answer.len();
                    let head = format!(
                        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
                    );
                    let reply = head + &answer;
                    stream.write_all(reply.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (publisher, requests)
}

async fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, serde_json::from_slice(&body).unwrap()))
}

fn plan() -> LoadPlan {
    LoadPlan::new(None, |n| Post::new("acme", "t", json!({ "n": n })).tenant_wide()).tasks(1).total(2)
}

#[tokio::test]
async fn a_load_repeats_under_the_same_key_until_it_is_acknowledged() {
    let (publisher, requests) = serve(|n, body| match n {
        0 => Some((503, json!({"code": "overloaded"}))),
        1 => None,
        n => Some((201, json!({"id": body["id"], "seq": n - 1, "epoch": "e1"}))),
    })
    .await;
    let ledger = Arc::new(Mutex::new(Ledger::new()));
    let report = Load::start(&[publisher], &ledger, &plan()).finished().await;
    assert_eq!((report.acknowledged, report.retried, report.abandoned), (2, 2, 0), "{report:?}");
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[0], requests[2], "the same event under the same key");
    assert_eq!(Value::from(requests[0].0.as_str()), requests[0].1["id"]);
    assert_ne!(requests[2].0, requests[3].0);
    let ledger = ledger.lock().unwrap();
    assert_eq!((ledger.acknowledged_count("acme"), ledger.last_seq("acme", "e1")), (2, 2));
}

#[tokio::test]
async fn a_load_gives_up_what_is_refused_for_good() {
    let (publisher, _) = serve(|_, _| {
        let faults = json!([{"pointer": "/type", "code": "required", "detail": "is required"}]);
        Some((422, json!({"code": "validation", "detail": "1 fault", "errors": faults})))
    })
    .await;
    let report = Load::start(&[publisher], &Default::default(), &plan()).finished().await;
    assert_eq!((report.acknowledged, report.retried, report.abandoned), (0, 0, 2));
    assert_eq!(report.first_refusal.unwrap(), "refused with HTTP 422 validation: 1 fault; /type is required");
}

#[tokio::test]
async fn a_load_can_be_stopped_and_keeps_its_rate() {
    let (publisher, _) =
        serve(|n, body| Some((201, json!({"id": body["id"], "seq": n + 1, "epoch": "e"})))).await;
    let mut plan = plan().tasks(3);
    (plan.total, plan.rate) = (None, Some(50.0));
    let load = Load::start(&[publisher], &Default::default(), &plan);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = load.stop().await.acknowledged;
    assert!((3..=20).contains(&sent), "{sent} events in 300 ms at 50 a second");
}

#[tokio::test]
async fn an_array_is_answered_in_order_and_a_wrong_answer_is_named() {
    let (publisher, _) = serve(|n, body| match n {
        0 => {
            let acks = body.as_array().unwrap().iter().zip(1..);
            Some((201, acks.map(|(post, seq)| json!({"id": post["id"], "seq": seq, "epoch": "e"})).collect()))
        }
        _ => Some((201, json!([]))),
    })
    .await;
    let posts: Vec<Post> = ["a", "b"].map(|id| Post::new("acme", "t", json!({})).id(id).tenant_wide()).into();
    let acks = publisher.publish_many(&posts, None).await.unwrap();
    assert_eq!(acks.iter().map(|ack| (ack.id.as_str(), ack.seq)).collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
    let error = publisher.publish_many(&posts, None).await.unwrap_err();
    assert!(matches!(&error, PublishError::Contract(why) if why == "0 answers to 2 events"), "{error}");
}
