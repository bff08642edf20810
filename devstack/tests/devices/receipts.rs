//! What is told of an event, and what may a device say?

use super::{ack, acks_become, deliveries, deliveries_until, device, is_stored, stack, stored};
use crate::wire::{PATIENCE, ask, block_on, claims, events_to, open, publish, token};
use carillon_devstack::client::socket::Socket;
use carillon_devstack::wait;
use serde_json::{Value, json};

/// Says something and hears an error of this code.
async fn is_refused(socket: &mut Socket, frame: Value, code: &str) {
    socket.send_json(&frame).await.unwrap();
    let error = socket.next_of("error", PATIENCE).await.unwrap();
    assert_eq!(error.code(), Some(code), "{frame}: {error:?}");
    assert_eq!(error.0["id"], frame["id"], "{error:?}");
}

#[test]
fn who_has_an_event_and_who_has_not_is_known_of_devices_on_every_gateway() {
    block_on(async {
        let stack = stack().await;
        let tenant = "receipts";
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        let (mut laptop, _) = device(&stack, 1, (tenant, "mila"), "laptop").await;
        let (mut tablet, _) = device(&stack, 1, (tenant, "ana"), "tablet").await;
        let (desk, _) = device(&stack, 0, (tenant, "mila"), "desk").await;
        let known = ["ana tablet 0 0", "mila desk 0 0", "mila laptop 0 0", "mila phone 0 0"];
        is_stored(&stack, tenant, &known).await;
        desk.close().await;
        let all = publish(&stack, tenant, &["tenant"], json!({})).await;
        let hers = publish(&stack, tenant, &["user:mila"], json!({})).await;
        for socket in [&mut phone, &mut laptop] {
            events_to(socket, hers.seq).await;
        }
        events_to(&mut tablet, all.seq).await;
        // Who comes later is not of their audience.
        let (late, _) = device(&stack, 0, (tenant, "eva"), "phone").await;
        assert!(ack(&mut phone, all.seq).await.is("ok"));
        let told = acks_become(&stack, tenant, &all.id, 4, 1).await;
        assert_eq!((&told["seq"], &told["epoch"]), (&json!(all.seq), &json!(all.epoch)));
        let pending = |told: &Value| {
            let names = |device: &Value| format!("{} {}", device["user"], device["device"]).replace('"', "");
            told["pending"].as_array().unwrap().iter().map(names).collect::<Vec<_>>()
        };
        assert_eq!(pending(&told), ["ana tablet", "mila desk", "mila laptop"]);
        assert_eq!(told["pending"][0]["acked"], 0);
        assert!(told["pending"][0]["last_seen"].as_str().unwrap().ends_with('Z') && told["next"].is_null());
        acks_become(&stack, tenant, &hers.id, 3, 0).await;
        // Without a word of the client: the event was written, and with the pong of a later ping it has arrived.
        let pings = async {
            for _ in 0..2 {
                let told = laptop.next_of("heartbeat", PATIENCE).await.unwrap();
                assert_eq!(told.seq(), Some(hers.seq));
            }
        };
        // The others answer theirs, or they would be given up.
        let (_, phones, tablets) =
            tokio::join!(pings, phone.next_of("heartbeat", PATIENCE), tablet.next_of("heartbeat", PATIENCE));
        assert!(phones.is_ok() && tablets.is_ok());
        let has = |told: &Value| told["pending"][1]["delivered"] == hers.seq;
        let told = deliveries_until(&stack, tenant, &hers.id, has).await;
        assert_eq!(pending(&told), ["mila desk", "mila laptop", "mila phone"]);
        assert!(told["delivered"].as_u64().unwrap() >= 1 && told["pending"][1]["acked"] == 0, "{told}");
        let (_, unreached) = deliveries(&stack, tenant, &hers.id, "&state=undelivered").await;
        assert_eq!(pending(&unreached)[0], "mila desk");
        assert!(!pending(&unreached).contains(&"mila laptop".to_owned()), "{unreached}");
        let pong = ask(&mut laptop, json!({"type": "ping", "id": 1})).await;
        assert!(pong.number("rtt_ms").is_some_and(|ms| ms < 5_000), "{pong:?}");
        // Page by page.
        let (_, first) = deliveries(&stack, tenant, &all.id, "&limit=2").await;
        assert_eq!(pending(&first), ["ana tablet", "mila desk"]);
        let next = format!("&limit=2&after={}", first["next"].as_str().unwrap());
        let (_, second) = deliveries(&stack, tenant, &all.id, &next).await;
        assert_eq!((pending(&second), &second["next"]), (vec!["mila laptop".to_owned()], &Value::Null));
        for (socket, event) in [(&mut phone, &hers), (&mut laptop, &hers), (&mut tablet, &all)] {
            let acked = ack(socket, event.seq).await;
            assert!(acked.is("ok"), "{acked:?}");
        }
        let told = acks_become(&stack, tenant, &all.id, 4, 3).await;
        assert_eq!(pending(&told), ["mila desk"]);
        drop(late);
    });
}

#[test]
fn a_device_that_is_away_is_pending_and_what_it_comes_back_with_has_arrived() {
    block_on(async {
        let stack = stack().await;
        let tenant = "away";
        let (phone, welcome) = device(&stack, 0, (tenant, "mila"), "phone").await;
        is_stored(&stack, tenant, &["mila phone 0 0"]).await;
        phone.close().await;
        let event = publish(&stack, tenant, &["tenant"], json!({})).await;
        acks_become(&stack, tenant, &event.id, 1, 0).await;
        // It loads its state some other way, and says so with the cursor.
        let url = format!(
            "{}/v1/poll?device=phone&since={}&epoch={}&wait=0",
            stack.gateway(1).url(),
            event.seq,
            welcome.epoch
        );
        let poll =
            reqwest::Client::new().get(url).bearer_auth(token(&stack, &claims(tenant, "mila"))).send().await;
        assert_eq!(poll.unwrap().status(), 200);
        let has = |told: &Value| told["delivered"] == 1 && told["acked"] == 0;
        deliveries_until(&stack, tenant, &event.id, has).await;
    });
}

#[test]
fn an_ack_that_is_wrong_is_told_by_name_and_stored_nowhere() {
    block_on(async {
        let stack = stack().await;
        let tenant = "wrong";
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        for _ in 0..3 {
            publish(&stack, tenant, &["tenant"], json!({})).await;
        }
        events_to(&mut phone, 3).await;
        assert!(ack(&mut phone, 2).await.is("ok"));
        assert!(ack(&mut phone, 2).await.is("ok"), "the same again says nothing new");
        for (frame, code) in [
            (json!({"type": "ack", "id": "a", "seq": 1}), "ack_behind"),
            (json!({"type": "ack", "id": "b", "seq": 4}), "ack_ahead"),
            (json!({"type": "ack", "seq": 9_007_199_254_740_993_u64}), "ack_ahead"),
            (json!({"type": "ack", "id": "c", "seq": 3, "epoch": "another"}), "ack_epoch"),
            (json!({"type": "ack", "id": "d"}), "invalid_frame"),
            (json!({"type": "ack", "id": "e", "seq": -3}), "invalid_frame"),
            (json!({"type": "ack", "id": "f", "seq": "3"}), "invalid_frame"),
        ] {
            is_refused(&mut phone, frame, code).await;
        }
        let (mut nameless, _) = open(&stack, stack.gateway(0), &claims(tenant, "mila")).await;
        is_refused(&mut nameless, json!({"type": "ack", "id": 1, "seq": 1}), "device_required").await;
        // Two sockets of one device: the furthest counts, whichever said it.
        let (mut second, _) = device(&stack, 1, (tenant, "mila"), "phone").await;
        assert!(ack(&mut second, 1).await.is("ok"), "it has acknowledged nothing on this connection");
        for _ in 0..2 {
            second.next_of("heartbeat", PATIENCE).await.unwrap();
        }
        is_stored(&stack, tenant, &["mila phone 3 2"]).await;
        assert!(ack(&mut second, 3).await.is("ok"));
        is_stored(&stack, tenant, &["mila phone 3 3"]).await;
        // Nothing is answered that nobody asked for.
        second.send_json(&json!({"type": "ack", "seq": 3})).await.unwrap();
        let pong = ask(&mut second, json!({"type": "ping", "id": 2})).await;
        assert!(pong.is("pong"), "{pong:?}");
    });
}

#[test]
fn what_becomes_of_events_is_told_to_services_and_administrators() {
    block_on(async {
        let stack = stack().await;
        let tenant = "rights";
        let event = publish(&stack, tenant, &["tenant"], json!({})).await;
        let url = format!("{}/v1/events/{}/deliveries", stack.publisher(0).url(), event.id);
        let status = async |bearer: &str| {
            let answer = reqwest::Client::new().get(&url).bearer_auth(bearer).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
        };
        let person = token(&stack, &claims(tenant, "mila"));
        assert_eq!(status(&person).await, (403, json!("missing_scope")));
        let publisher = token(&stack, &claims(tenant, "mila").caps(["publish"]));
        assert_eq!(status(&publisher).await, (403, json!("missing_scope")));
        let admin = token(&stack, &claims(tenant, "mila").caps(["admin"]));
        assert_eq!(status(&admin).await, (200, Value::Null));
        let elsewhere = token(&stack, &claims("another", "mila").caps(["admin"]));
        assert_eq!(status(&elsewhere).await, (404, json!("not_found")));
        for (more, code) in [
            ("&limit=0", "invalid_parameter"),
            ("&state=lost", "invalid_parameter"),
            ("&after=nonsense", "invalid_cursor"),
            ("&what=1", "invalid_parameter"),
        ] {
            let (status, problem) = deliveries(&stack, tenant, &event.id, more).await;
            assert_eq!((status, &problem["code"]), (400, &json!(code)), "{more}: {problem}");
        }
        let (status, problem) = deliveries(&stack, tenant, "no-such-event", "").await;
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
        assert!(stored(&stack, tenant).await.is_empty());
    });
}

#[test]
fn analytics_say_how_long_it_took_until_devices_had_handled_events() {
    block_on(async {
        let stack = stack().await;
        let tenant = "handled";
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        let (mut tablet, _) = device(&stack, 1, (tenant, "ana"), "tablet").await;
        let latency = async || {
            let url = format!("{}/v1/analytics?tenant={tenant}&compare=previous", stack.publisher(0).url());
            let answer = reqwest::Client::new().get(url).bearer_auth(stack.api_key()).send().await.unwrap();
            let page: Value = answer.json().await.unwrap();
            assert!(page["previous"].get("latency").is_some(), "{page}");
            page["latency"].clone()
        };
        assert_eq!(latency().await, Value::Null);
        let event = publish(&stack, tenant, &["tenant"], json!({})).await;
        for socket in [&mut phone, &mut tablet] {
            events_to(socket, event.seq).await;
            assert!(ack(socket, event.seq).await.is("ok"));
        }
        let counted = wait::until("both are counted", PATIENCE, || async {
            let latency = latency().await;
            (latency["count"] == 2).then_some(latency)
        });
        let counted = counted.await.unwrap();
        let [half, most] = ["p50_ms", "p99_ms"].map(|name| counted[name].as_f64().unwrap());
        assert!(0.0 < half && half <= most && most < 60_000.0, "{counted}");
        // Who comes back and says the same again has not handled it anew.
        drop(phone);
        let (mut phone, _) = device(&stack, 1, (tenant, "mila"), "phone").await;
        assert!(ack(&mut phone, event.seq).await.is("ok"));
        let second = publish(&stack, tenant, &["tenant"], json!({})).await;
        events_to(&mut phone, second.seq).await;
        assert!(ack(&mut phone, second.seq).await.is("ok"));
        wait::until("the second is counted", PATIENCE, || async {
            let latency = latency().await;
            assert!(latency["count"].as_u64().unwrap() <= 3, "{latency}");
            (latency["count"] == 3).then_some(())
        })
        .await
        .unwrap();
    });
}
