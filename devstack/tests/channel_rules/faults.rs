//! Do rules hold while Redis is away, and with a database that is?

use super::{FOLLOWED, delete, is_taken_out, put, set, subscribe, subscribes};
use crate::wire::{block_on, claims, client, events_to, open, publish, seqs};
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::json;

#[test]
fn a_rule_that_forbids_takes_people_out_also_without_redis() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        set(&stack, "deaf", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        let mila = claims("deaf", "mila");
        let mut sockets = Vec::new();
        for gateway in [0, 1] {
            let wanted = client(&stack, stack.gateway(gateway), &mila).channels(["order:1"]);
            sockets.push(Socket::open(&wanted).await.unwrap().0);
        }
        stack.redis().process().kill().unwrap();
        set(&stack, "deaf", "order:{order}", json!({"subscribe": ["role:head"]})).await;
        for socket in &mut sockets {
            assert!(is_taken_out(socket, "order:1").await < FOLLOWED);
            assert_eq!(subscribe(socket, "order:1").await.code(), Some("forbidden"));
        }
        set(&stack, "deaf", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        for mut socket in sockets {
            assert!(subscribes(&mut socket, "order:1").await < FOLLOWED);
            socket.close().await;
        }
        stack.stop().await.unwrap();
    });
}

#[test]
fn the_known_rules_hold_while_the_database_is_away() {
    block_on(async {
        let stack = Stack::start(StackConfig { chaos: true, ..StackConfig::default() }).await.unwrap();
        set(&stack, "cut", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        let (mut socket, _) = open(&stack, stack.gateway(0), &claims("cut", "mila")).await;
        assert!(subscribe(&mut socket, "order:1").await.is("ok"));
        stack.cut_postgres().await;
        let (status, answer) = put(&stack, "cut", "order:{order}", json!({"subscribe": []})).await;
        assert_eq!(status, 503, "{answer}");
        assert!(subscribe(&mut socket, "order:2").await.is("ok"), "what was known holds");
        assert_eq!(subscribe(&mut socket, "other:1").await.code(), Some("forbidden"));
        stack.restore_postgres().await;
        let began = std::time::Instant::now();
        while put(&stack, "cut", "order:{order}", json!({"subscribe": ["anyone"]})).await.0 != 200 {
            assert!(began.elapsed() < crate::PATIENCE, "the database is back");
        }
        let seq = publish(&stack, "cut", &["order:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq], "nobody was sent away");
        delete(&stack, "cut", "order:{order}").await;
        let told = socket.next_of("error", crate::PATIENCE).await.unwrap();
        assert_eq!((told.code(), told.channels().len()), (Some("forbidden"), 2));
        socket.close().await;
        stack.stop().await.unwrap();
    });
}
