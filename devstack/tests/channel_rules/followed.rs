//! What does a rule open and close for those who are connected, and for those who come?

use super::{FOLLOWED, TOLD, delete, is_taken_out, set, stack, subscribe, subscribes};
use crate::wire::{block_on, claims, client, events_to, open, publish, seqs, token};
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::socket::{Socket, TokenPlace};
use serde_json::json;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Who takes people out on the second gateway, where one test counts them.
async fn on_the_second_gateway() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

#[test]
fn a_connected_client_may_subscribe_as_soon_as_the_rule_is_set() {
    block_on(async {
        let stack = stack().await;
        let (mut socket, _) =
            open(&stack, stack.gateway(TOLD), &claims("opened", "mila").roles(["desk"])).await;
        assert_eq!(subscribe(&mut socket, "order:1").await.code(), Some("forbidden"));
        set(&stack, "opened", "order:{order}", json!({"subscribe": ["role:desk"]})).await;
        let took = subscribes(&mut socket, "order:1").await;
        assert!(took < Duration::from_secs(3), "without waiting for the watch: {took:?}");
        let seq = publish(&stack, "opened", &["order:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq]);
        // Nobody else's role, and nothing but what the pattern names.
        assert_eq!(subscribe(&mut socket, "order:1:2").await.code(), Some("forbidden"));
        let (mut other, _) =
            open(&stack, stack.gateway(1), &claims("opened", "ana").roles(["kitchen"])).await;
        assert_eq!(subscribe(&mut other, "order:1").await.code(), Some("forbidden"));
        socket.close().await;
        other.close().await;
    });
}

#[test]
fn a_rule_that_forbids_takes_people_out_on_every_node_and_touches_nothing_else() {
    block_on(async {
        let _alone = on_the_second_gateway().await;
        let stack = stack().await;
        let rule = json!({"subscribe": ["self", "role:head"]});
        set(&stack, "closed", "staff:{user}", rule.clone()).await;
        set(&stack, "closed", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        let channels = ["staff:mila", "order:1", "contact:1"];
        let mila = claims("closed", "mila").channels(["contact:*"]);
        let head = claims("closed", "ana").roles(["head"]).channels(["contact:*"]);
        let mut sockets = Vec::new();
        for (gateway, who) in [(0, &mila), (1, &head), (1, &mila)] {
            let wanted = client(&stack, stack.gateway(gateway), who).channels(channels);
            sockets.push(Socket::open(&wanted).await.unwrap().0);
        }
        let removed = stack.gateway(1).metric("carillon_rules_removed_total").await.unwrap_or(0.0);
        // A rule that says the same to the same people moves nobody.
        set(&stack, "closed", "staff:{user}", json!({"subscribe": ["self", "role:head"], "rate": 2})).await;
        set(&stack, "closed", "staff:{user}", json!({"subscribe": ["role:head"]})).await;
        for index in [0, 2] {
            assert!(is_taken_out(&mut sockets[index], "staff:mila").await < FOLLOWED);
        }
        let last = publish(&stack, "closed", &["staff:mila"], json!({})).await.seq;
        let after = publish(&stack, "closed", &["order:1", "contact:1"], json!({})).await.seq;
        assert_eq!(
            seqs(&events_to(&mut sockets[0], after).await),
            [after],
            "out of one channel, in the others"
        );
        assert_eq!(seqs(&events_to(&mut sockets[1], after).await), [last, after], "the role is still named");
        assert_eq!(subscribe(&mut sockets[0], "staff:mila").await.code(), Some("forbidden"));
        let now = stack.gateway(1).metric("carillon_rules_removed_total").await.unwrap_or(0.0);
        assert_eq!(now - removed, 1.0, "of those on this node");
        // What no rule names any more only tokens open.
        delete(&stack, "closed", "order:{order}").await;
        for socket in &mut sockets {
            assert!(is_taken_out(socket, "order:1").await < FOLLOWED);
        }
        let end = publish(&stack, "closed", &["contact:1"], json!({})).await.seq;
        for mut socket in sockets {
            assert_eq!(seqs(&events_to(&mut socket, end).await), [end]);
            socket.close().await;
        }
    });
}

#[test]
fn rules_open_channels_however_a_client_comes_in() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "ways", "order:{order}", json!({"subscribe": ["role:desk"]})).await;
        let desk = claims("ways", "mila").roles(["desk"]);
        let kitchen = claims("ways", "ana").roles(["kitchen"]);
        let gateway = stack.gateway(0);
        let url = client(&stack, gateway, &desk).channels(["order:1"]);
        let (mut by_url, welcome) = Socket::open(&url).await.unwrap();
        assert!(welcome.channels.contains(&"order:1".to_owned()));
        let refused = Socket::open(&client(&stack, gateway, &kitchen).channels(["order:1"])).await;
        let refused = refused.err().unwrap();
        assert!(refused.to_string().contains("403") && refused.is_terminal(), "{refused}");
        let first_frame = client(&stack, gateway, &desk).channels(["order:1"]).place(TokenPlace::FirstFrame);
        let (mut by_frame, _) = Socket::open(&first_frame).await.unwrap();
        let refused = client(&stack, gateway, &kitchen).channels(["order:1"]).place(TokenPlace::FirstFrame);
        assert_eq!(Socket::open(&refused).await.err().and_then(|error| error.close_code()), Some(4403));
        let listen = |who| Listen::new(&gateway.url(), token(&stack, who)).unwrap().channels(["order:1"]);
        let mut stream = listen(&desk).stream().await.unwrap();
        stream.next_of("welcome", crate::PATIENCE).await.unwrap();
        assert!(listen(&kitchen).stream().await.is_err() && listen(&kitchen).poll(None).await.is_err());
        let before = listen(&desk).poll(None).await.unwrap().cursor;
        let seq = publish(&stack, "ways", &["order:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut by_url, seq).await), [seq]);
        assert_eq!(seqs(&events_to(&mut by_frame, seq).await), [seq]);
        assert_eq!(stream.next_of("event", crate::PATIENCE).await.unwrap().frame.seq(), Some(seq));
        let polled = listen(&desk).since(before).poll(None).await.unwrap();
        assert_eq!(seqs(&polled.events), [seq]);
        // An event stream is told like a WebSocket.
        set(&stack, "ways", "order:{order}", json!({"subscribe": ["role:kitchen"]})).await;
        let told = stream.next_of("error", crate::PATIENCE).await.unwrap().frame;
        assert_eq!((told.code(), told.channels()), (Some("forbidden"), vec!["order:1".to_owned()]));
        for mut socket in [by_url, by_frame] {
            is_taken_out(&mut socket, "order:1").await;
            socket.close().await;
        }
    });
}

#[test]
fn the_installations_rules_hold_where_a_tenant_has_none_for_the_channel() {
    block_on(async {
        let _alone = on_the_second_gateway().await;
        let stack = stack().await;
        let ana = claims("by-default", "ana");
        let (mut socket, _) = open(&stack, stack.gateway(0), &ana).await;
        let (mut elsewhere, _) = open(&stack, stack.gateway(1), &claims("by-default-2", "ana")).await;
        set(&stack, "*", "lobby:*", json!({"subscribe": ["anyone"]})).await;
        assert!(subscribes(&mut socket, "lobby:1").await < FOLLOWED);
        assert!(subscribes(&mut elsewhere, "lobby:1").await < FOLLOWED);
        // A tenant's own rule counts, also one that says less about the channel.
        set(&stack, "by-default", "*", json!({"subscribe": ["role:head"]})).await;
        assert!(is_taken_out(&mut socket, "lobby:1").await < FOLLOWED);
        let seq = publish(&stack, "by-default-2", &["lobby:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut elsewhere, seq).await), [seq], "another tenant's rule is not theirs");
        delete(&stack, "*", "lobby:*").await;
        assert!(is_taken_out(&mut elsewhere, "lobby:1").await < FOLLOWED);
        socket.close().await;
        elsewhere.close().await;
    });
}

#[test]
fn a_newer_releases_rule_that_names_people_in_another_way_lets_nobody_in() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "asks", "order:{order}", json!({"subscribe": ["role:head"]})).await;
        let head = claims("asks", "ana").roles(["head"]);
        let by_url = client(&stack, stack.gateway(0), &head).channels(["order:1"]);
        let (mut socket, _) = Socket::open(&by_url).await.unwrap();
        // As a newer release would write it.
        let newer = r#"{"subscribe": ["role:head", "group:staff"]}"#;
        let stored = format!(
            "WITH moved AS (UPDATE carillon.tenants SET settings_version = carillon.next_version(settings_version)
                            WHERE id = 'asks')
             UPDATE carillon.channel_rules SET rule = '{newer}'::jsonb WHERE tenant_id = 'asks'"
        );
        stack.sql(&stored).await.unwrap();
        is_taken_out(&mut socket, "order:1").await;
        let answer = subscribe(&mut socket, "order:1").await;
        assert_eq!((answer.code(), answer.channels()), (Some("forbidden"), vec!["order:1".to_owned()]));
        let refused = Socket::open(&by_url).await.err().unwrap();
        assert!(refused.to_string().contains("403") && refused.is_terminal(), "{refused}");
        socket.close().await;
    });
}

#[test]
fn a_new_token_keeps_what_a_rule_opens_and_loses_what_it_opened_by_a_role() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "renewed", "order:{order}", json!({"subscribe": ["role:desk"]})).await;
        set(&stack, "renewed", "news", json!({"subscribe": ["anyone"]})).await;
        let desk = claims("renewed", "mila").roles(["desk"]);
        let (mut socket, _) = open(&stack, stack.gateway(0), &desk).await;
        for channel in ["order:1", "news"] {
            assert!(subscribe(&mut socket, channel).await.is("ok"), "{channel}");
        }
        let plain = token(&stack, &claims("renewed", "mila"));
        let renewed = crate::ask(&mut socket, json!({"type": "auth", "id": 1, "token": plain})).await;
        assert!(renewed.is("ok"), "{renewed:?}");
        publish(&stack, "renewed", &["order:1"], json!({})).await;
        let seq = publish(&stack, "renewed", &["news"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq]);
        socket.close().await;
    });
}
