//! Whom does a signal reach?

use super::{PATIENCE, join, moved, next_signal, open_pages, signals_until_now, stack};
use crate::wire::{ask, block_on, claims, client, token};
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::socket::Socket;
use serde_json::json;

#[test]
fn a_signal_reaches_everybody_in_the_channel_on_every_node_and_not_its_sender() {
    block_on(async {
        let stack = stack().await;
        open_pages(&stack, "reach").await;
        let mut mila = join(&stack, 0, "reach", "mila", "page:1").await;
        let mut readers = Vec::new();
        for (gateway, user) in [(0, "ana"), (1, "jan"), (1, "mila")] {
            readers.push(join(&stack, gateway, "reach", user, "page:1").await);
        }
        let mut elsewhere = join(&stack, 1, "reach", "eva", "page:2").await;
        let listen = Listen::new(&stack.gateway(1).url(), token(&stack, &claims("reach", "lea"))).unwrap();
        let mut stream = listen.channels(["page:1"]).stream().await.unwrap();
        stream.next_of("welcome", PATIENCE).await.unwrap();
        for n in 1..=50 {
            let answer = ask(&mut mila, moved("page:1", n)).await;
            assert_eq!(answer.0, json!({"type": "ok", "id": n}), "whole, and not degraded");
        }
        let expected = |n| {
            let event = json!({"type": "cursor.moved", "data": {"n": n}});
            json!({"type": "signal", "channel": "page:1", "from": "mila", "event": event})
        };
        for reader in &mut readers {
            for n in 1..=50 {
                assert_eq!(next_signal(reader).await.0, expected(n), "in the order in which they were sent");
            }
        }
        for n in 1..=50 {
            let message = stream.next_of("signal", PATIENCE).await.unwrap();
            assert_eq!(message.frame.0, expected(n));
        }
        for (socket, channel) in [(&mut mila, "page:1"), (&mut elsewhere, "page:2")] {
            let signals = signals_until_now(&stack, "reach", channel, socket).await;
            assert!(signals.is_empty(), "{channel}: {signals:?}");
        }
        // Who publishes need not be in the channel, and gets it all the same only if they are and ask for it.
        let mut echoed = moved("page:1", 51);
        echoed["echo"] = json!(true);
        mila.send_json(&echoed).await.unwrap();
        assert_eq!(next_signal(&mut mila).await.0, expected(51));
        elsewhere.send_json(&echoed).await.unwrap();
        assert_eq!(next_signal(&mut readers[0]).await.0, expected(51));
        assert_eq!(next_signal(&mut readers[0]).await.text("from"), Some("eva"));
        assert!(signals_until_now(&stack, "reach", "page:2", &mut elsewhere).await.is_empty());
        for socket in readers.into_iter().chain([mila, elsewhere]) {
            socket.close().await;
        }
    });
}

#[test]
fn types_let_signals_through_as_they_do_events() {
    block_on(async {
        let stack = stack().await;
        let tenant = "reach-types";
        open_pages(&stack, tenant).await;
        let mut mila = join(&stack, 0, tenant, "mila", "page:1").await;
        let mut readers = Vec::new();
        for gateway in [0, 1] {
            let mut reader = join(&stack, gateway, tenant, "ana", "page:2").await;
            let types = json!(["cursor.*", "note"]);
            let frame = json!({"type": "subscribe", "id": 1, "channel": "page:1", "types": types});
            assert!(ask(&mut reader, frame).await.is("ok"));
            let wanted = client(&stack, stack.gateway(gateway), &claims(tenant, "jan"));
            let wanted = wanted.channels(["page:1"]).types(["typing"]);
            readers.push((reader, Socket::open(&wanted).await.unwrap().0));
        }
        let other = json!({"type": "publish", "id": 1, "channel": "page:1", "event": {"type": "other"}});
        let note = json!({"type": "publish", "id": 1, "channel": "page:1", "event": {"type": "note"}});
        for frame in [other, moved("page:1", 7), super::typing("page:1", "start"), note] {
            assert!(ask(&mut mila, frame).await.is("ok"));
        }
        for (reader, typing) in &mut readers {
            assert_eq!(next_signal(reader).await.event()["data"]["n"], 7);
            assert_eq!(next_signal(reader).await.event()["type"], "note");
            let event = next_signal(typing).await;
            assert_eq!(event.event(), &json!({"type": "typing", "data": {"state": "start"}}));
        }
        // To send typing it is enough to be in the channel, whatever one chose.
        assert!(ask(&mut readers[0].0, super::typing("page:1", "start")).await.is("ok"));
        assert_eq!(next_signal(&mut readers[1].1).await.text("from"), Some("ana"));
        assert!(ask(&mut readers[0].0, super::typing("page:1", "stop")).await.is("ok"));
        for (reader, typing) in readers {
            reader.close().await;
            typing.close().await;
        }
        mila.close().await;
    });
}

#[test]
fn i5_a_signal_stays_in_its_tenant() {
    block_on(async {
        let stack = stack().await;
        for tenant in ["apart", "apart-2"] {
            open_pages(&stack, tenant).await;
        }
        let mut mila = join(&stack, 0, "apart", "mila", "page:1").await;
        let mut ana = join(&stack, 1, "apart", "ana", "page:1").await;
        let mut others = Vec::new();
        for gateway in [0, 1] {
            others.push(join(&stack, gateway, "apart-2", "mila", "page:1").await);
        }
        assert!(ask(&mut mila, moved("page:1", 1)).await.is("ok"));
        assert!(ask(&mut mila, super::typing("page:1", "start")).await.is("ok"));
        assert_eq!(next_signal(&mut ana).await.event()["type"], "cursor.moved");
        assert_eq!(next_signal(&mut ana).await.event()["type"], "typing");
        for socket in &mut others {
            let signals = signals_until_now(&stack, "apart-2", "page:1", socket).await;
            assert!(signals.is_empty(), "{signals:?}");
        }
        for socket in others.into_iter().chain([mila, ana]) {
            socket.close().await;
        }
    });
}
