//! What of a channel's past does somebody get who may hear it and not read it back?

use super::{is_taken_out, set, stack, subscribe};
use crate::wire::{PATIENCE, ask, block_on, claims, client, events_to, open, publish, seqs};
use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::Socket;
use serde_json::json;

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
        let (mut whole, welcome) = Socket::open(&back).await.unwrap();
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
        set(&stack, "cut-short", "order:{order}", json!({"subscribe": []})).await;
        // It has not read anything yet: what is on its way arrives, and the rest does not.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        is_taken_out(&mut socket, "order:1").await;
        let end = socket.next_of("replayed", PATIENCE).await.unwrap();
        let count = end.number("count").unwrap();
        assert!(count < 200 && end.0["more"] == true && end.text("id") == Some("h"), "{end:?}");
        let pong = ask(&mut socket, json!({"type": "ping", "id": 7})).await;
        assert!(pong.is("pong"));
        socket.close().await;
    });
}
