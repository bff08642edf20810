//! What of a channel's past does somebody get who may hear it and not read it back?

use super::{is_taken_out, set, stack, subscribe};
use crate::wire::{
    PATIENCE, ask, block_on, claims, client, events_to, open, open_behind, publish, seqs, token,
};
use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::ledger::Ack;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::wait;
use serde_json::json;
use std::time::Duration;

#[test]
fn the_past_needs_a_right_of_its_own_whichever_way_it_is_asked_for() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "past", "order:{order}", json!({"subscribe": ["anyone"], "history": ["role:head"]}))
            .await;
        let (mila, head) = (claims("past", "mila"), claims("past", "ana").roles(["head"]));
        let (mut socket, welcome) = open(&stack, stack.gateway(0), &mila).await;
        let old = publish(&stack, "past", &["order:1"], json!({})).await.seq;
        let asked = json!({"type": "subscribe", "id": 1, "channels": ["order:1"], "history": 10});
        let refused = ask(&mut socket, asked.clone()).await;
        assert_eq!((refused.code(), refused.channels()), (Some("forbidden"), vec!["order:1".to_owned()]));
        assert!(subscribe(&mut socket, "order:1").await.is("ok"));
        // To come back with a cursor is to ask for what was missed: continuity ends, and they hear it.
        let cursor = Cursor::new(0, welcome.epoch.clone());
        let back = client(&stack, stack.gateway(1), &mila).since(cursor.clone()).channels(["order:1"]);
        let (mut again, welcome) = Socket::open(&back).await.unwrap();
        assert_eq!(welcome.resumed, "reset");
        let reset = again.next_of("reset", PATIENCE).await.unwrap();
        assert_eq!((reset.text("reason"), reset.seq()), (Some("history_forbidden"), Some(old)));
        // Or with the cursor alone, and to subscribe before it is used up.
        let (mut behind, _) =
            Socket::open(&client(&stack, stack.gateway(1), &mila).since(cursor.clone())).await.unwrap();
        let now = publish(&stack, "past", &["order:1", "tenant"], json!({})).await.seq;
        assert!(subscribe(&mut behind, "order:1").await.is("ok"));
        let live = publish(&stack, "past", &["order:1"], json!({})).await.seq;
        let seen = seqs(&events_to(&mut behind, live).await);
        assert!(!seen.contains(&old), "{seen:?}");
        assert_eq!(seqs(&events_to(&mut again, live).await), [now, live]);
        // Whoever may read it back gets all of it, as ever.
        let back = client(&stack, stack.gateway(0), &head).since(cursor).channels(["order:1"]);
        let (mut whole, welcome) = open_behind(&back).await;
        assert_eq!(welcome.resumed, "replay");
        assert_eq!(seqs(&events_to(&mut whole, live).await), [old, now, live]);
        let (mut reads, _) = open(&stack, stack.gateway(0), &head).await;
        assert!(ask(&mut reads, asked).await.is("ok"));
        let replayed = reads.next_of("replayed", PATIENCE).await.unwrap();
        assert_eq!(replayed.number("count"), Some(3));
        for socket in [socket, again, behind, whole, reads] {
            socket.close().await;
        }
    });
}

#[test]
fn history_under_way_ends_with_the_rule_that_opened_it() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "cut-short", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        let big = "x".repeat(30_000);
        for _ in 0..200 {
            publish(&stack, "cut-short", &["order:1"], json!(big)).await;
        }
        let mut slow = client(&stack, stack.gateway(0), &claims("cut-short", "mila"));
        slow.receive_buffer = Some(4_096);
        let (mut socket, _) = Socket::open(&slow).await.unwrap();
        let asked = json!({"type": "subscribe", "id": "h", "channels": ["order:1"], "history": 200});
        assert!(ask(&mut socket, asked).await.is("ok"));
        let (mut other, _) = open(&stack, stack.gateway(0), &claims("cut-short", "ana")).await;
        assert!(subscribe(&mut other, "order:1").await.is("ok"));
        set(&stack, "cut-short", "order:{order}", json!({"subscribe": []})).await;
        // It has not read anything yet: what is on its way arrives, and the rest does not.
        is_taken_out(&mut other, "order:1").await;
        other.close().await;
        is_taken_out(&mut socket, "order:1").await;
        let end = socket.next_of("replayed", PATIENCE).await.unwrap();
        let count = end.number("count").unwrap();
        assert!(count < 200 && end.0["more"] == true && end.text("id") == Some("h"), "{end:?}");
        let pong = ask(&mut socket, json!({"type": "ping", "id": 7})).await;
        assert!(pong.is("pong"));
        socket.close().await;
    });
}

/// A client says which event it got last, and may have got that in a channel which only a rule opens to it.
#[test]
fn whoever_got_their_last_event_by_a_rule_comes_back_without_a_reset() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "by-rule", "room:*", json!({"subscribe": ["anyone"]})).await;
        set(&stack, "by-rule", "desk:*", json!({"subscribe": ["role:head"]})).await;
        let mila = claims("by-rule", "mila");
        let (mut socket, welcome) = open(&stack, stack.gateway(0), &mila).await;
        assert!(subscribe(&mut socket, "room:1").await.is("ok"));
        let got = publish(&stack, "by-rule", &["room:1"], json!({})).await;
        assert_eq!(seqs(&events_to(&mut socket, got.seq).await), [got.seq]);
        socket.close().await;
        let back = |gateway: usize, last: &Ack, channels: &[&str]| {
            let since = Cursor::new(last.seq, welcome.epoch.clone());
            let back = client(&stack, stack.gateway(gateway), &mila).since(since);
            let mut back = back.channels(channels.iter().copied());
            back.last = Some(format!("{}:{}", last.seq, last.id));
            back
        };
        // Where it is in memory and where it is read from the log; in the channel, and when it was left since.
        for gateway in 0..2 {
            for channels in [["room:1"].as_slice(), &[]] {
                let (socket, welcome) = Socket::open(&back(gateway, &got, channels)).await.unwrap();
                assert_eq!((welcome.resumed.as_str(), welcome.seq), ("live", got.seq));
                socket.close().await;
            }
        }
        let missed = publish(&stack, "by-rule", &["room:1"], json!({})).await.seq;
        let (mut socket, welcome) = open_behind(&back(1, &got, &["room:1"])).await;
        assert_eq!(welcome.resumed, "replay");
        assert_eq!(seqs(&events_to(&mut socket, missed).await), [missed]);
        socket.close().await;
        // What they may not hear, they cannot have got, whatever they say of it.
        let foreign = publish(&stack, "by-rule", &["desk:1"], json!({})).await;
        let (socket, welcome) = Socket::open(&back(0, &foreign, &[])).await.unwrap();
        assert_eq!(welcome.resumed, "reset");
        socket.close().await;
    });
}

#[test]
fn whoever_has_missed_nothing_goes_on_without_the_right_to_the_past() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "at-head", "room:*", json!({"subscribe": ["anyone"], "history": []})).await;
        let claims = claims("at-head", "mila");
        let (socket, welcome) = open(&stack, stack.gateway(1), &claims).await;
        let cursor = Cursor::new(welcome.seq, welcome.epoch.clone());
        socket.close().await;
        let back = client(&stack, stack.gateway(1), &claims).since(cursor.clone()).channels(["room:1"]);
        let (mut socket, welcome) = Socket::open(&back).await.unwrap();
        assert_ne!(welcome.resumed, "reset");
        let poll = Listen::new(&stack.gateway(1).url(), token(&stack, &claims))
            .unwrap()
            .channels(["room:1"])
            .since(cursor);
        let waiting = poll.poll(Some(Duration::from_secs(20)));
        let publishing = async {
            // Nobody else of this file polls the second gateway.
            let polls = r#"carillon_fallback_requests_total{kind="poll"}"#;
            wait::until("the poll being there", PATIENCE, || async {
                let text = stack.gateway(1).metrics().await?;
                text.lines().any(|line| line.starts_with(polls) && !line.ends_with(" 0")).then_some(())
            })
            .await
            .unwrap();
            publish(&stack, "at-head", &["room:1"], json!({})).await.seq
        };
        let (polled, seq) = tokio::join!(waiting, publishing);
        assert_eq!(seqs(&polled.unwrap().events), [seq], "a poll waits, and gets what comes");
        assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq]);
        socket.close().await;
    });
}

#[test]
fn the_past_alone_can_be_taken_away_and_the_present_stays() {
    block_on(async {
        let stack = stack().await;
        set(&stack, "past-only", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        let big = "x".repeat(30_000);
        for _ in 0..200 {
            publish(&stack, "past-only", &["order:1"], json!(big)).await;
        }
        let mut slow = client(&stack, stack.gateway(0), &claims("past-only", "mila"));
        slow.receive_buffer = Some(4_096);
        let (mut socket, welcome) = Socket::open(&slow).await.unwrap();
        let asked = json!({"type": "subscribe", "id": "h", "channels": ["order:1"], "history": 200});
        assert!(ask(&mut socket, asked).await.is("ok"));
        let mut behind = slow.clone().since(Cursor::new(0, welcome.epoch.clone())).channels(["order:1"]);
        behind.receive_buffer = Some(4_096);
        let (mut behind, welcome) = Socket::open(&behind).await.unwrap();
        assert_eq!(welcome.resumed, "replay");
        let (mut other, _) = open(&stack, stack.gateway(0), &claims("past-only", "ana")).await;
        set(&stack, "past-only", "order:{order}", json!({"subscribe": ["anyone"], "history": []})).await;
        // Neither has read anything yet: what is on its way arrives, and the rest does not.
        let asked = json!({"type": "subscribe", "id": 1, "channels": ["order:1"], "history": 0});
        while ask(&mut other, asked.clone()).await.code() != Some("forbidden") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        other.close().await;
        let end = socket.next_of("replayed", PATIENCE).await.unwrap();
        assert!(end.number("count").unwrap() < 200 && end.0["more"] == true, "{end:?}");
        let reset = behind.next_of("reset", PATIENCE).await.unwrap();
        assert_eq!(reset.text("reason"), Some("history_forbidden"));
        let live = publish(&stack, "past-only", &["order:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, live).await), [live]);
        assert_eq!(seqs(&events_to(&mut behind, live).await), [live]);
        for socket in [socket, behind] {
            socket.close().await;
        }
    });
}
