//! Do those who ask for the compact form get what all others get, on every way and whatever happens, in fewer bytes?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;
#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_protocol::compact::plain;
use faults::{Scene, TENANT, alone, stop};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{PATIENCE, Shared, block_on, claims, client, events_to, publish, seqs, token};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(StackConfig::default()).await.unwrap()).await
}

fn compact(wanted: Connect) -> Connect {
    Connect { compact: true, ..wanted }
}

/// Slow ones, resumes from rings and from the log, gateways killed in turn: the ledger finds every loss and every repeat.
#[tokio::test(flavor = "multi_thread")]
async fn i3_i4_compact_clients_get_every_event_once_while_their_gateways_are_killed() {
    let _alone = alone().await;
    let config = StackConfig { gateways: 2, publishers: 2, ..StackConfig::default() };
    let mut scene = Scene::start(config.gateway_var("CARILLON_RING_EVENTS", 16)).await;
    let urls: Vec<String> = scene.stack.gateways().iter().map(|gateway| gateway.ws_url()).collect();
    scene.follow_anywhere(2).await;
    for turn in 0..4 {
        let mut urls = urls.clone();
        urls.rotate_left(turn % 2);
        let follow = carillon_devstack::client::resume::Follow {
            compact: true,
            receive_buffer: (turn > 1).then_some(4_096),
            ..scene.route(TENANT, urls)
        };
        scene.follow(TENANT, follow).await;
    }
    let load = scene.load(80.0);
    for round in 0..4 {
        scene.acknowledged_more(40).await;
        let slow = scene.followers.last().unwrap();
        slow.pause().await;
        scene.acknowledged_more(40).await;
        scene.followers.last().unwrap().go().await;
        let victim = scene.stack.gateway(round % 2);
        victim.kill().unwrap();
        scene.acknowledged_more(40).await;
        victim.restart().await.unwrap();
    }
    stop(load).await;
    scene.assert_whole().await;
}

#[test]
fn a_compact_and_a_plain_client_of_one_room_get_the_same_events_and_the_former_a_third_fewer_bytes() {
    block_on(async {
        let stack = stack().await;
        let (tenant, gateway) = ("compact-room", stack.gateway(0));
        let mila = claims(tenant, "mila");
        let (mut short, _) = Socket::open(&compact(client(&stack, gateway, &mila))).await.unwrap();
        let (mut long, _) = Socket::open(&client(&stack, gateway, &mila)).await.unwrap();
        assert_eq!((short.protocol(), long.protocol()), (Some("carillon.v1.compact"), None));
        let data = json!({"filling": "x".repeat(200 - 14)});
        assert_eq!(data.to_string().len(), 200);
        let mut sizes = Vec::new();
        for (channels, data) in [
            (&["tenant"][..], data.clone()),
            (&["tenant"], data),
            (&["user:mila", "tenant"], json!(null)),
            (&["user:mila"], json!({"price": 1.5, "text": "é\"\n"})),
            (&["tenant"], json!({"long": "y".repeat(5_000)})),
        ] {
            let ack = publish(&stack, tenant, channels, data).await;
            let (one, other) = (events_to(&mut short, ack.seq).await, events_to(&mut long, ack.seq).await);
            assert_eq!(one, other);
            sizes.push((short.last_bytes(), long.last_bytes()));
        }
        // With the four bytes of a message of this length. The first tells the names.
        let [_, (compact, plain), ..] = sizes[..] else { panic!("{sizes:?}") };
        assert!(compact + 4 <= 270 && compact * 10 < plain * 7, "{compact} and {plain}: {sizes:?}");
        // History comes as it does to others.
        let history = json!({"type": "subscribe", "id": "h", "channels": ["tenant"], "history": 2});
        wire::ask(&mut short, history).await;
        let past = short.next_of("event", PATIENCE).await.unwrap();
        assert!(past.is_history(), "{past:?}");
    });
}

/// The names are the tenant's: whoever comes into another one is told those anew, and events of several come in the plain form.
#[test]
fn names_of_one_tenant_are_never_taken_for_those_of_another() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(0);
        let mut director = claims("compact-a", "vera");
        director.tenants.insert("compact-b".into(), vec!["head".into()]);
        let (mut short, _) = Socket::open(&compact(client(&stack, gateway, &director))).await.unwrap();
        let of_b = publish(&stack, "compact-b", &["role:head"], json!({"of": "b"})).await;
        publish(&stack, "compact-a", &["user:vera"], json!(1)).await;
        let first = publish(&stack, "compact-a", &["tenant"], json!(2)).await;
        events_to(&mut short, first.seq).await;
        let attach = json!({"type": "attach", "id": 1, "tenant": "compact-b", "since": of_b.seq - 1});
        wire::ask(&mut short, attach).await;
        let event = short.next_of("event", PATIENCE).await.unwrap();
        assert_eq!((event.text("tenant"), &event.event()["data"]), (Some("compact-b"), &json!({"of": "b"})));
        wire::ask(&mut short, json!({"type": "detach", "id": 2, "tenant": "compact-a"})).await;
        for n in 0..2 {
            publish(&stack, "compact-b", &["role:head"], json!(n)).await;
            let event = short.next_of("event", PATIENCE).await.unwrap();
            assert_eq!((&event.0["channels"], &event.event()["data"]), (&json!(["role:head"]), &json!(n)));
        }
        assert!(
            short.last_bytes() < 120,
            "the second one is compact and tells nothing: {}",
            short.last_bytes()
        );
    });
}

#[test]
fn i4_a_compact_client_is_reset_as_others_are_and_goes_on_in_the_new_epoch() {
    block_on(async {
        let stack = stack().await;
        let (tenant, gateway) = ("compact-epoch", stack.gateway(0));
        let mila = claims(tenant, "mila");
        let (mut short, _) = Socket::open(&compact(client(&stack, gateway, &mila))).await.unwrap();
        let (mut long, _) = Socket::open(&client(&stack, gateway, &mila)).await.unwrap();
        let before = publish(&stack, tenant, &["tenant"], json!({"before": true})).await;
        events_to(&mut short, before.seq).await;
        events_to(&mut long, before.seq).await;
        stack
            .sql(&format!("UPDATE carillon.tenants SET epoch = 'restored' WHERE id = '{tenant}'"))
            .await
            .unwrap();
        let after = publish(&stack, tenant, &["tenant"], json!({"after": true})).await;
        let (one, other) =
            (short.next_of("reset", PATIENCE).await.unwrap(), long.next_of("reset", PATIENCE).await.unwrap());
        assert_eq!((one.epoch(), one.text("reason")), (other.epoch(), other.text("reason")));
        // Where each one's shard stood when it heard of it may differ: each goes on from there.
        let more = publish(&stack, tenant, &["tenant"], json!({"more": true})).await;
        let mut told = Vec::new();
        for (socket, reset) in [(&mut short, one), (&mut long, other)] {
            let events = events_to(socket, more.seq).await;
            let expected = [after.seq, more.seq].into_iter().filter(|seq| Some(*seq) > reset.seq());
            assert_eq!(seqs(&events), expected.collect::<Vec<_>>(), "{reset:?}");
            told.push(events);
        }
        let both = told[0].len().min(told[1].len());
        let [short, long] = [0, 1].map(|at| &told[at][told[at].len() - both..]);
        assert_eq!(short, long, "the same, in another form");
    });
}

#[test]
fn polls_and_event_streams_have_the_compact_form_too() {
    block_on(async {
        let stack = stack().await;
        let tenant = "compact-http";
        let mila = claims(tenant, "mila");
        let mut last = 0;
        for n in 0..3 {
            last = publish(&stack, tenant, &["tenant"], json!({"n": n})).await.seq;
        }
        let get = |path: String| {
            let url = format!("{}{path}", stack.gateway(0).url());
            reqwest::Client::new().get(url).bearer_auth(token(&stack, &mila)).send()
        };
        let plain_poll: Value = get("/v1/poll?since=0".into()).await.unwrap().json().await.unwrap();
        let mut polled: Value =
            get("/v1/poll?since=0&format=compact".into()).await.unwrap().json().await.unwrap();
        let mut names = BTreeMap::new();
        for event in polled["events"].as_array_mut().unwrap() {
            let frame = plain(event.to_string().as_bytes(), &mut names).expect("compact");
            *event = serde_json::from_slice(&frame).unwrap();
        }
        assert_eq!(polled, plain_poll);
        assert_eq!(polled["events"].as_array().unwrap().len(), 3);

        let mut answer = get("/v1/sse?since=0&format=compact".into()).await.unwrap();
        let (mut text, mut names, mut events) = (String::new(), BTreeMap::new(), Vec::new());
        while events.len() < 3 {
            let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((message, rest)) =
                text.split_once("\n\n").map(|(one, rest)| (one.to_owned(), rest.to_owned()))
            {
                text = rest;
                let data = message.split_once("data: ").unwrap().1;
                if let Some(frame) = plain(data.as_bytes(), &mut names) {
                    let frame = Frame(serde_json::from_slice(&frame).unwrap());
                    let id = format!(":{}\n", frame.seq().unwrap());
                    assert!(message.starts_with("id: ") && message.contains(&id), "{message}");
                    events.push(frame.0);
                }
            }
        }
        assert_eq!(Value::from(events), plain_poll["events"]);
        assert_eq!(plain_poll["events"][2]["seq"], last);
        let refused = get("/v1/sse?format=short".into()).await.unwrap();
        assert_eq!(refused.status(), 400);
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_query", "{problem}");
    });
}
