//! What is asked, of whom, how often, and who may then do what?

use super::application::{Application, no, yes};
use super::{put, set_application, set_rule, stack, subscribe, tenant_that_asks};
use crate::wire::{ask, block_on, claims, events_to, open, publish, seqs};
use carillon_devstack::client::socket::Socket;
use serde_json::json;
use std::time::Duration;

#[test]
fn the_application_decides_who_may_subscribe_on_every_gateway() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|asked| {
            if asked["user"] == "mila" && asked["channel"] == "order:1" { yes(300) } else { no() }
        });
        let application = application.await;
        tenant_that_asks(&stack, "decides", &application).await;
        let mila = claims("decides", "mila").roles(["desk"]);
        for gateway in [0, 1] {
            let (mut socket, _) = open(&stack, stack.gateway(gateway), &mila).await;
            assert!(subscribe(&mut socket, "order:1").await.is("ok"));
            let refused = subscribe(&mut socket, "order:2").await;
            assert_eq!((refused.code(), refused.channels()), (Some("forbidden"), vec!["order:2".to_owned()]));
            let seq = publish(&stack, "decides", &["order:1"], json!({})).await.seq;
            assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq]);
            socket.close().await;
        }
        // Nobody else of the list is asked about, nor what no rule leaves to it.
        let before = application.asked();
        let (mut head, _) = open(&stack, stack.gateway(0), &claims("decides", "ana").roles(["head"])).await;
        assert!(subscribe(&mut head, "order:1").await.is("ok"));
        assert_eq!(subscribe(&mut head, "other:1").await.code(), Some("forbidden"));
        assert_eq!(application.asked(), before);
        let first = &application.questions()[0];
        let expected = json!({
            "tenant": "decides", "user": "mila", "roles": ["desk"], "channel": "order:1", "action": "subscribe", "device": null,
        });
        assert_eq!(first.body, expected);
        assert_eq!(first.header("content-type"), "application/json");
        head.close().await;
    });
}

#[test]
fn one_subscribe_is_whole_or_nothing_and_waits_for_nobody_else() {
    block_on(async {
        let stack = stack().await;
        let application =
            Application::start(|asked| if asked["channel"] == "order:9" { no() } else { yes(300) }).await;
        tenant_that_asks(&stack, "whole", &application).await;
        let mila = claims("whole", "mila").channels(["contact:*"]);
        let (mut socket, _) = open(&stack, stack.gateway(0), &mila).await;
        let three = json!({"type": "subscribe", "id": 1, "channels": ["contact:1", "order:1", "order:9"]});
        let refused = ask(&mut socket, three).await;
        assert_eq!((refused.code(), refused.channels()), (Some("forbidden"), vec!["order:9".to_owned()]));
        publish(&stack, "whole", &["contact:1", "order:1"], json!({})).await;
        // While the application thinks, others are answered and events come.
        application.takes(Duration::from_millis(1_700));
        let slow = json!({"type": "subscribe", "id": 2, "channels": ["order:3"]});
        socket.send_json(&slow).await.unwrap();
        let quick = ask(&mut socket, json!({"type": "subscribe", "id": 3, "channels": ["contact:2"]})).await;
        assert!(quick.is("ok") && quick.0["id"] == 3, "{quick:?}");
        let seq = publish(&stack, "whole", &["contact:2"], json!({})).await.seq;
        assert_eq!(
            seqs(&events_to(&mut socket, seq).await),
            [seq],
            "nothing of the refused subscribe was done"
        );
        // Left before it had its answer.
        assert!(
            ask(&mut socket, json!({"type": "unsubscribe", "id": 4, "channels": ["order:3"]})).await.is("ok")
        );
        let answered = socket.next_of("ok", crate::wire::PATIENCE).await.unwrap();
        assert_eq!(answered.0["id"], 2, "{answered:?}");
        application.takes(Duration::ZERO);
        assert!(subscribe(&mut socket, "order:1").await.is("ok"));
        publish(&stack, "whole", &["order:3"], json!({})).await;
        let seq = publish(&stack, "whole", &["order:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq], "it stays left");
        socket.close().await;
    });
}

#[test]
fn a_thousand_subscribes_for_one_question_are_one_question() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| yes(300)).await;
        application.takes(Duration::from_millis(300));
        tenant_that_asks(&stack, "thousand", &application).await;
        let mila = claims("thousand", "mila");
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.push(open(&stack, stack.gateway(0), &mila).await.0);
        }
        let all = sockets.iter_mut().map(async |socket: &mut Socket| {
            for _ in 0..30 {
                let frame = json!({"type": "subscribe", "channels": ["order:1"]});
                socket.send_json(&frame).await.unwrap();
            }
            for _ in 0..20 {
                let frame = json!({"type": "subscribe", "channels": ["order:1"]});
                socket.send_json(&frame).await.unwrap();
                assert!(socket.next_of("ok", crate::wire::PATIENCE).await.is_ok());
            }
            for _ in 0..30 {
                assert!(socket.next_of("ok", crate::wire::PATIENCE).await.is_ok());
            }
        });
        futures_util::future::join_all(all).await;
        assert_eq!(application.asked(), 1);
        for socket in sockets {
            socket.close().await;
        }
    });
}

#[test]
fn a_rule_that_asks_is_tried_without_asking() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| yes(300)).await;
        set_rule(&stack, "tried", "order:{order}", json!({"subscribe": ["role:head", "ask"]})).await;
        let tried = async |roles: &str| {
            let url = stack.publisher(0).url();
            let url =
                format!("{url}/v1/channel-rules/test?tenant=tried&user=mila&roles={roles}&channel=order:1");
            let request = reqwest::Client::new().get(url).bearer_auth(stack.api_key());
            let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
            (answer["subscribe"]["verdict"].clone(), answer["subscribe"]["why"].as_str().unwrap().to_owned())
        };
        let (verdict, why) = tried("desk").await;
        assert!(verdict == "forbidden" && why.contains("authorize_url"), "{why}");
        set_application(&stack, "tried", &application.url).await;
        assert_eq!(tried("desk").await.0, "ask");
        assert_eq!(tried("head").await.0, "allowed");
        assert_eq!(application.asked(), 0);
        let (status, _) = put(&stack, "/v1/tenants/tried", json!({"authorize_url": null})).await;
        assert_eq!((status, tried("desk").await.0), (200, json!("forbidden")));
    });
}
