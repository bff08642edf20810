//! What does a client of Socket.IO get, and what becomes of what it emits?

use super::client::Engine;
use super::wire::{block_on, claims, publish, token};
use super::{connected, open_pages, stack};
use carillon_protocol::CloseCode;
use serde_json::{Value, json};

#[test]
fn an_event_arrives_under_its_type_with_its_data_and_meta_or_under_the_envelope_s_one_name() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-out");
        open_pages(&stack, tenant).await;
        let more = json!({"channels": ["page:7"]});
        let mut typed = connected(&stack, 0, tenant, "mila", more.clone()).await;
        let with = json!({"channels": "page:7", "envelope": "realtime_event"});
        let mut enveloped = connected(&stack, 1, tenant, "mila", with).await;
        for engine in [&mut typed, &mut enveloped] {
            let welcome = engine.next("carillon:welcome").await;
            assert_eq!((&welcome[1]["user"], welcome.as_array().unwrap().len()), (&json!("mila"), 2));
        }
        let seq = publish(&stack, tenant, &["page:7"], json!({"price": 5})).await.seq;
        let event = typed.next("wire.test").await;
        assert_eq!(event[1], json!({"price": 5}));
        assert_eq!((&event[2]["seq"], &event[2]["channels"]), (&json!(seq), &json!(["page:7"])));
        assert_eq!((event.as_array().unwrap().len(), event[2].get("data")), (3, None), "no offset unasked");
        assert!(event[2]["cursor"].as_str().unwrap().ends_with(&format!(":{seq}")));
        let event = enveloped.next("realtime_event").await;
        assert_eq!((&event[1]["data"], &event[1]["type"]), (&json!({"price": 5}), &json!("wire.test")));
        assert_eq!((&event[1]["seq"], event.as_array().unwrap().len()), (&json!(seq), 2));
    });
}

#[test]
fn rooms_are_joined_and_left_with_callbacks_that_get_the_contract_s_answers() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-rooms");
        open_pages(&stack, tenant).await;
        let mut mila = connected(&stack, 0, tenant, "mila", Value::Null).await;
        let ok = mila.call(json!(["join", "page:1"])).await;
        assert_eq!((&ok["type"], &ok["channels"]), (&json!("ok"), &json!(["page:1"])));
        assert!(ok["seq"].is_u64(), "{ok}");
        let refused = mila.call(json!(["subscribe", {"room": "vault:1"}])).await;
        assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("forbidden")));
        let first = publish(&stack, tenant, &["page:1"], json!(1)).await.seq;
        assert_eq!(mila.next("wire.test").await[2]["seq"], json!(first));
        let told = mila.call(json!(["history", "page:1", 5])).await;
        assert_eq!(told["type"], json!("ok"), "{told}");
        let past = mila.next("wire.test").await;
        assert_eq!((&past[2]["seq"], past[2].get("cursor")), (&json!(first), None));
        assert_eq!(mila.next("carillon:replayed").await[1]["count"], json!(1));
        assert_eq!(mila.call(json!(["leave", "page:1"])).await["type"], json!("ok"));
        publish(&stack, tenant, &["page:1"], json!(2)).await;
        let seq = publish(&stack, tenant, &["user:mila"], json!(3)).await.seq;
        assert_eq!(mila.next("wire.test").await[2]["seq"], json!(seq), "what was left is not heard");
    });
}

#[test]
fn what_a_client_emits_reaches_clients_of_both_protocols() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-in");
        open_pages(&stack, tenant).await;
        let more = json!({"channels": ["page:1"]});
        let mut mila = connected(&stack, 0, tenant, "mila", more.clone()).await;
        let mut jan = connected(&stack, 1, tenant, "jan", more).await;
        let plain =
            super::wire::client(&stack, stack.gateway(1), &claims(tenant, "eva")).channels(["page:1"]);
        let mut plain = carillon_devstack::client::socket::Socket::open(&plain).await.unwrap().0;
        let with = json!({"channels": ["page:1"], "envelope": "realtime_event"});
        let mut enveloped = connected(&stack, 1, tenant, "ana", with).await;
        for engine in [&mut jan, &mut enveloped] {
            engine.next("carillon:welcome").await;
        }
        mila.emit(json!(["typing_start", "page:1"])).await;
        let typing = jan.next("typing").await;
        assert_eq!((&typing[1]["state"], &typing[2]["from"]), (&json!("start"), &json!("mila")));
        // A name of its own is published where its argument says.
        let ok = mila.call(json!(["chat", {"room": "page:1", "text": "hi"}])).await;
        assert_eq!(ok["type"], json!("ok"), "{ok}");
        let signal = jan.next("chat").await;
        assert_eq!((&signal[1]["text"], &signal[2]["signal"]), (&json!("hi"), &json!(true)));
        assert_eq!((&signal[2]["channel"], signal.as_array().unwrap().len()), (&json!("page:1"), 3));
        let signal = enveloped.next("carillon:signal").await;
        assert_eq!(signal[1]["event"]["type"], json!("typing"));
        let signal = plain.next_of("signal", super::wire::PATIENCE).await.unwrap();
        assert_eq!(signal.event()["type"], json!("typing"));
        let unknown = mila.call(json!(["dance", {"how": "slow"}])).await;
        assert_eq!(unknown["code"], json!("unknown_type"), "{unknown}");
        let refused = mila.call(json!(["publish", "vault:1", {"type": "a"}])).await;
        assert_eq!(refused["type"], json!("error"), "{refused}");
        // Without a callback an error is an event.
        mila.emit(json!(["dance"])).await;
        assert_eq!(mila.next("carillon:error").await[1]["code"], json!("unknown_type"));
    });
}

#[test]
fn who_may_not_come_in_hears_the_contract_s_code_whichever_way_the_token_came() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-auth");
        let gateway = stack.gateway(0);
        let good = token(&stack, &claims(tenant, "mila"));
        let refused = Engine::open(gateway, "", &[]).await.connect(&json!({})).await.unwrap_err();
        assert_eq!(refused["data"]["code"], json!("token_missing"), "{refused}");
        let refused =
            Engine::open(gateway, "", &[]).await.connect(&json!({"token": "x.y.z"})).await.unwrap_err();
        assert!(refused["data"]["code"].as_str().unwrap().starts_with("token"), "{refused}");
        let channels = json!({"token": good, "channels": ["vault:1"]});
        let refused = Engine::open(gateway, "", &[]).await.connect(&channels).await.unwrap_err();
        assert_eq!(refused["data"]["code"], json!("forbidden"), "{refused}");
        let wrong = json!({"token": good, "envelope": 5});
        let refused = Engine::open(gateway, "", &[]).await.connect(&wrong).await.unwrap_err();
        assert_eq!(refused["data"]["code"], json!("invalid_frame"), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("auth.envelope"), "{refused}");
        let url = format!("&token={good}");
        Engine::open(gateway, &url, &[]).await.connect(&json!({})).await.unwrap();
        let bearer = format!("Bearer {good}");
        Engine::open(gateway, "", &[("authorization", &bearer)]).await.connect(&json!({})).await.unwrap();
        // The one of CONNECT counts before the others.
        let other = json!({"token": token(&stack, &claims(tenant, "jan"))});
        let mut both = Engine::open(gateway, &url, &[("authorization", &bearer)]).await;
        both.connect(&other).await.unwrap();
        assert_eq!(both.next("carillon:welcome").await[1]["user"], json!("jan"));
    });
}

#[test]
fn a_namespace_that_is_not_there_is_refused_and_the_main_one_goes_on() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-namespace");
        let mut engine = Engine::open(stack.gateway(0), "", &[]).await;
        engine.send("40/admin,{\"token\":\"t\"}").await;
        let packet = engine.packet().await;
        let payload: Value = serde_json::from_str(packet.strip_prefix("4/admin,").unwrap()).unwrap();
        assert_eq!(payload["data"]["code"], json!("invalid_namespace"));
        let auth = json!({"token": token(&stack, &claims(tenant, "mila"))});
        engine.connect(&auth).await.unwrap();
        assert_eq!(engine.call(json!(["ping"])).await["type"], json!("pong"));
    });
}

#[test]
fn the_server_pings_in_time_whatever_else_it_sends() {
    block_on(async {
        use carillon_devstack::stack::{Stack, StackConfig};
        let env = super::wire::variables(&[("CARILLON_HEARTBEAT_MS", "1000")]);
        let config = StackConfig { gateways: 1, gateway_env: env, ..StackConfig::default() };
        let (stack, tenant) = (Stack::start(config).await.unwrap(), "door-ping");
        let mut engine = connected(&stack, 0, tenant, "mila", Value::Null).await;
        assert_eq!(engine.handshake["pingInterval"], json!(1_000));
        let began = std::time::Instant::now();
        let (mut pings, mut events) = (0_u32, 0_u32);
        // It reads and answers all the time, however long a publisher takes.
        let publishing = async {
            loop {
                publish(&stack, tenant, &["user:mila"], json!(1)).await;
            }
        };
        let reading = async {
            while pings < 5 || events <= pings {
                let text = engine.message().await.unwrap();
                events += u32::from(text.starts_with("42[\"wire.test\""));
                if text == "2" {
                    pings += 1;
                    engine.send("3").await;
                }
            }
        };
        tokio::select! {
            () = publishing => {}
            () = reading => {}
        }
        let seconds = began.elapsed().as_secs_f64();
        let in_time = seconds / 2.0 - 1.0..seconds + 1.5;
        assert!(in_time.contains(&f64::from(pings)), "{pings} pings in {seconds} s, beside {events} events");
    });
}

#[test]
fn a_node_that_stops_sends_its_clients_away_with_a_close_frame_alone() {
    block_on(async {
        use carillon_devstack::stack::{Stack, StackConfig};
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let mut engine = connected(&stack, 0, "door-drain", "mila", Value::Null).await;
        engine.next("carillon:welcome").await;
        let stopping = stack.gateway(0).terminate();
        let watching = async {
            loop {
                match engine.message().await {
                    Ok(text) => assert!(text.starts_with("42[\"carillon:") || text == "2", "{text}"),
                    Err(code) => return code,
                }
            }
        };
        let (_, code) = tokio::join!(stopping, watching);
        assert_eq!(code, Some(CloseCode::Restart.code()));
    });
}
