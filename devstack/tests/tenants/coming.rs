//! Who comes into which tenants, and what do they hear there?

use super::{attach, come_into, detach, events_until, open, person, stack, tell};
use crate::wire::{PATIENCE, ask, block_on, client, publish, publisher, token};
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket};
use serde_json::json;

#[test]
fn a_director_of_three_schools_gets_each_school_s_events_in_order_once() {
    block_on(async {
        let stack = stack().await;
        let schools = ["three-1", "three-2", "three-3"];
        let ana = person("ana", &schools.map(|school| (school, "director")));
        for gateway in 0..2 {
            let mut socket = open(&stack, gateway, &ana).await;
            // Alone, nothing is named.
            let alone = tell(&stack, schools[0]).await;
            let event = socket.next_of("event", PATIENCE).await.unwrap();
            assert_eq!((event.seq(), event.text("tenant")), (Some(alone), None), "{event:?}");
            for school in &schools[1..] {
                let welcome = come_into(&mut socket, attach(school)).await;
                assert_eq!(welcome.0["roles"], json!(["director"]), "{welcome:?}");
                assert_eq!(welcome.text("id"), Some(&*format!("in {school}")), "{welcome:?}");
            }
            let mut sent = Vec::new();
            for round in 0..20 {
                for school in &schools {
                    let channel = if round % 2 == 0 { "tenant" } else { "role:director" };
                    let ack = publish(&stack, school, &[channel], json!({"of": school})).await;
                    sent.push((*school, ack.seq));
                }
            }
            let last: Vec<(&str, u64)> = sent.iter().rev().take(3).copied().collect();
            let heard = events_until(&mut socket, &last).await;
            for school in &schools {
                let own: Vec<u64> = sent.iter().filter(|(of, _)| of == school).map(|(_, seq)| *seq).collect();
                assert_eq!(heard[*school], own, "{school} at gateway {gateway}");
            }
            socket.close().await;
        }
    });
}

#[test]
fn attach_with_a_cursor_replays_what_was_missed_and_goes_on_live() {
    block_on(async {
        let stack = stack().await;
        let ana = person("ana", &[("past-1", "director"), ("past-2", "director")]);
        let first = tell(&stack, "past-2").await;
        let mut socket = open(&stack, 0, &ana).await;
        let epoch = come_into(&mut socket, attach("past-2")).await.epoch().unwrap().to_owned();
        detach(&mut socket, "past-2").await;
        let mut missed = Vec::new();
        let mut post = Post::new("past-2", "wire.test", json!({"of": "past-2"}));
        post.channels = vec!["tenant".to_owned()];
        let acks = publisher(&stack).publish_many(&vec![post; 300], None).await.unwrap();
        missed.extend(acks.iter().map(|ack| ack.seq));
        let frame = json!({"type": "attach", "id": 1, "tenant": "past-2", "since": first, "epoch": epoch});
        // The gateway hears of them after the publisher has answered, and says `live` until then.
        let welcome = loop {
            let welcome = come_into(&mut socket, frame.clone()).await;
            if welcome.text("resumed") != Some("live") {
                break welcome;
            }
            detach(&mut socket, "past-2").await;
            // Each costs two frames of the client's allowance.
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        };
        assert_eq!((welcome.text("resumed"), welcome.seq()), (Some("replay"), Some(first)), "{welcome:?}");
        missed.push(tell(&stack, "past-2").await);
        let last = *missed.last().unwrap();
        assert_eq!(events_until(&mut socket, &[("past-2", last)]).await["past-2"], missed);
        // History of one tenant names it, too.
        let ask_for =
            json!({"type": "subscribe", "id": "h", "tenant": "past-2", "channel": "tenant", "history": 2});
        let ok = ask(&mut socket, ask_for).await;
        assert!(ok.is("ok") && ok.text("tenant") == Some("past-2"), "{ok:?}");
        let replayed = socket.next_of("replayed", PATIENCE).await.unwrap();
        assert_eq!((replayed.text("tenant"), replayed.number("count")), (Some("past-2"), Some(2)));
        socket.close().await;
    });
}

#[test]
fn who_may_not_come_in_is_told_why_and_the_connection_stays_as_it_was() {
    block_on(async {
        let stack = stack().await;
        let names: Vec<String> = (1..=17).map(|n| format!("many-{n}")).collect();
        let roles: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "director")).collect();
        let mut socket = open(&stack, 0, &person("ana", &roles)).await;
        let refused = async |socket: &mut Socket, frame, code| {
            let error = ask(socket, frame).await;
            assert_eq!(error.code(), Some(code), "{error:?}");
            error
        };
        refused(&mut socket, attach("elsewhere"), "forbidden").await;
        refused(&mut socket, attach("many-1"), "already_attached").await;
        refused(&mut socket, json!({"type": "attach", "id": 1}), "invalid_frame").await;
        refused(&mut socket, json!({"type": "attach", "id": 1, "tenant": "A B"}), "invalid_frame").await;
        refused(&mut socket, json!({"type": "detach", "id": 1, "tenant": "many-1"}), "last_tenant").await;
        refused(&mut socket, json!({"type": "detach", "id": 1, "tenant": "many-2"}), "not_attached").await;
        let ping = json!({"type": "ping", "id": 1, "tenant": "many-2"});
        assert_eq!(refused(&mut socket, ping, "not_attached").await.text("tenant"), Some("many-2"));
        let secret = json!({"type": "attach", "id": 1, "tenant": "many-2", "channels": ["contact:1"]});
        let error = refused(&mut socket, secret, "forbidden").await;
        assert_eq!(error.channels(), ["contact:1"], "{error:?}");
        for name in &names[1..16] {
            come_into(&mut socket, attach(name)).await;
        }
        refused(&mut socket, attach("many-17"), "too_many_tenants").await;
        refused(&mut socket, attach("many-16"), "already_attached").await;
        let last = tell(&stack, "many-16").await;
        assert_eq!(events_until(&mut socket, &[("many-16", last)]).await["many-16"], [last]);
        // One that is left makes room.
        detach(&mut socket, "many-1").await;
        come_into(&mut socket, attach("many-17")).await;
        socket.close().await;
        // A token of one tenant, and a ticket, are for that tenant.
        let mut single = open(&stack, 0, &person("ana", &[("many-1", "director")])).await;
        refused(&mut single, attach("many-2"), "forbidden").await;
        single.close().await;
    });
}

#[test]
fn switch_leaves_all_for_one_and_a_refused_switch_changes_nothing() {
    block_on(async {
        let stack = stack().await;
        let ana = person("ana", &[("change-1", "a"), ("change-2", "b"), ("change-3", "c")]);
        let mut socket = open(&stack, 0, &ana).await;
        come_into(&mut socket, attach("change-2")).await;
        let refused = ask(&mut socket, json!({"type": "switch", "id": 1, "tenant": "elsewhere"})).await;
        assert_eq!(refused.code(), Some("forbidden"), "{refused:?}");
        let seqs =
            [("change-1", tell(&stack, "change-1").await), ("change-2", tell(&stack, "change-2").await)];
        events_until(&mut socket, &seqs).await;
        let welcome = come_into(&mut socket, json!({"type": "switch", "id": 2, "tenant": "change-3"})).await;
        assert_eq!(welcome.0["channels"], json!(["tenant", "user:ana", "role:c"]));
        for tenant in ["change-1", "change-2"] {
            tell(&stack, tenant).await;
        }
        let own = tell(&stack, "change-3").await;
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        assert_eq!((event.seq(), event.text("tenant")), (Some(own), None), "alone again: {event:?}");
        // Also to one it is in already, among others.
        come_into(&mut socket, attach("change-1")).await;
        come_into(&mut socket, json!({"type": "switch", "id": 3, "tenant": "change-1"})).await;
        tell(&stack, "change-3").await;
        let own = tell(&stack, "change-1").await;
        assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(own));
        let again = ask(&mut socket, json!({"type": "switch", "id": 4, "tenant": "change-1"})).await;
        assert_eq!(again.code(), Some("already_attached"), "{again:?}");
        socket.close().await;
    });
}

#[test]
fn i5_nothing_comes_of_a_tenant_that_a_connection_is_not_in_also_while_another_of_the_same_person_is() {
    block_on(async {
        let stack = stack().await;
        let ana = person("ana", &[("walls-1", "director"), ("walls-2", "director"), ("walls-3", "director")]);
        let mut one = open(&stack, 0, &ana).await;
        let mut other = open(&stack, 0, &ana).await;
        come_into(&mut one, attach("walls-2")).await;
        come_into(&mut other, attach("walls-3")).await;
        // The same person, the same channel's name, the same node.
        let mut last = Vec::new();
        for _ in 0..10 {
            last.clear();
            for tenant in ["walls-1", "walls-2", "walls-3"] {
                let ack = publish(&stack, tenant, &["user:ana"], json!({"of": tenant})).await;
                last.push((tenant, ack.seq));
            }
        }
        let heard = events_until(&mut one, &[last[0], last[1]]).await;
        assert_eq!(heard.keys().collect::<Vec<_>>(), ["walls-1", "walls-2"]);
        let heard = events_until(&mut other, &[last[0], last[2]]).await;
        assert_eq!(heard.keys().collect::<Vec<_>>(), ["walls-1", "walls-3"]);
        // What was left is gone with the answer.
        detach(&mut one, "walls-2").await;
        tell(&stack, "walls-2").await;
        let own = tell(&stack, "walls-1").await;
        let event = one.next_of("event", PATIENCE).await.unwrap();
        assert_eq!((event.seq(), event.text("tenant")), (Some(own), None), "{event:?}");
        one.close().await;
        other.close().await;
    });
}

#[test]
fn a_service_s_key_for_all_tenants_comes_into_those_it_names() {
    block_on(async {
        let stack = stack().await;
        let mut wanted = Connect::new(stack.gateway(1).ws_url(), stack.api_key());
        (wanted.tenant, wanted.patience) = (Some("served-1".into()), PATIENCE);
        let mut socket = Socket::open(&wanted).await.unwrap().0;
        let frame = json!({"type": "attach", "id": 1, "tenant": "served-2", "channels": ["order:*"]});
        come_into(&mut socket, frame).await;
        let data = |tenant| json!({"of": tenant});
        publish(&stack, "served-2", &["contact:1"], data("served-2")).await;
        let order = publish(&stack, "served-2", &["order:1"], data("served-2")).await.seq;
        let all = publish(&stack, "served-1", &["contact:1"], data("served-1")).await.seq;
        let heard = events_until(&mut socket, &[("served-2", order), ("served-1", all)]).await;
        assert_eq!(heard["served-2"], [order], "only what its patterns name");
        socket.close().await;
    });
}

#[test]
fn one_tenant_s_long_replay_does_not_hold_the_others_back() {
    block_on(async {
        let stack = stack().await;
        let ana = person("ana", &[("long-1", "director"), ("long-2", "director")]);
        let data = json!({"of": "long-2", "pad": "p".repeat(16 * 1024)});
        let mut posts = Vec::new();
        for _ in 0..40 {
            let mut post = Post::new("long-2", "wire.test", data.clone());
            post.channels = vec!["tenant".to_owned()];
            posts.push(post);
        }
        let mut last = 0;
        for _ in 0..60 {
            last = publisher(&stack).publish_many(&posts, None).await.unwrap().last().unwrap().seq;
        }
        // 40 MB for a socket that takes 8 KB at a time: it is blocked nearly always.
        let mut wanted = client(&stack, stack.gateway(0), &ana);
        wanted.receive_buffer = Some(8 * 1024);
        let mut socket = Socket::open(&wanted).await.unwrap().0;
        let welcome =
            ask(&mut socket, json!({"type": "attach", "id": 1, "tenant": "long-2", "since": 0})).await;
        assert_eq!(welcome.text("resumed"), Some("replay"), "{welcome:?}");
        let of_the_other = tell(&stack, "long-1").await;
        let (mut long, mut short) = (0, None);
        while long < last {
            let event = socket.next_of("event", PATIENCE).await.unwrap();
            match event.text("tenant") {
                Some("long-1") => short = Some((event.seq().unwrap(), long)),
                _ => long = event.seq().unwrap(),
            }
        }
        let (seq, after) = short.unwrap();
        assert_eq!(seq, of_the_other);
        assert!(after < last / 2, "the other tenant's event came after {after} of {last}");
        socket.close().await;
    });
}

#[test]
fn event_streams_and_polls_are_for_one_tenant() {
    block_on(async {
        let stack = stack().await;
        let ana = person("ana", &[("lines-1", "director"), ("lines-2", "director")]);
        for tenant in ["lines-1", "lines-2"] {
            let url = format!("http://{}/v1/poll?tenant={tenant}", stack.gateway(0).addr());
            let answer =
                reqwest::Client::new().get(url).bearer_auth(token(&stack, &ana)).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer: serde_json::Value = answer.json().await.unwrap();
            assert!(answer["epoch"].is_string() && answer.get("tenant").is_none(), "{answer}");
        }
    });
}
