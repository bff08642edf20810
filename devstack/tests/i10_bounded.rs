//! I10: does everything that is full or away say so quickly, and recover?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::{Duration, Instant};

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::ledger::Ack;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::{PublishError, Publisher};
use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use faults::probe::{metric_reaches, readiness_becomes, readyz_status, sample, sample_reaches};
use faults::{PATIENCE, Scene, TENANT, alone, appointment, stop};
use futures_util::future::join_all;
use serde_json::json;

/// A frozen database is noticed within this time: two seconds to commit, one to connect, and a slow machine.
const QUICKLY: Duration = Duration::from_secs(6);

/// Sends one request again and again until it is acknowledged.
async fn until_acknowledged(publisher: &Publisher, posts: &[Post], key: &str) -> Vec<Ack> {
    wait::until(format!("request {key} being acknowledged"), PATIENCE, || async {
        match publisher.publish_many(posts, Some(key)).await {
            Ok(acks) => Some(acks),
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                None
            }
        }
    })
    .await
    .unwrap()
}

/// 15,000 events of one key want into a share for 9,000 while the database does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i10_bounded_a_full_share_of_the_intake_refuses_soon_and_loses_nothing() {
    const REQUESTS: u64 = 30;
    const EACH: u64 = 500;
    let _alone = alone().await;
    let scene = Scene::start(StackConfig::default()).await;
    let publisher = &scene.publishers()[0];
    // The tenant and the API key are known from here on: what follows needs only the append itself.
    publisher.publish(&appointment(0, 0), None).await.unwrap();
    let requests: Vec<(String, Vec<Post>)> = (0..REQUESTS)
        .map(|r| (format!("request-{r}"), (0..EACH).map(|n| appointment(r * EACH + n, 0)).collect()))
        .collect();

    scene.stack.postgres().process().freeze().unwrap();
    let flood = join_all(requests.iter().map(|(key, posts)| publisher.publish_many(posts, Some(key))));
    let thaw = async {
        let refused = r#"carillon_publish_refused_total{reason="caller_share"}"#;
        let full = wait::until("a refusal", PATIENCE, || async {
            (sample(scene.stack.publisher(0), refused).await > 0.0).then_some(())
        });
        let full = full.await;
        scene.stack.postgres().process().thaw().unwrap();
        full.unwrap();
    };
    let (answers, ()) = tokio::join!(flood, thaw);
    let mut by_share = 0;
    for answer in &answers {
        if let Err(error) = answer {
            let PublishError::Refused(problem) = error else { panic!("{error}") };
            assert!(matches!(problem.status, 429 | 503), "{problem:?}");
            assert!(problem.retry_after.is_some(), "told when to come back: {problem:?}");
            by_share += usize::from(problem.code == "caller_share_full");
        }
    }
    assert!(by_share >= 1, "{by_share} of {REQUESTS} were refused by the share");

    let mut seqs = Vec::new();
    for ((key, posts), first_answer) in requests.iter().zip(answers) {
        let acks = until_acknowledged(publisher, posts, key).await;
        if let Ok(first) = first_answer {
            let place = |ack: &Ack| (ack.id.clone(), ack.seq, ack.epoch.clone());
            assert_eq!(
                first.iter().map(place).collect::<Vec<_>>(),
                acks.iter().map(place).collect::<Vec<_>>()
            );
        }
        seqs.extend(acks.into_iter().map(|ack| ack.seq));
    }
    seqs.sort_unstable();
    assert!(seqs == Vec::from_iter(2..=REQUESTS * EACH + 1), "each event once, without a gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_bounded_a_frozen_database_is_an_answer_and_not_a_wait() {
    let _alone = alone().await;
    let mut scene = Scene::start(StackConfig { publishers: 2, ..StackConfig::default() }).await;
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 2).await;
    let load = scene.load(40.0);
    scene.acknowledged_more(40).await;
    scene.stack.postgres().process().freeze().unwrap();
    for publisher in scene.publishers() {
        for n in 0..3 {
            let began = Instant::now();
            let post = appointment(1_000_000 + n, 0).id(format!("frozen-{n}"));
            match publisher.publish(&post, None).await {
                Err(PublishError::Refused(problem)) => {
                    // Whoever waited behind a batch that did not come back hears `overloaded`.
                    assert_eq!(problem.status, 503, "{problem:?}");
                    assert!(matches!(problem.code.as_str(), "unavailable" | "overloaded"), "{problem:?}");
                    assert!(problem.retry_after.is_some());
                }
                other => panic!("nothing can be acknowledged now: {other:?}"),
            }
            assert!(began.elapsed() < QUICKLY, "it took {:?}", began.elapsed());
        }
    }
    for publisher in scene.stack.publishers() {
        readiness_becomes(publisher, "unready", Some("database")).await;
    }
    for gateway in scene.stack.gateways() {
        readiness_becomes(gateway, "degraded", Some("database")).await;
        assert_eq!(readyz_status(gateway).await, 200, "it still serves those who are connected");
    }
    scene.stack.postgres().process().thaw().unwrap();
    for service in scene.stack.gateways().iter().chain(scene.stack.publishers()) {
        readiness_becomes(service, "ready", None).await;
    }
    // What was refused may be stored all the same; whoever repeats it hears where.
    for n in 0..3 {
        let post = appointment(1_000_000 + n, 0).id(format!("frozen-{n}"));
        scene.book().attempted(&format!("frozen-{n}"), &post, Instant::now());
        let ack = scene.publishers()[0].publish(&post, None).await.unwrap();
        scene.book().acknowledged(TENANT, &ack);
    }
    scene.acknowledged_more(40).await;
    stop(load).await;
    scene.assert_whole().await;
    for follower in &scene.followers {
        assert_eq!(follower.status().connections, 1, "{} stayed", follower.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_bounded_without_a_database_connections_stay_and_the_ring_answers() {
    let _alone = alone().await;
    let config = StackConfig::default().gateway_var("CARILLON_RING_EVENTS", 16);
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 2).await;
    scene.publish(100).await;
    scene.everything_arrives().await;
    let seen = scene.followers[0].status().cursor.unwrap();
    scene.stack.postgres().process().kill().unwrap();

    let gateway = scene.stack.gateway(0);
    readiness_becomes(gateway, "degraded", Some("database")).await;
    let since = |seq| {
        let cursor = Cursor { seq, ..seen.clone() };
        Connect::new(gateway.ws_url(), scene.token(TENANT, "back")).since(cursor)
    };
    let (mut in_ring, _) = Socket::open(&since(90)).await.unwrap();
    for expected in 91..=100 {
        assert_eq!(in_ring.next_of("event", PATIENCE).await.unwrap().seq(), Some(expected));
    }
    in_ring
        .send_json(&json!({"type": "subscribe", "id": "h", "channel": "tenant", "history": 5}))
        .await
        .unwrap();
    let refused = in_ring.next_of("error", PATIENCE).await.unwrap();
    assert_eq!((refused.code(), refused.text("id")), (Some("history_unavailable"), Some("h")));
    let (mut behind_ring, welcome) = Socket::open(&since(10)).await.unwrap();
    assert_eq!(welcome.resumed, "replay");
    let waits = behind_ring.next_frame(Duration::from_millis(500)).await;
    assert!(matches!(waits, Err(SocketError::Timeout)), "no false start: {waits:?}");
    let stranger =
        Connect { patience: PATIENCE, ..Connect::new(gateway.ws_url(), scene.token("nobody-yet", "new")) };
    match Socket::open(&stranger).await {
        Err(SocketError::Refused { status: 503, code, retry_after, .. }) => {
            assert_eq!(code, "unavailable");
            assert!(retry_after.is_some());
        }
        other => panic!("a tenant nobody knows needs the log: {other:?}"),
    }

    scene.stack.postgres().restart().await.unwrap();
    for expected in 11..=100 {
        assert_eq!(behind_ring.next_of("event", PATIENCE).await.unwrap().seq(), Some(expected));
    }
    Socket::open(&stranger).await.unwrap().0.close().await;
    for service in scene.stack.gateways().iter().chain(scene.stack.publishers()) {
        readiness_becomes(service, "ready", None).await;
    }
    scene.publish(20).await;
    for socket in [&mut in_ring, &mut behind_ring] {
        for expected in 101..=120 {
            assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(expected));
        }
    }
    scene.assert_whole().await;
    for follower in &scene.followers {
        assert_eq!(follower.status().connections, 1, "{} stayed", follower.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_bounded_connections_frames_and_channels_have_limits() {
    let config = StackConfig::default()
        .gateway_var("CARILLON_MAX_CONNECTIONS", 3)
        .gateway_var("CARILLON_FRAMES_PER_SECOND", 2);
    let scene = Scene::start(config).await;
    let gateway = scene.stack.gateway(0);
    let connect = |n: u32| Connect::new(gateway.ws_url(), scene.token(TENANT, &format!("user-{n}")));
    let mut sockets = Vec::new();
    for n in 0..3 {
        sockets.push(Socket::open(&connect(n)).await.unwrap().0);
    }
    match Socket::open(&connect(3)).await {
        Err(SocketError::Refused { status: 503, retry_after, .. }) => assert!(retry_after.is_some()),
        other => panic!("there is room for three: {other:?}"),
    }
    metric_reaches(gateway, "carillon_handshakes_rejected_total", 1.0).await;

    let channels: Vec<String> = (0..=1_000).map(|n| format!("user:{n}")).collect();
    let request = json!({ "type": "subscribe", "id": "1", "channels": channels });
    let (answer, _) = sockets[0].ask(&request, PATIENCE).await.unwrap();
    assert!(answer.is("error"), "{answer:?}");

    let flood = async {
        for n in 0..200 {
            if sockets[1].send_json(&json!({ "type": "ping", "id": n })).await.is_err() {
                break;
            }
        }
        sockets[1].ended(PATIENCE).await
    };
    let error = flood.await;
    assert!(matches!(error.close_code(), Some(4429)) || matches!(error, SocketError::Lost(_)), "{error}");
    let floods = r#"carillon_connections_closed_total{reason="too_many"}"#;
    sample_reaches(gateway, floods, 1.0).await;
    assert_eq!(sample(gateway, floods).await, 1.0);

    // There is room again, and the one who behaved is still here.
    let place = wait::until("room for one more", PATIENCE, || async { Socket::open(&connect(3)).await.ok() });
    place.await.unwrap().0.close().await;
    let (pong, _) = sockets[2].ask(&json!({ "type": "ping", "id": "7" }), PATIENCE).await.unwrap();
    assert!(pong.is("pong"), "{pong:?}");
}
