//! Does a connection that chooses types get exactly those events, however they reach it, and is its cursor whole?

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket, SocketError, TokenPlace};
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};

use crate::wire::{PATIENCE, ask, block_on, claims, client, events_to, publisher, seqs};
use crate::{PLAIN, QUICK, SHORT, stack};

/// Publishes an event of each of these types to these channels, in one array; answers their numbers.
async fn publish(stack: &Stack, tenant: &str, events: &[(&str, &[&str])]) -> Vec<u64> {
    let post = |(kind, channels): &(&str, &[&str])| {
        let post = Post::new(tenant, *kind, json!({}));
        channels.iter().fold(post, |post, channel| post.channel(*channel))
    };
    let posts: Vec<Post> = events.iter().map(post).collect();
    let acks = publisher(stack).publish_many(&posts, None).await.unwrap();
    acks.iter().map(|ack| ack.seq).collect()
}

fn chosen(seqs: &[u64], places: &[usize]) -> Vec<u64> {
    places.iter().map(|place| seqs[*place]).collect()
}

#[test]
fn i3_of_each_channel_the_last_subscribe_decides_and_an_event_for_several_comes_once() {
    block_on(async {
        let stack = stack().await;
        let tenant = "typed";
        let anna = claims(tenant, "anna").channels(["*"]);
        let (mut socket, _) = Socket::open(&client(&stack, stack.gateway(PLAIN), &anna)).await.unwrap();
        let subscribe = |channels: &[&str], types: Value| json!({"type": "subscribe", "id": 1, "channels": channels, "types": types});
        let both = ["a:1", "a:2"];
        for (channels, types) in
            [(&both[..], json!(["order.*", "paid"])), (&["a:2"], json!(["paid"])), (&["a:3"], json!(null))]
        {
            let ok = ask(&mut socket, subscribe(channels, types)).await;
            assert!(ok.is("ok") && ok.channels() == channels, "{ok:?}");
        }
        let sent = publish(
            &stack,
            tenant,
            &[
                ("order.new", &["a:1"]),
                ("order.new", &["a:2"]),
                ("paid", &["a:1", "a:2"]),
                ("paid2", &["a:1"]),
                ("orders", &["a:1", "a:2"]),
                ("order.new", &["a:2", "a:1"]),
                ("anything", &["a:2", "a:3"]),
                ("anything", &["a:2", "tenant"]),
            ],
        )
        .await;
        let got = seqs(&events_to(&mut socket, sent[7]).await);
        assert_eq!(got, chosen(&sent, &[0, 2, 5, 6, 7]));
        // Without types it is everything again; with others those, and leaving is leaving.
        ask(&mut socket, json!({"type": "subscribe", "id": 1, "channel": "a:2"})).await;
        ask(&mut socket, json!({"type": "unsubscribe", "id": 1, "channel": "a:1"})).await;
        ask(&mut socket, subscribe(&["tenant"], json!(["end"]))).await;
        let later = publish(
            &stack,
            tenant,
            &[("x", &["a:2"]), ("paid", &["a:1"]), ("x", &["tenant"]), ("end", &["tenant"])],
        )
        .await;
        assert_eq!(seqs(&events_to(&mut socket, later[3]).await), chosen(&later, &[0, 3]));
        socket.close().await;
    });
}

#[test]
fn types_of_the_url_or_the_first_frame_hold_for_all_channels_until_a_subscribe_says_otherwise() {
    block_on(async {
        let stack = stack().await;
        let tenant = "typed-url";
        let anna = claims(tenant, "anna").roles(["staff"]).channels(["a:*"]);
        let wanted = client(&stack, stack.gateway(PLAIN), &anna).channels(["a:1", "a:2"]);
        let (mut by_url, _) = Socket::open(&wanted.clone().types(["order.*"])).await.unwrap();
        let nobody = wanted.clone().place(TokenPlace::Nowhere);
        let mut by_frame = Socket::connect(&Connect { types: vec!["paid".into()], ..nobody }).await.unwrap();
        let auth = json!({"type": "auth", "token": wanted.token, "types": ["order.*"]});
        by_frame.send_json(&auth).await.unwrap();
        by_frame.next_of("welcome", PATIENCE).await.unwrap();
        for socket in [&mut by_url, &mut by_frame] {
            let ok = ask(socket, json!({"type": "subscribe", "id": 1, "channel": "a:2"})).await;
            assert!(ok.is("ok"), "{ok:?}");
        }
        let sent = publish(
            &stack,
            tenant,
            &[
                ("paid", &["tenant"]),
                ("order.a", &["tenant"]),
                ("paid", &["user:anna", "role:staff"]),
                ("order.b", &["role:staff"]),
                ("paid", &["a:1"]),
                ("paid", &["a:2"]),
                ("order.c", &["a:1", "a:2"]),
            ],
        )
        .await;
        for socket in [&mut by_url, &mut by_frame] {
            assert_eq!(seqs(&events_to(socket, sent[6]).await), chosen(&sent, &[1, 3, 5, 6]));
        }
        // A new token brings a new role, and its channel is one of the connection's own.
        let promoted = claims(tenant, "anna").roles(["staff", "head"]).channels(["a:*"]);
        let token = crate::wire::token(&stack, &promoted);
        let ok = ask(&mut by_url, json!({"type": "auth", "id": 2, "token": token})).await;
        assert!(ok.is("ok"), "{ok:?}");
        let sent = publish(&stack, tenant, &[("paid", &["role:head"]), ("order.d", &["role:head"])]).await;
        assert_eq!(seqs(&events_to(&mut by_url, sent[1]).await), [sent[1]]);
        // One that it has joined by itself, with types of its own, stays as it was chosen there.
        let own = json!({"type": "subscribe", "id": 3, "channel": "role:staff", "types": ["paid"]});
        let some = claims(tenant, "anna").roles(["head"]).channels(["*", "role:*"]);
        let refresh =
            |id: u64, claims| json!({"type": "auth", "id": id, "token": crate::wire::token(&stack, claims)});
        for frame in [refresh(4, &some), own, refresh(5, &promoted)] {
            let ok = ask(&mut by_url, frame).await;
            assert!(ok.is("ok"), "{ok:?}");
        }
        let sent = publish(&stack, tenant, &[("order.e", &["role:staff"]), ("paid", &["role:staff"])]).await;
        assert_eq!(seqs(&events_to(&mut by_url, sent[1]).await), [sent[1]]);
    });
}

#[test]
fn i10_a_connection_has_sixteen_different_lists_of_types_and_not_one_more() {
    block_on(async {
        let stack = stack().await;
        let tenant = "typed-many";
        let anna = claims(tenant, "anna").channels(["a:*"]);
        let wanted = client(&stack, stack.gateway(PLAIN), &anna).types(["of-url"]);
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        let subscribe = |n: usize, types: &[&str]| json!({"type": "subscribe", "id": n, "channel": format!("a:{n}"), "types": types});
        for n in 0..15 {
            let ok = ask(&mut socket, subscribe(n, &["z", &format!("t{n}")])).await;
            assert!(ok.is("ok"), "{ok:?}");
        }
        let one_more = subscribe(15, &["another"]);
        let error = ask(&mut socket, one_more.clone()).await;
        assert_eq!((error.code(), &error.0["id"]), (Some("too_many_types"), &json!(15)), "{error:?}");
        // One that it has, in another order, and none at all are nothing new; nor is another in the place of one.
        for fits in [
            subscribe(15, &["t3", "z"]),
            subscribe(16, &["of-url"]),
            json!({"type": "subscribe", "id": 17, "channel": "a:17"}),
            subscribe(7, &["instead"]),
        ] {
            let ok = ask(&mut socket, fits).await;
            assert!(ok.is("ok"), "{ok:?}");
        }
        assert_eq!(ask(&mut socket, one_more.clone()).await.code(), Some("too_many_types"));
        let leave = json!({"type": "unsubscribe", "id": 18, "channel": "a:1"});
        assert!(ask(&mut socket, leave).await.is("ok"));
        assert!(ask(&mut socket, one_more).await.is("ok"), "one is free");
        let events: &[(&str, &[&str])] =
            &[("another", &["a:14"]), ("another", &["a:15"]), ("t3", &["a:15"]), ("instead", &["a:7"])];
        let sent = publish(&stack, tenant, events).await;
        assert_eq!(seqs(&events_to(&mut socket, sent[3]).await), chosen(&sent, &[1, 3]));
        socket.close().await;
    });
}

#[test]
fn i3_i4_who_comes_back_gets_what_it_chose_from_ring_and_log_and_its_cursor_passes_the_rest() {
    block_on(async {
        let stack = stack().await;
        for gateway in [PLAIN, SHORT] {
            let tenant = format!("typed-back-{gateway}");
            let anna = claims(&tenant, "anna").channels(["a:*"]);
            let wanted = client(&stack, stack.gateway(gateway), &anna).channels(["a:1"]);
            let first = publish(&stack, &tenant, &[("x", &["tenant"])]).await[0];
            let events: Vec<(&str, &[&str])> = (0..600)
                .map(|n| {
                    (
                        if n % 7 == 0 { "order.x" } else { "other" },
                        if n % 2 == 0 { &["a:1"][..] } else { &["tenant"] },
                    )
                })
                .collect();
            let mut sent = Vec::new();
            for part in events.chunks(300) {
                sent.extend(publish(&stack, &tenant, part).await);
            }
            let orders: Vec<u64> = sent.iter().step_by(7).copied().collect();
            let typed = wanted.clone().types(["order.*"]).since(Cursor { seq: first, epoch: None });
            let (mut socket, welcome) = Socket::open(&typed).await.unwrap();
            assert_eq!((welcome.resumed.as_str(), welcome.seq), ("replay", first));
            assert_eq!(seqs(&events_to(&mut socket, *orders.last().unwrap()).await), orders, "{gateway}");
            let pong = ask(&mut socket, json!({"type": "ping", "id": 1})).await;
            assert_eq!(pong.seq(), sent.last().copied(), "the cursor is past what was not chosen");
            // As history: the newest so many of these types, and all since.
            let ask_for = |more: Value| {
                let mut frame = json!({"type": "subscribe", "id": 7, "channels": ["a:1", "tenant"], "types": ["order.*"]});
                frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                frame
            };
            for (asked, expected) in [
                (json!({"history": 5}), &orders[orders.len() - 5..]),
                (json!({"since": orders[10]}), &orders[11..]),
            ] {
                assert!(ask(&mut socket, ask_for(asked)).await.is("ok"));
                let mut past = Vec::new();
                let replayed = loop {
                    let frame = socket.next_frame(PATIENCE).await.unwrap();
                    if frame.is("replayed") {
                        break frame;
                    }
                    assert_eq!(frame.event()["type"], "order.x");
                    past.extend(frame.seq());
                };
                assert_eq!(past, expected, "{replayed:?}");
            }
            socket.close().await;
        }
    });
}

#[test]
fn i3_a_heartbeat_passes_events_that_were_not_chosen_and_nothing_comes_again() {
    block_on(async {
        let stack = stack().await;
        let tenant = "typed-beat";
        let anna = claims(tenant, "anna");
        let wanted = client(&stack, stack.gateway(QUICK), &anna).types(["order.*"]);
        let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
        let sent = publish(&stack, tenant, &[("other", &["tenant"]), ("other", &["user:anna"])]).await;
        let beat = loop {
            let frame = socket.next_frame(PATIENCE).await.unwrap();
            assert!(frame.is("heartbeat"), "nothing of these was chosen: {frame:?}");
            if frame.seq() == Some(sent[1]) {
                break frame;
            }
        };
        socket.close().await;
        let back = wanted.since(Cursor::new(beat.seq().unwrap(), &welcome.epoch));
        let (mut socket, welcome) = Socket::open(&back).await.unwrap();
        assert_eq!(welcome.resumed, "live");
        let sent = publish(&stack, tenant, &[("other", &["tenant"]), ("order.x", &["tenant"])]).await;
        assert_eq!(seqs(&events_to(&mut socket, sent[1]).await), [sent[1]]);
        socket.close().await;
    });
}

#[test]
fn types_that_are_wrong_are_named_and_change_nothing() {
    block_on(async {
        let stack = stack().await;
        let tenant = "typed-bad";
        let anna = claims(tenant, "anna").channels(["a:*"]);
        let wanted = client(&stack, stack.gateway(PLAIN), &anna);
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
        for (types, why) in [
            (json!([]), "at least one"),
            (json!(["a*b"]), "a * only at the end"),
            (json!(["a b"]), "white space"),
            (json!(["x".repeat(129)]), "at most 128 bytes"),
            (json!(many), "at most 16"),
            (json!("a"), "invalid type"),
        ] {
            let frame = json!({"type": "subscribe", "id": 1, "channels": ["a:1"], "types": types});
            let error = ask(&mut socket, frame).await;
            let message = error.0["message"].as_str().unwrap_or_default();
            assert!(error.is("error") && error.0["code"] == "invalid_frame", "{error:?}");
            assert!(message.contains(why), "{error:?}");
        }
        let sent = publish(&stack, tenant, &[("x", &["a:1"]), ("x", &["tenant"])]).await;
        assert_eq!(seqs(&events_to(&mut socket, sent[1]).await), [sent[1]], "nothing was subscribed");
        for types in ["", ",", "a*b", "a b"] {
            let mut url = wanted.clone();
            url.url = format!("{}?types={}", wanted.url, types.replace(' ', "%20"));
            match Socket::open(&url).await.unwrap_err() {
                SocketError::Refused { status: 400, code, problem, .. } if code == "invalid_query" => {
                    assert!(problem["detail"].as_str().unwrap().contains("types"), "{problem}");
                }
                other => panic!("{types}: {other:?}"),
            }
        }
    });
}
