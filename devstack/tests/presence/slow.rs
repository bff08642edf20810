//! Does a watcher that does not read cost itself only, and does it know who is there once it reads again?

use super::person::Plan;
use super::set;
use crate::wire::{PATIENCE, ask, block_on, claims, client, token};
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::json;
use std::collections::BTreeSet;

const TENANT: &str = "slow-watchers";
const CHANNEL: &str = "branch:1";
/// Watchers that do not read.
const DEAF: usize = 8;
/// What the kernel takes for one of them: a few tens of kilobytes, not megabytes.
const RECEIVE_BUFFER: u32 = 4_096;
/// Bytes of a signal, and signals of a flood: 16 MB go past each of them.
const SIGNAL: usize = 12 * 1024;
const FLOOD: u64 = 1_300;
/// Bytes that somebody says about themselves.
const META: usize = 900;

/// Watches, and reads nothing after the answer.
async fn deaf(stack: &Stack, user: &str) -> Socket {
    let mut wanted = Connect::new(stack.gateway(0).ws_url(), token(stack, &claims(TENANT, user)));
    (wanted.patience, wanted.receive_buffer) = (PATIENCE, Some(RECEIVE_BUFFER));
    let (mut socket, _) = Socket::open(&wanted).await.unwrap();
    let watch = json!({"type": "subscribe", "id": "in", "channels": [CHANNEL], "presence": true});
    assert!(ask(&mut socket, watch).await.is("ok"));
    socket
}

/// Sends so many large signals, each when everybody who reads has heard the one before.
async fn flood(sender: &mut Socket, readers: &mut [Socket], signals: u64) {
    for n in 0..signals {
        let event = json!({"type": "cursor.moved", "data": {"n": n, "padding": "x".repeat(SIGNAL)}});
        let frame = json!({"type": "publish", "id": n, "channel": CHANNEL, "event": event});
        assert!(ask(sender, frame).await.is("ok"));
        for (at, reader) in readers.iter_mut().enumerate() {
            let heard = reader.next_of("signal", PATIENCE).await;
            let heard = heard.unwrap_or_else(|error| panic!("reader {at}, signal {n}: {error}"));
            assert_eq!(heard.0["event"]["data"]["n"], n, "reader {at}");
        }
    }
}

/// How many signals connections have missed that were not live.
async fn missed(gateway: &Service) -> f64 {
    let name = "carillon_signals_dropped_total{reason=\"behind\"} ";
    let text = gateway.metrics().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn watchers_that_do_not_read_delay_nobody_cost_no_memory_and_know_who_is_there_when_they_read_again() {
    block_on(async {
        let config = StackConfig::default().gateway_var("CARILLON_FRAMES_PER_SECOND", 1_000);
        let stack = Stack::start(config).await.unwrap();
        let anyone = json!(["anyone"]);
        let rule = json!({"subscribe": anyone, "publish": anyone, "signal": anyone, "presence": anyone,
            "presence_grace_ms": 500, "rate": 1_000});
        set(&stack, TENANT, rule).await;
        let gateway = stack.gateway(0);
        let reader = Plan::new(TENANT, "reader").at(&stack, 0).await;
        let elsewhere = Plan::new(TENANT, "elsewhere").at(&stack, 1).await;
        let wanted = client(&stack, gateway, &claims(TENANT, "sender")).channels([CHANNEL]);
        let (mut sender, _) = Socket::open(&wanted).await.unwrap();
        let mut readers = Vec::new();
        for at in [0, 1] {
            let wanted = client(&stack, stack.gateway(at), &claims(TENANT, "ear")).channels([CHANNEL]);
            readers.push(Socket::open(&wanted).await.unwrap().0);
        }
        let mut sockets = Vec::new();
        for n in 0..DEAF {
            sockets.push(deaf(&stack, &format!("deaf-{n}")).await);
        }
        let mut truth: BTreeSet<String> = (0..DEAF).map(|n| format!("deaf-{n}")).collect();
        truth.extend(["reader", "elsewhere", "sender", "ear"].map(str::to_owned));
        let names = |truth: &BTreeSet<String>| truth.iter().cloned().collect::<Vec<_>>();
        let all = names(&truth);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        reader.sees(&all).await;

        // Until all of them take nothing any more, and what the gateway allocates once has grown.
        let mut sent = 0;
        let began = std::time::Instant::now();
        let mut before = missed(gateway).await;
        loop {
            flood(&mut sender, &mut readers, 50).await;
            sent += 50;
            let now = missed(gateway).await;
            if now - before >= (50 * DEAF) as f64 {
                break;
            }
            assert!(began.elapsed() < PATIENCE * 2, "after {sent} signals they still take some");
            before = now;
        }
        let memory = gateway.process().memory().unwrap();
        // What they miss is not kept, and nobody else misses anything.
        flood(&mut sender, &mut readers, FLOOD).await;
        let grown = gateway.process().memory().unwrap().saturating_sub(memory);
        println!("{DEAF} deaf after {sent} signals; {FLOOD} more: grown by {} KiB", grown / 1024);
        assert!(grown < FLOOD * SIGNAL as u64 / 4, "grown by {grown} bytes: {} MB went past", DEAF * 16);

        // People come, say something and go; the others are told, those who do not read are not waited for.
        let guest = Plan::new(TENANT, "guest").at(&stack, 1).await;
        let gone = Plan::new(TENANT, "gone").at(&stack, 0).await;
        let meta = json!({"text": "y".repeat(META)});
        for talker in [&guest, &gone] {
            talker.send(json!({"type": "presence", "channel": CHANNEL, "meta": meta}));
        }
        for watcher in [&reader, &elsewhere] {
            let told = |known: &super::person::Known| {
                let members = known.members.as_ref().unwrap();
                ["guest", "gone"].iter().all(|user| members.get(*user) == Some(&meta))
            };
            watcher.until("guest and gone have said something", told).await;
        }
        gone.close().await;
        truth.insert("guest".to_owned());
        let all = names(&truth);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        reader.sees(&all).await;
        elsewhere.sees(&all).await;
        let open = wait::until("everybody being connected still", PATIENCE, || async {
            (gateway.metric("carillon_connections").await? >= (DEAF + 2) as f64).then_some(())
        });
        open.await.unwrap();

        // What they took before comes first, then one frame with everybody who is there now.
        for mut socket in sockets {
            loop {
                let frame = socket.next_frame(PATIENCE).await.unwrap();
                if frame.is("presence") && frame.0["sync"] == true {
                    let members = frame.0["members"].as_array().unwrap();
                    let there: BTreeSet<String> =
                        members.iter().map(|one| one["user"].as_str().unwrap().to_owned()).collect();
                    assert_eq!((&there, frame.0["count"].as_u64()), (&truth, Some(truth.len() as u64)));
                    let guest = members.iter().find(|one| one["user"] == "guest").unwrap();
                    assert_eq!(guest["meta"], meta);
                    break;
                }
                assert!(
                    frame.0["joined"]
                        .as_array()
                        .is_none_or(|all| all.iter().all(|one| one["user"] != "guest"))
                );
            }
            assert!(ask(&mut socket, json!({"type": "ping", "id": 1})).await.is("pong"));
        }
        stack.stop().await.unwrap();
    });
}
