//! I5: does no byte of one tenant ever reach a connection of another?
//!
//! Two gateways; tenants whose names are parts of each other, with the same users, roles and channels.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::Claims;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message;
use wire::{PATIENCE, Shared, ask, block_on, claims, client, open, publish};

/// Each is a prefix or a near relative of another, also behind a Redis prefix or in a `LIKE`.
const TENANTS: [&str; 8] = ["a", "a-", "a_b", "axb", "a-b", "aa", "0", "00"];
const EVENTS: usize = 60;
const LAST: &str = "wire.last";

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED
        .stack(|| async {
            // A ring of eight events: most replays read the log.
            let config = StackConfig { gateways: 2, publishers: 2, ..StackConfig::default() }
                .gateway_var("CARILLON_RING_EVENTS", "8");
            Stack::start(config).await.unwrap()
        })
        .await
}

/// The same person in every tenant.
fn mila(tenant: &str) -> Claims {
    claims(tenant, "mila").roles(["staff"]).channels(["*"])
}

/// A word that stands in every event of a tenant and in none of another's.
fn mark_of(tenant: &str) -> String {
    format!("<secret of {tenant}>")
}

/// Reads to the last event; every byte must be the tenant's own. Answers the seqs of live events.
async fn watch(mut socket: Socket, tenant: String) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        assert_own(&frame.0, &tenant);
        if frame.is("event") && !frame.is_history() {
            seqs.extend(frame.seq());
        }
        if frame.event()["type"] == LAST {
            socket.close().await;
            return seqs;
        }
    }
}

fn assert_own(frame: &Value, tenant: &str) {
    let text = frame.to_string();
    for other in TENANTS.into_iter().filter(|other| *other != tenant) {
        assert!(!text.contains(&mark_of(other)), "I5: {tenant} got what is {other}'s: {text}");
    }
    if frame["type"] == "event" {
        assert!(text.contains(&mark_of(tenant)), "{tenant} got what is nobody's: {text}");
    }
}

/// Publishes a tenant's events, of which every one is for Mila in several ways. Answers the seqs.
async fn publish_all(stack: Arc<Stack>, tenant: &'static str, through: usize) -> Vec<u64> {
    let to = Publisher::new(&stack.publisher(through % 2).url(), stack.api_key()).unwrap();
    let mut seqs = Vec::new();
    for n in 0..EVENTS {
        let data = json!({"mark": mark_of(tenant), "n": n});
        // The same names and the same ids everywhere.
        let post = Post::new(tenant, "wire.isolation", data).id(format!("event-{n}"));
        let post = match n % 4 {
            0 => post.tenant_wide(),
            1 => post.user("mila"),
            2 => post.role("staff"),
            _ => post.channel("contact:1"),
        };
        seqs.push(to.publish(&post, None).await.unwrap().seq);
    }
    let last = Post::new(tenant, LAST, json!({"mark": mark_of(tenant)})).tenant_wide();
    seqs.push(to.publish(&last, None).await.unwrap().seq);
    seqs
}

#[test]
fn i5_tenants_with_tricky_names_share_everything_but_events() {
    block_on(async {
        let stack = stack().await;
        let mut cursors = BTreeMap::new();
        let mut watching = Vec::new();
        for tenant in TENANTS {
            for gateway in stack.gateways() {
                let wanted = client(&stack, gateway, &mila(tenant)).channels(["contact:1"]);
                let (socket, welcome) = Socket::open(&wanted).await.unwrap();
                assert_eq!((welcome.tenant.as_str(), welcome.seq), (tenant, 0));
                cursors.insert(tenant, Cursor::new(0, welcome.epoch));
                watching.push((tenant, tokio::spawn(watch(socket, tenant.to_owned()))));
            }
        }
        let epochs: BTreeSet<_> = cursors.values().map(|cursor| &cursor.epoch).collect();
        assert_eq!(epochs.len(), TENANTS.len(), "every log has an epoch of its own");

        let publishing: Vec<_> = TENANTS
            .into_iter()
            .enumerate()
            .map(|(n, tenant)| tokio::spawn(publish_all(Arc::clone(&stack), tenant, n)))
            .collect();
        for one in publishing {
            let seqs = one.await.unwrap();
            assert_eq!(seqs, (1..=EVENTS as u64 + 1).collect::<Vec<_>>(), "every tenant counts by itself");
        }
        let expected: Vec<u64> = (1..=EVENTS as u64 + 1).collect();
        for (tenant, watcher) in watching {
            assert_eq!(watcher.await.unwrap(), expected, "{tenant}");
        }

        // The same from the past: by resume, and by history.
        for (n, tenant) in TENANTS.into_iter().enumerate() {
            let gateway = stack.gateway(n % 2);
            let wanted = client(&stack, gateway, &mila(tenant)).since(cursors[tenant].clone());
            let (socket, _) = Socket::open(&wanted.channels(["contact:1"])).await.unwrap();
            assert_eq!(watch(socket, tenant.to_owned()).await, expected, "{tenant}");
            let (mut socket, _) = open(&stack, gateway, &mila(tenant)).await;
            let channels = ["tenant", "user:mila", "role:staff", "contact:1"];
            let request = json!({"type": "subscribe", "channels": channels, "history": 1_000, "id": "h"});
            ask(&mut socket, request).await;
            let mut count = 0;
            loop {
                let frame = socket.next_frame(PATIENCE).await.unwrap();
                assert_own(&frame.0, tenant);
                if frame.is("replayed") {
                    assert_eq!(frame.number("count"), Some(count));
                    break;
                }
                count += 1;
            }
            assert_eq!(count, expected.len() as u64);
            socket.close().await;
        }
    });
}

/// The same person again in tenants with tricky names, of other logs than above: now on one connection that is in all of them.
#[test]
fn i5_a_connection_in_all_tenants_with_tricky_names_gets_what_is_each_one_s_under_its_name() {
    const ATTACHED: [&str; 8] = ["b", "b-", "b_c", "bxc", "b-c", "bb", "1", "11"];
    block_on(async {
        let stack = stack().await;
        let mut of_all = mila(ATTACHED[0]);
        of_all.tenants =
            ATTACHED[1..].iter().map(|name| ((*name).to_owned(), vec!["staff".to_owned()])).collect();
        let mut watching = Vec::new();
        for gateway in stack.gateways() {
            let wanted = client(&stack, gateway, &of_all).channels(["contact:1"]);
            let mut socket = Socket::open(&wanted).await.unwrap().0;
            for tenant in &ATTACHED[1..] {
                let frame =
                    json!({"type": "attach", "id": tenant, "tenant": tenant, "channels": ["contact:1"]});
                let welcome = ask(&mut socket, frame).await;
                assert!(welcome.is("welcome") && welcome.text("tenant") == Some(tenant), "{welcome:?}");
            }
            watching.push(tokio::spawn(async move {
                let mut seqs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
                let mut ended = 0;
                while ended < ATTACHED.len() {
                    let frame = socket.next_frame(PATIENCE).await.unwrap();
                    if !frame.is("event") {
                        assert!(frame.is("heartbeat"), "{frame:?}");
                        continue;
                    }
                    let tenant = frame.text("tenant").unwrap().to_owned();
                    assert_eq!(frame.event()["data"]["mark"], mark_of(&tenant), "I5: {frame:?}");
                    ended += usize::from(frame.event()["type"] == LAST);
                    seqs.entry(tenant).or_default().extend(frame.seq());
                }
                socket.close().await;
                seqs
            }));
        }
        let publishing: Vec<_> = ATTACHED
            .into_iter()
            .enumerate()
            .map(|(n, tenant)| tokio::spawn(publish_all(Arc::clone(&stack), tenant, n)))
            .collect();
        for one in publishing {
            one.await.unwrap();
        }
        let expected: Vec<u64> = (1..=EVENTS as u64 + 1).collect();
        for watcher in watching {
            let seqs = watcher.await.unwrap();
            assert_eq!(seqs.len(), ATTACHED.len());
            for tenant in ATTACHED {
                assert_eq!(seqs[tenant], expected, "{tenant}");
            }
        }
    });
}

#[test]
fn i5_a_token_of_one_tenant_reaches_into_no_other() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(0);
        let theirs = publish(&stack, "theirs", &["tenant", "user:mila"], json!({"mark": "THEIRS"})).await;
        let ours = publish(&stack, "ours", &["tenant"], json!({"mark": "ours"})).await;
        assert_ne!(theirs.epoch, ours.epoch);

        // By the URL.
        let mut foreign = client(&stack, gateway, &mila("ours"));
        foreign.tenant = Some("theirs".into());
        let error = Socket::open(&foreign).await.unwrap_err();
        assert!(
            matches!(&error, SocketError::Refused { status: 403, code, .. } if code == "tenant_forbidden"),
            "{error}"
        );

        // By channel names that would mean another tenant in a careless key.
        let (mut socket, _) = open(&stack, gateway, &mila("ours")).await;
        for channel in ["theirs:tenant", "theirs", "tenant:theirs", "theirs:user:mila"] {
            let answer = ask(
                &mut socket,
                json!({"type": "subscribe", "channel": channel, "history": 10, "id": channel}),
            )
            .await;
            if answer.is("ok") {
                let replayed = socket.next_frame(PATIENCE).await.unwrap();
                assert_eq!(
                    (replayed.kind(), replayed.number("count")),
                    ("replayed", Some(0)),
                    "{replayed:?}"
                );
            } else {
                assert_eq!(answer.code(), Some("forbidden"), "{answer:?}");
            }
        }
        // By fields of frames that name another tenant.
        for frame in [
            json!({"type": "subscribe", "channel": "tenant", "tenant": "theirs", "history": 10, "id": "f"}),
            json!({"type": "subscribe", "data": {"channel": "tenant", "tenant": "theirs"}, "history": 10, "id": "f"}),
        ] {
            assert_eq!(ask(&mut socket, frame).await.code(), Some("not_attached"));
        }
        let answer = ask(&mut socket, json!({"type": "attach", "tenant": "theirs", "id": "a"})).await;
        assert_eq!(answer.code(), Some("forbidden"), "{answer:?}");
        let refresh = json!({"type": "auth", "token": wire::token(&stack, &mila("theirs")), "id": "r"});
        let answer = ask(&mut socket, refresh).await;
        assert_eq!(answer.code(), Some("tenant_forbidden"), "{answer:?}");
        // By an epoch: another tenant's is only a wrong one, and all of our own past is news.
        let since =
            json!({"type": "subscribe", "channel": "tenant", "since": 0, "epoch": theirs.epoch, "id": "e"});
        assert!(ask(&mut socket, since).await.is("ok"));
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        assert_eq!(event.event()["data"]["mark"], "ours");
        socket.close().await;

        for (since, epoch) in [(0, Some(&theirs.epoch)), (theirs.seq, Some(&theirs.epoch)), (u64::MAX, None)]
        {
            let cursor = Cursor { seq: since, epoch: epoch.cloned() };
            let wanted = client(&stack, gateway, &mila("ours")).since(cursor);
            let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
            assert_eq!((welcome.resumed.as_str(), &welcome.epoch), ("reset", &ours.epoch), "{since}");
            let reset = socket.next_frame(PATIENCE).await.unwrap();
            assert_eq!((reset.kind(), reset.text("reason")), ("reset", Some("epoch_changed")));
            assert_eq!((reset.seq(), reset.epoch()), (Some(ours.seq), Some(ours.epoch.as_str())));
            socket.send_json(&json!({"type": "ping", "id": 1})).await.unwrap();
            let pong = socket.next_frame(PATIENCE).await.unwrap();
            assert_eq!((pong.kind(), pong.seq()), ("pong", Some(ours.seq)), "nothing of theirs comes");
            socket.close().await;
        }
    });
}

#[test]
fn i5_whoever_changes_the_tenant_on_one_socket_after_the_other_gets_each_ones_own() {
    block_on(async {
        let stack = stack().await;
        let mut both = mila("left");
        both.tenants.insert("right".into(), Vec::new());
        let mut heads = BTreeMap::new();
        for tenant in ["left", "right", "right"] {
            let ack = publish(&stack, tenant, &["tenant"], json!({"mark": tenant})).await;
            heads.insert(tenant, ack);
        }
        for tenant in ["left", "right", "left"] {
            for gateway in stack.gateways() {
                let mut wanted = client(&stack, gateway, &both).since(Cursor::new(0, &heads[tenant].epoch));
                wanted.tenant = Some(tenant.into());
                let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
                assert_eq!((welcome.tenant.as_str(), welcome.resumed.as_str()), (tenant, "replay"));
                for seq in 1..=heads[tenant].seq {
                    let event = socket.next_of("event", PATIENCE).await.unwrap();
                    assert_eq!((event.seq(), &event.event()["data"]["mark"]), (Some(seq), &json!(tenant)));
                }
                // A refresh does not lead elsewhere.
                let token = wire::token(&stack, &both);
                socket
                    .send(Message::text(
                        json!({"type": "auth", "token": token, "tenant": "right", "id": 1}).to_string(),
                    ))
                    .await
                    .unwrap();
                let ok = socket.next_of("ok", PATIENCE).await.unwrap();
                assert!(ok.number("expires_in").is_some());
                let ack = publish(&stack, tenant, &["tenant"], json!({"mark": tenant})).await;
                heads.insert(tenant, ack.clone());
                let other = if tenant == "left" { "right" } else { "left" };
                let foreign = publish(&stack, other, &["tenant"], json!({"mark": other})).await;
                heads.insert(other, foreign);
                let event = socket.next_of("event", PATIENCE).await.unwrap();
                assert_eq!((event.seq(), &event.event()["data"]["mark"]), (Some(ack.seq), &json!(tenant)));
                socket.close().await;
            }
        }
    });
}
