//! Who hears of people without a WebSocket, and who is seen without one?

use super::person::Plan;
use super::{set, show, stack};
use crate::wire::{PATIENCE, Shared, block_on, claims, token};
use carillon_devstack::client::listen::{EventStream, Listen};
use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn shared() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(|| stack(false)).await
}

fn listen(stack: &Stack, gateway: usize, tenant: &str, user: &str) -> Listen {
    let token = token(stack, &claims(tenant, user));
    Listen::new(&stack.gateway(gateway).url(), token).unwrap().channels(["branch:1"])
}

/// The next word about people.
async fn told(stream: &mut EventStream) -> Value {
    let message = stream.next_of("presence", PATIENCE).await.unwrap();
    assert_eq!((&message.id, message.frame.text("channel")), (&None, Some("branch:1")), "{message:?}");
    message.frame.0
}

fn users(list: &Value) -> Vec<&str> {
    let mut users: Vec<&str> =
        list.as_array().unwrap().iter().map(|one| one["user"].as_str().unwrap()).collect();
    users.sort_unstable();
    users
}

#[test]
fn an_event_stream_is_told_who_is_here_and_who_comes_and_goes() {
    block_on(async {
        let stack = shared().await;
        show(&stack, "streamed", 500).await;
        let ana = Plan::new("streamed", "ana").at(&stack, 0).await;
        let mut stream = listen(&stack, 1, "streamed", "mila").presence().stream().await.unwrap();
        let welcome = stream.next(PATIENCE).await.unwrap();
        assert!(welcome.frame.is("welcome"), "{welcome:?}");
        let first = told(&mut stream).await;
        assert_eq!(first["sync"], true, "{first}");
        assert!(users(&first["members"]).contains(&"ana"), "{first}");
        ana.sees(&["ana", "mila"]).await;
        let eva = Plan::new("streamed", "eva").at(&stack, 2).await;
        let joined = async |stream: &mut EventStream, name: &str| {
            loop {
                let frame = told(stream).await;
                if frame["joined"].as_array().is_some_and(|list| list.iter().any(|one| one["user"] == name)) {
                    return frame;
                }
            }
        };
        assert_eq!(joined(&mut stream, "eva").await["count"], 3);
        eva.close().await;
        loop {
            let frame = told(&mut stream).await;
            if frame["left"] == json!(["eva"]) {
                assert_eq!(frame["count"], 2);
                break;
            }
        }
        // Whoever comes back is told all of it again.
        drop(stream);
        let back = listen(&stack, 2, "streamed", "mila").presence();
        let mut stream = back.stream().await.unwrap();
        assert_eq!(told(&mut stream).await["sync"], true);
        // A WebSocket may say so in its URL, too.
        let mut wanted = crate::wire::client(&stack, stack.gateway(0), &claims("streamed", "otto"));
        wanted = wanted.channels(["branch:1"]);
        wanted.presence = true;
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        let frame = socket.next_of("presence", PATIENCE).await.unwrap();
        assert_eq!(frame.0["sync"], true, "{frame:?}");
        socket.close().await;
        drop(stream);
        ana.sees(&["ana"]).await;
        ana.close().await;
    });
}

#[test]
fn what_an_url_may_not_ask_for_is_named() {
    block_on(async {
        let stack = shared().await;
        set(&stack, "url-wrong", json!({"subscribe": ["anyone"], "presence": ["role:desk"]})).await;
        let code = |refused: SocketError| match refused {
            SocketError::Refused { status, code, problem, .. } => (status, code, problem["channels"].clone()),
            other => panic!("{other}"),
        };
        let with = listen(&stack, 0, "url-wrong", "mila").presence();
        let refused = code(with.stream().await.err().unwrap());
        assert_eq!(refused, (403, "forbidden".into(), json!(["branch:1"])));
        let nothing = with.clone().channels(Vec::<String>::new());
        assert_eq!(code(nothing.stream().await.err().unwrap()).1, "invalid_query");
        let (status, name, _) = code(with.poll(None).await.err().unwrap());
        assert_eq!((status, &*name), (400, "invalid_query"), "a poll has one answer");
    });
}

#[test]
fn who_polls_is_here_as_long_as_they_poll() {
    block_on(async {
        let stack = shared().await;
        show(&stack, "polled", 5_000).await;
        let watcher = Plan::new("polled", "wanda").at(&stack, 0).await;
        let mut poller = listen(&stack, 1, "polled", "mila");
        let answer = poller.poll(None).await.unwrap();
        watcher.sees(&["mila", "wanda"]).await;
        poller.since = Some(answer.cursor);
        let began = Instant::now();
        let mut last = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            last = Instant::now();
            poller.poll(Some(Duration::from_secs(1))).await.unwrap();
        }
        assert_eq!(watcher.told(), ["mila joined"], "they are not told of between two polls");
        watcher.sees(&["wanda"]).await;
        // A second of the last poll, and five of grace.
        assert!(last.elapsed() >= Duration::from_millis(5_900), "the grace runs: {:?}", last.elapsed());
        assert_eq!(watcher.told(), ["mila joined", "mila left"]);
        watcher.close().await;
    });
}
