//! Does a `subscribe` get the past it asks for, whole, in order, and told apart from the present?

use std::collections::BTreeMap;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};

use crate::wire::{
    PATIENCE, ask, block_on, claims, frames_refused, is_ascending, open, publish, publisher, seqs,
};
use crate::{PLAIN, SHORT, stack};

/// Asks for a past and reads it to its end: the events that carry the id, and the `replayed`.
async fn past(socket: &mut Socket, request: Value) -> (Vec<u64>, Frame) {
    let ok = ask(socket, request.clone()).await;
    assert!(ok.is("ok"), "{ok:?}");
    let mut seqs = Vec::new();
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        if frame.is("replayed") {
            assert_eq!(frame.0["id"], request["id"]);
            assert_eq!(frame.number("count"), Some(seqs.len() as u64), "{frame:?}");
            return (seqs, frame);
        }
        assert!(frame.is("event"), "{frame:?}");
        assert_eq!(frame.0["replay"], request["id"], "history carries the id of its request: {frame:?}");
        seqs.extend(frame.seq());
    }
}

/// `count` events, every third for `a:1`, every third for `b:1`, the others for both; the seqs for `a:1`.
async fn publish_past(stack: &Stack, tenant: &str, count: usize) -> Vec<u64> {
    let posts: Vec<Post> = (0..count)
        .map(|n| {
            let post = Post::new(tenant, "wire.past", json!({"n": n}));
            match n % 3 {
                0 => post.channel("a:1"),
                1 => post.channel("b:1"),
                _ => post.channel("a:1").channel("b:1"),
            }
        })
        .collect();
    let mut for_a = Vec::new();
    for chunk in posts.chunks(400) {
        let acks = publisher(stack).publish_many(chunk, None).await.unwrap();
        for (post, ack) in chunk.iter().zip(acks) {
            if post.channels.iter().any(|channel| channel == "a:1") {
                for_a.push(ack.seq);
            }
        }
    }
    for_a
}

#[test]
fn history_is_the_newest_n_or_all_since_and_says_when_older_ones_were_left_out() {
    block_on(async {
        let stack = stack().await;
        for gateway in [PLAIN, SHORT] {
            let tenant = format!("past-{gateway}");
            let all = publish_past(&stack, &tenant, 90).await;
            assert_eq!(all.len(), 60);
            let anna = claims(&tenant, "anna").channels(["*"]);
            let (mut socket, welcome) = open(&stack, stack.gateway(gateway), &anna).await;
            let epoch = welcome.epoch.as_str();
            let newest = |n: usize| all[all.len() - n..].to_vec();
            let after = |seq: u64| all.iter().copied().filter(|own| *own > seq).collect::<Vec<u64>>();
            let middle = all[20];
            for (asked, expected, more) in [
                (json!({"history": 0}), vec![], None),
                (json!({"history": 1}), newest(1), Some(true)),
                (json!({"history": 7}), newest(7), Some(true)),
                (json!({"history": 59}), newest(59), Some(true)),
                (json!({"history": 60}), newest(60), Some(false)),
                (json!({"history": 1_000}), newest(60), Some(false)),
                (json!({"since": 0}), all.clone(), Some(false)),
                (json!({"since": middle}), after(middle), Some(false)),
                (json!({"since": middle - 1, "epoch": epoch}), after(middle - 1), Some(false)),
                (json!({"since": welcome.seq, "epoch": epoch}), vec![], Some(false)),
                (json!({"since": u64::MAX}), vec![], Some(false)),
                (json!({"since": middle, "epoch": "another-life"}), all.clone(), Some(false)),
            ] {
                let mut request = json!({"type": "subscribe", "channel": "a:1", "id": asked.to_string()});
                request.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
                let (seqs, replayed) = past(&mut socket, request).await;
                assert_eq!(seqs, expected, "{asked}");
                if let Some(more) = more {
                    assert_eq!(replayed.0["more"], json!(more), "{asked}");
                }
            }
            // History moves no cursor.
            let pong = ask(&mut socket, json!({"type": "ping", "id": 1})).await;
            assert_eq!(pong.seq(), Some(welcome.seq));
            socket.close().await;
        }
    });
}

#[test]
fn a_thousand_events_are_the_most_and_more_says_so() {
    block_on(async {
        let stack = stack().await;
        let all = publish_past(&stack, "long-past", 1_600).await;
        assert!(all.len() > 1_050);
        let anna = claims("long-past", "anna").channels(["a:*"]);
        let (mut socket, _) = open(&stack, stack.gateway(SHORT), &anna).await;
        for request in [
            json!({"type": "subscribe", "channel": "a:1", "history": 1_000, "id": 1}),
            json!({"type": "subscribe", "channel": "a:1", "since": all[10], "id": 2}),
        ] {
            let (seqs, replayed) = past(&mut socket, request).await;
            assert_eq!(seqs, all[all.len() - 1_000..]);
            assert_eq!(replayed.0["more"], json!(true));
        }
        let since = json!({"type": "subscribe", "channel": "a:1", "since": all[all.len() - 1_001], "id": 3});
        let (seqs, replayed) = past(&mut socket, since).await;
        assert_eq!((seqs.len(), &replayed.0["more"]), (1_000, &json!(false)));
        socket.close().await;
    });
}

#[test]
fn i3_history_under_live_traffic_ascends_meets_the_present_and_repeats_nothing() {
    block_on(async {
        let stack = stack().await;
        for gateway in [PLAIN, SHORT] {
            let tenant = format!("busy-{gateway}");
            let mut for_a = publish_past(&stack, &tenant, 300).await;
            let anna = claims(&tenant, "anna").channels(["*"]);
            let (mut socket, welcome) = open(&stack, stack.gateway(gateway), &anna).await;

            let load = {
                let (publisher, tenant) = (publisher(&stack), tenant.clone());
                tokio::spawn(async move {
                    let mut acked = Vec::new();
                    for n in 0..150 {
                        let post = Post::new(&tenant, "wire.live", json!({"n": n})).channel("a:1");
                        acked.push(publisher.publish(&post, None).await.unwrap().seq);
                    }
                    acked
                })
            };
            // Several pasts at once, one of them from where this connection began.
            for (id, channel, asked) in [
                ("n", "a:1", json!({"history": 50})),
                ("b", "b:1", json!({"history": 1_000})),
                ("s", "a:1", json!({"since": welcome.seq - 100})),
                ("e", "z:1", json!({"history": 10})),
            ] {
                let mut request = json!({"type": "subscribe", "channel": channel, "id": id});
                request.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
                socket.send_json(&request).await.unwrap();
            }
            let mut live = Vec::new();
            let mut replays: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            let mut live_from: BTreeMap<String, u64> = BTreeMap::new();
            let mut replayed: BTreeMap<String, u64> = BTreeMap::new();
            let mut load = Some(load);
            let mut last = u64::MAX;
            while replayed.len() < 4 || live.last().is_none_or(|seq| *seq < last) {
                if last == u64::MAX && load.as_ref().is_some_and(|load| load.is_finished()) {
                    let acked = load.take().unwrap().await.unwrap();
                    last = publish(&stack, &tenant, &["tenant", "a:1"], json!({})).await.seq;
                    for_a.extend(acked);
                    for_a.push(last);
                }
                let frame = match socket.next_frame(std::time::Duration::from_millis(200)).await {
                    Err(carillon_devstack::client::socket::SocketError::Timeout) => continue,
                    frame => frame.unwrap(),
                };
                let id = |name: &str| frame.text(name).unwrap_or_default().to_owned();
                match frame.kind() {
                    "ok" => drop(live_from.insert(id("id"), frame.seq().unwrap())),
                    "replayed" => drop(replayed.insert(id("id"), frame.number("count").unwrap())),
                    "event" if frame.is_history() => {
                        assert!(!replayed.contains_key(&id("replay")), "nothing after the end: {frame:?}");
                        replays.entry(id("replay")).or_default().extend(frame.seq());
                    }
                    "event" => live.extend(frame.seq()),
                    _ => panic!("{frame:?}"),
                }
            }
            assert!(is_ascending(&live), "I2: {live:?}");
            for (id, count) in &replayed {
                let seqs = replays.remove(id).unwrap_or_default();
                assert!(is_ascending(&seqs), "{id}: {seqs:?}");
                assert_eq!(seqs.len() as u64, *count, "{id}");
                assert!(seqs.iter().all(|seq| *seq <= live_from[id]), "{id}: history ends where live begins");
                match id.as_str() {
                    "n" => assert_eq!(*count, 50),
                    "b" => assert_eq!(*count, 200),
                    "e" => assert_eq!(*count, 0),
                    _ => {
                        let border = live_from["n"];
                        let mut whole: Vec<u64> = seqs.iter().copied().filter(|seq| *seq <= border).collect();
                        whole.extend(live.iter().copied().filter(|seq| *seq > border));
                        let expected: Vec<u64> =
                            for_a.iter().copied().filter(|seq| *seq > welcome.seq - 100).collect();
                        assert_eq!(whole, expected, "I4: past and present together are everything");
                    }
                }
            }
            socket.close().await;
        }
    });
}

#[test]
fn i10_so_many_pasts_may_be_under_way_and_the_next_is_refused_by_name() {
    block_on(async {
        let stack = stack().await;
        let tenant = "many-pasts";
        let all = publish_past(&stack, tenant, 300).await;
        let anna = claims(tenant, "anna").channels(["*"]);
        let (mut socket, _) = open(&stack, stack.gateway(SHORT), &anna).await;
        let before = frames_refused(stack.gateway(SHORT), "too_many_histories").await;
        for id in 0..60 {
            let request = json!({"type": "subscribe", "channel": "a:1", "history": 1_000, "id": id});
            socket.send_json(&request).await.unwrap();
        }
        let (mut open, mut refused, mut done) = (0, 0, 0);
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        while open + refused < 60 || done < open {
            let frame = socket.next_frame(PATIENCE).await.unwrap();
            match frame.kind() {
                "ok" => open += 1,
                "error" => {
                    assert_eq!(frame.code(), Some("too_many_requests"), "{frame:?}");
                    refused += 1;
                }
                "replayed" => {
                    done += 1;
                    assert_eq!(frame.number("count"), Some(all.len() as u64));
                }
                "event" => *counts.entry(frame.number("replay").unwrap()).or_default() += 1,
                _ => panic!("{frame:?}"),
            }
        }
        assert!(open >= 32, "{open}");
        let counted = frames_refused(stack.gateway(SHORT), "too_many_histories").await - before;
        assert!(refused > 0 && counted >= f64::from(refused), "{counted} of {refused}");
        assert!(counts.values().all(|count| *count == all.len() as u64), "{counts:?}");
        let marker = publish(&stack, tenant, &["tenant"], json!({})).await.seq;
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        assert_eq!(seqs(&[event]), [marker]);
        socket.close().await;
    });
}
