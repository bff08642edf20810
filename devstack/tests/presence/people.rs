//! Who is seen when, while everything works?

use super::person::Plan;
use super::{set, show, stack};
use crate::wire::{PATIENCE, Shared, ask, block_on, claims, client, open};
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::Stack;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn shared() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(|| stack(false)).await
}

#[test]
fn a_person_with_tabs_on_several_nodes_comes_once_and_goes_once() {
    block_on(async {
        let stack = shared().await;
        show(&stack, "tabs", 5_000).await;
        let watcher = Plan::new("tabs", "wanda").at(&stack, 0).await;
        watcher.sees(&["wanda"]).await;
        let first = Plan::new("tabs", "mila").at(&stack, 1).await;
        first.sees(&["mila", "wanda"]).await;
        watcher.sees(&["mila", "wanda"]).await;
        let second = Plan::new("tabs", "mila").at(&stack, 2).await;
        second.sees(&["mila", "wanda"]).await;
        first.close().await;
        let began = Instant::now();
        second.sever().await;
        watcher.sees(&["wanda"]).await;
        assert!(
            began.elapsed() >= Duration::from_millis(4_900),
            "a grace for who breaks off: {:?}",
            began.elapsed()
        );
        // Whoever says goodbye is not waited for.
        let third = Plan::new("tabs", "mila").at(&stack, 2).await;
        watcher.sees(&["mila", "wanda"]).await;
        let began = Instant::now();
        third.close().await;
        watcher.sees(&["wanda"]).await;
        assert!(began.elapsed() < Duration::from_millis(4_800), "{:?}", began.elapsed());
        assert_eq!(watcher.told(), ["mila joined", "mila left", "mila joined", "mila left"]);
        watcher.close().await;
    });
}

#[test]
fn a_goodbye_on_one_node_ends_the_grace_on_another() {
    block_on(async {
        let stack = shared().await;
        show(&stack, "goodbyes", 60_000).await;
        let watcher = Plan::new("goodbyes", "wanda").at(&stack, 0).await;
        let broken = Plan::new("goodbyes", "mila").at(&stack, 1).await;
        watcher.sees(&["mila", "wanda"]).await;
        broken.sever().await;
        let back = Plan::new("goodbyes", "mila").at(&stack, 2).await;
        back.sees(&["mila", "wanda"]).await;
        // A goodbye right after breaking off could have been said before.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        back.close().await;
        watcher.within(Duration::from_secs(10), "mila is gone", &mut |known| known.count == 1).await;
        assert_eq!(watcher.told(), ["mila joined", "mila left"]);
        watcher.close().await;
    });
}

#[test]
fn what_somebody_says_about_themselves_is_seen_everywhere() {
    block_on(async {
        let stack = shared().await;
        show(&stack, "meta", 500).await;
        let watcher = Plan::new("meta", "wanda").at(&stack, 0).await;
        let mut mila = claims("meta", "mila");
        mila.meta = Some(json!({"desk": 4}));
        let wanted = client(&stack, stack.gateway(1), &mila).channels(["branch:1"]);
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        let meta_is = |wanted: serde_json::Value| {
            move |known: &super::person::Known| known.members.as_ref().unwrap().get("mila") == Some(&wanted)
        };
        watcher.until("the token's meta is seen", meta_is(json!({"desk": 4}))).await;
        // Of many in a second the last one counts.
        for n in 0..20 {
            socket
                .send_json(&json!({"type": "presence", "channel": "branch:1", "meta": {"away": n}}))
                .await
                .unwrap();
        }
        watcher.until("the last meta is seen", meta_is(json!({"away": 19}))).await;
        let updates = watcher.told().iter().filter(|told| *told == "mila updated").count();
        assert!((1..=5).contains(&updates), "{:?}", watcher.told());
        let ok = ask(&mut socket, json!({"type": "presence", "id": 1, "meta": null})).await;
        assert!(ok.is("ok"), "{ok:?}");
        watcher.until("it is taken back", meta_is(serde_json::Value::Null)).await;
        let answer = ask(&mut socket, json!({"type": "presence", "id": 2, "channel": "branch:1"})).await;
        let told = &answer.0["presence"]["branch:1"];
        assert_eq!((&told["count"], told["members"].as_array().unwrap().len()), (&json!(2), 2), "{answer:?}");
        assert_eq!(told["members"][0]["user"], "wanda", "in the order of their coming");
        assert!(told["members"][0]["since"].is_u64());
        socket.close().await;
        watcher.close().await;
    });
}

#[test]
fn what_is_wrong_is_named() {
    block_on(async {
        let stack = shared().await;
        let rule = json!({"subscribe": ["anyone"], "presence": ["role:desk"]});
        set(&stack, "wrong", rule).await;
        let (mut socket, _) = open(&stack, stack.gateway(0), &claims("wrong", "mila")).await;
        let (mut desk, _) = open(&stack, stack.gateway(0), &claims("wrong", "ana").roles(["desk"])).await;
        let code = async |socket: &mut Socket, frame: serde_json::Value| {
            let answer = ask(socket, frame).await;
            (answer.code().unwrap_or_default().to_owned(), answer.channels())
        };
        let branch = || vec!["branch:1".to_owned()];
        let subscribe = json!({"type": "subscribe", "id": 1, "channel": "branch:1", "presence": true});
        assert_eq!(code(&mut socket, subscribe.clone()).await, ("forbidden".into(), branch()));
        let look = json!({"type": "presence", "id": 2, "channel": "branch:1"});
        assert_eq!(code(&mut socket, look).await, ("forbidden".into(), branch()));
        let no_rule = json!({"type": "subscribe", "id": 3, "channels": ["tenant"], "presence": true});
        assert_eq!(code(&mut desk, no_rule).await, ("forbidden".into(), vec!["tenant".to_owned()]));
        let meta = |meta: &str| json!({"type": "presence", "id": 4, "channel": "branch:1", "meta": meta});
        assert_eq!(code(&mut desk, meta("x")).await.0, "not_present");
        assert_eq!(code(&mut desk, meta(&"x".repeat(1_025))).await.0, "meta_too_large");
        assert_eq!(code(&mut desk, json!({"type": "presence", "id": 5})).await.0, "invalid_frame");
        // Nothing was subscribed, and the connections are as they were.
        let answer = ask(&mut desk, subscribe).await;
        assert_eq!(answer.0["presence"]["branch:1"]["members"][0]["user"], "ana", "{answer:?}");
        // Who may be in a channel without seeing who else is, is not seen.
        let answer = ask(&mut socket, json!({"type": "subscribe", "id": 6, "channel": "branch:1"})).await;
        assert!(answer.is("ok") && answer.0.get("presence").is_none(), "{answer:?}");
        let answer = ask(&mut desk, json!({"type": "presence", "id": 7, "channel": "branch:1"})).await;
        assert_eq!(answer.0["presence"]["branch:1"]["count"], 1, "{answer:?}");
        let mut big = claims("wrong", "ana");
        big.meta = Some(json!("x".repeat(1_100)));
        let refused = Socket::open(&client(&stack, stack.gateway(0), &big)).await.err().unwrap();
        assert!(refused.to_string().contains("token_claims"), "{refused}");
        socket.close().await;
        desk.close().await;
    });
}

#[test]
fn i5_tenants_see_their_own_people_alone() {
    block_on(async {
        let stack = shared().await;
        for tenant in ["school-1", "school-2"] {
            show(&stack, tenant, 500).await;
        }
        let one = Plan::new("school-1", "mila").at(&stack, 0).await;
        let other = Plan::new("school-2", "ana").at(&stack, 0).await;
        let elsewhere = Plan::new("school-2", "eva").at(&stack, 1).await;
        other.sees(&["ana", "eva"]).await;
        elsewhere.sees(&["ana", "eva"]).await;
        one.sees(&["mila"]).await;
        elsewhere.close().await;
        other.sees(&["ana"]).await;
        assert_eq!(one.told(), Vec::<String>::new());
        one.close().await;
        other.close().await;
    });
}

#[test]
fn a_rule_that_shows_nobody_any_more_ends_what_was_shown() {
    block_on(async {
        let stack = shared().await;
        set(&stack, "shown", json!({"subscribe": ["anyone"], "presence": ["anyone"]})).await;
        let mila = Plan::new("shown", "mila").at(&stack, 0).await;
        let ana = Plan::new("shown", "ana").at(&stack, 1).await;
        mila.sees(&["ana", "mila"]).await;
        set(&stack, "shown", json!({"subscribe": ["anyone"]})).await;
        for person in [&mila, &ana] {
            person
                .until("it is told", |known| {
                    known.others.iter().any(|frame| {
                        frame["code"] == "presence_forbidden" && frame["channels"][0] == "branch:1"
                    })
                })
                .await;
        }
        set(&stack, "shown", json!({"subscribe": ["anyone"], "presence": ["anyone"]})).await;
        let eva = Plan::new("shown", "eva").at(&stack, 2).await;
        // They are still in the channel and are seen again; who watches says so anew.
        eva.sees(&["ana", "eva", "mila"]).await;
        mila.close().await;
        ana.close().await;
        eva.sees(&["eva"]).await;
        eva.close().await;
    });
}

#[test]
fn on_a_redis_cluster_it_is_the_same() {
    block_on(async {
        let stack = stack(true).await;
        for n in 0..4 {
            show(&stack, &format!("merchant-{n}"), 500).await;
        }
        for n in 0..4 {
            let tenant = format!("merchant-{n}");
            let one = Plan::new(&tenant, "mila").at(&stack, 0).await;
            let other = Plan::new(&tenant, "ana").at(&stack, 1).await;
            one.sees(&["ana", "mila"]).await;
            other.sees(&["ana", "mila"]).await;
            other.close().await;
            one.sees(&["mila"]).await;
            one.close().await;
        }
        let reads = stack.gateway(0).metric("carillon_presence_reads_total").await.unwrap();
        assert!(reads >= 1.0, "another's hash was read");
        tokio::time::timeout(PATIENCE, stack.stop()).await.unwrap().unwrap();
    });
}
