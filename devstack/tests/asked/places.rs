//! Is the application asked wherever somebody comes in or reads: the URL, the first frame, event streams, polls, history, REST?

use super::application::{Application, no, raw, yes};
use super::{put, set_rule, stack, tenant_that_asks};
use crate::wire::{ask, block_on, claims, client, events_to, open, publish, seqs, token};
use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::socket::{Socket, TokenPlace};
use serde_json::{Value, json};

#[test]
fn whichever_way_a_client_comes_in_the_application_is_asked() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|asked| {
            if asked["channel"] == "order:1" && asked["device"] != "lost" { yes(300) } else { no() }
        });
        let application = application.await;
        tenant_that_asks(&stack, "ways", &application).await;
        let mila = claims("ways", "mila");
        for place in [TokenPlace::default(), TokenPlace::FirstFrame] {
            let mut wanted = client(&stack, stack.gateway(0), &mila).place(place).channels(["order:1"]);
            wanted.device = Some("phone".into());
            let (socket, welcome) = Socket::open(&wanted).await.unwrap();
            assert!(welcome.channels.contains(&"order:1".to_owned()));
            socket.close().await;
            for (channel, device) in [("order:2", "phone"), ("order:1", "lost")] {
                let mut refused = client(&stack, stack.gateway(0), &mila).place(place).channels([channel]);
                refused.device = Some(device.into());
                let error = format!("{:?}", Socket::open(&refused).await.unwrap_err());
                assert!(error.contains("403"), "{place:?} {channel} {device}: {error}");
            }
        }
        // A frame is asked about with the device that the connection came with.
        let mut wanted = client(&stack, stack.gateway(1), &mila);
        wanted.device = Some("lost".into());
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        let refused = ask(&mut socket, json!({"type": "subscribe", "id": 1, "channels": ["order:1"]})).await;
        assert_eq!(refused.code(), Some("forbidden"), "{refused:?}");
        assert!(application.questions().iter().any(|asked| asked.body["device"] == "lost"));
        socket.close().await;
        let listen = |channel: &str| {
            let listen = Listen::new(&stack.gateway(0).url(), token(&stack, &mila)).unwrap();
            listen.channels([channel])
        };
        assert!(listen("order:1").stream().await.is_ok());
        assert!(listen("order:1").poll(None).await.is_ok());
        assert!(listen("order:2").poll(None).await.is_err());
    });
}

#[test]
fn the_past_is_a_question_of_its_own_live_over_rest_and_after_a_break() {
    block_on(async {
        let stack = stack().await;
        let application =
            Application::start(|asked| if asked["action"] == "history" { no() } else { yes(300) }).await;
        tenant_that_asks(&stack, "pasts", &application).await;
        let event = publish(&stack, "pasts", &["order:1"], json!({})).await;
        let mila = claims("pasts", "mila");
        let (mut socket, _) = open(&stack, stack.gateway(0), &mila).await;
        let history = json!({"type": "subscribe", "id": 1, "channels": ["order:1"], "history": 5});
        assert_eq!(ask(&mut socket, history.clone()).await.code(), Some("forbidden"));
        assert!(
            ask(&mut socket, json!({"type": "subscribe", "id": 2, "channels": ["order:1"]})).await.is("ok")
        );
        socket.close().await;
        let read = async |path: &str| {
            let url = format!("{}{path}", stack.publisher(0).url());
            let request = reqwest::Client::new().get(url).bearer_auth(token(&stack, &mila));
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        };
        assert_eq!(read("/v1/events?channel=order:1").await.0, 403);
        let one = format!("/v1/events/{}", event.id);
        assert_eq!(read(&one).await.0, 404);
        // Whoever comes back has missed what is past.
        let back = client(&stack, stack.gateway(0), &mila).channels(["order:1"]);
        let (mut socket, welcome) =
            Socket::open(&back.since(Cursor::new(0, event.epoch.clone()))).await.unwrap();
        assert_eq!(welcome.resumed, "reset");
        let reset = socket.next_of("reset", crate::wire::PATIENCE).await.unwrap();
        assert_eq!(reset.0["reason"], "history_forbidden");
        application.says(|_| yes(300));
        // What was refused is asked again after five seconds at most, or when the settings change.
        assert_eq!(put(&stack, "/v1/tenants/pasts", json!({"authorize_url": application.url})).await.0, 200);
        let began = std::time::Instant::now();
        while read(&one).await.0 != 200 {
            assert!(began.elapsed() < crate::FOLLOWED, "the new setting is followed");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let (status, page) = read("/v1/events?channel=order:1").await;
        assert_eq!((status, page["events"].as_array().map(Vec::len)), (200, Some(1)), "{page}");
        // The gateway follows the setting by itself.
        let began = std::time::Instant::now();
        loop {
            let again = ask(&mut socket, history.clone()).await;
            if again.is("ok") {
                break;
            }
            assert!(began.elapsed() < crate::wire::PATIENCE, "the new setting is followed: {again:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        socket.close().await;
    });
}

#[test]
fn an_application_without_a_verdict_on_the_past_costs_nobody_what_they_missed() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|asked| match asked["action"] == "history" {
            true => raw("500 Internal Server Error", "", ""),
            false => yes(300),
        })
        .await;
        tenant_that_asks(&stack, "backlog", &application).await;
        let event = publish(&stack, "backlog", &["order:1"], json!({})).await;
        let mila = claims("backlog", "mila");
        let back = client(&stack, stack.gateway(0), &mila).channels(["order:1"]);
        let back = back.since(Cursor::new(0, event.epoch.clone()));
        let error = format!("{:?}", Socket::open(&back).await.unwrap_err());
        assert!(error.contains("503") && error.contains("unavailable"), "{error}");
        application.says(|_| yes(300));
        let (mut socket, _) = Socket::open(&back).await.unwrap();
        assert_eq!(seqs(&events_to(&mut socket, event.seq).await), [event.seq]);
        socket.close().await;
    });
}

#[test]
fn the_installations_rules_ask_the_tenants_application() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| yes(300)).await;
        super::set_application(&stack, "defaults-ask", &application.url).await;
        set_rule(&stack, "*", "lounge:{lounge}", json!({"subscribe": ["ask"]})).await;
        for (tenant, expected) in [("defaults-ask", None), ("defaults-none", Some("forbidden"))] {
            let (mut socket, _) = open(&stack, stack.gateway(0), &claims(tenant, "mila")).await;
            let began = std::time::Instant::now();
            let code = loop {
                let answer = super::subscribe(&mut socket, "lounge:1").await;
                let code = answer.code().map(str::to_owned);
                if code.as_deref() == expected || began.elapsed() > crate::FOLLOWED {
                    break code;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            };
            assert_eq!(code.as_deref(), expected, "{tenant}");
            socket.close().await;
        }
        assert_eq!(application.questions()[0].body["tenant"], "defaults-ask");
    });
}
