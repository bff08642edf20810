//! Is a client that polls served at any node, whatever else is away, and what does that cost a node?

use super::client::Engine;
use super::polling::{Polling, known_to_each_other, number};
use super::wire::{PATIENCE, block_on, publish};
use super::{open_pages, stack};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait::until;
use carillon_protocol::CloseCode;
use serde_json::{Value, json};

/// Where a node is, was known before.
#[test]
fn i9_who_polls_at_any_node_in_turn_goes_on_while_redis_is_away() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let tenant = "door-no-redis";
        open_pages(&stack, tenant).await;
        known_to_each_other(&stack).await;
        let more = json!({"channels": ["page:1"]});
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, more).await;
        mila.next("42[\"carillon:welcome\"").await;
        stack.redis().process().kill().unwrap();
        // Until both nodes have noticed: what was known before is what is asked for.
        until("both to notice that Redis is away", PATIENCE, || async {
            for gateway in stack.gateways() {
                if gateway.metric("carillon_redis_up").await? > 0.0 {
                    return None;
                }
            }
            Some(())
        })
        .await
        .unwrap();
        let mut seqs = Vec::new();
        for n in 0..6 {
            seqs.push(publish(&stack, tenant, &["page:1"], json!(n)).await.seq);
        }
        let (mut got, mut turn) = (Vec::new(), 0);
        while got.len() < seqs.len() {
            turn += 1;
            mila.go_to(stack.gateway(turn % 2));
            got.push(number(&mila.next("42[\"wire.test\"").await));
        }
        assert_eq!(got, seqs);
    });
}

/// A session that polls, and what is passed on, are seen in the metrics; what asks for nothing neither keeps a session nor ends it.
#[test]
fn i10_sessions_that_poll_and_what_is_passed_on_are_counted() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-counted");
        open_pages(&stack, tenant).await;
        known_to_each_other(&stack).await;
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, Value::Null).await;
        mila.next("42[\"carillon:welcome\"").await;
        assert!(stack.gateway(0).metric("carillon_socketio_polling_sessions").await.unwrap() >= 1.0);
        for method in [reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::HEAD] {
            for gateway in 0..2 {
                mila.go_to(stack.gateway(gateway));
                let answer = mila.http.request(method.clone(), mila.url()).send().await.unwrap();
                assert_eq!(answer.status(), 400, "{method}");
            }
        }
        mila.go_to(stack.gateway(1));
        let passing = async {
            until("a request that is passed on", PATIENCE, || async {
                (stack.gateway(1).metric("carillon_socketio_passed_on").await? >= 1.0).then_some(())
            })
            .await
            .unwrap();
            publish(&stack, tenant, &["user:mila"], json!(1)).await.seq
        };
        let (packets, seq) = tokio::join!(mila.poll(), passing);
        assert_eq!(number(packets.last().unwrap()), seq);
    });
}

/// Clients of old send all that they have waited with in one body, at whichever node.
#[test]
fn what_a_client_has_waited_with_may_be_one_large_body() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-large");
        open_pages(&stack, tenant).await;
        known_to_each_other(&stack).await;
        let more = json!({"channels": ["page:1"]});
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, more).await;
        mila.next("42[\"carillon:welcome\"").await;
        let filling = "x".repeat(15_000);
        for gateway in [0, 1] {
            mila.go_to(stack.gateway(gateway));
            // On a socket of which nothing is known yet: browsers have several, and balancers come from any.
            mila.http = super::polling::http();
            let packet = |id: u32| format!("42{id}[\"publish\",\"page:1\",\"note\",\"{filling}\"]");
            let packets: Vec<String> = (1..=8).map(packet).collect();
            mila.say(&packets.join("\u{1e}")).await;
            for id in 1..=8 {
                let answer = mila.next(&format!("43{id}[")).await;
                assert!(answer.contains("\"ok\""), "{answer}");
            }
        }
        // Who is not known has 64 KiB, and a packet has so many in any case.
        let unknown = Polling::begin(stack.gateway(0)).await;
        assert_eq!(unknown.post(&format!("40{}", "x".repeat(70_000))).await.status(), 413);
        mila.go_to(stack.gateway(0));
        assert_eq!(mila.post(&format!("420[\"ping\",\"{}\"]", "x".repeat(70_000))).await.status(), 413);
    });
}

/// Whichever end ends, or the node in between, the others hear of it.
#[test]
fn i10_a_websocket_through_another_node_ends_with_either_end_and_with_that_node() {
    block_on(async {
        let config = StackConfig { gateways: 3, ..StackConfig::default() };
        let (stack, tenant) = (Stack::start(config).await.unwrap(), "door-tunnel");
        known_to_each_other(&stack).await;
        let of_session = stack.gateway(0);
        let through = async |between: usize| {
            let mut mila = Polling::connect(of_session, &stack, tenant, Value::Null).await;
            mila.next("42[\"carillon:welcome\"").await;
            let more = format!("&sid={}", mila.sid);
            let mut engine = Engine::probe(stack.gateway(between), &more).await;
            // The poll that waits ends, with what there is or with nothing.
            mila.poll().await;
            engine.send("5").await;
            engine.send("421[\"ping\"]").await;
            engine.packet_of("31").await;
            engine
        };
        let end_of = async |mut engine: Engine| loop {
            if let Err(code) = engine.message().await {
                return code;
            }
        };
        let there_are = async |through_one: f64, at_its_node: f64| {
            until("so many WebSockets", PATIENCE, || async {
                let of_others = stack.gateway(1).metric("carillon_socketio_websockets_passed_on").await?;
                let own = of_session.metric("carillon_connections").await?;
                ((of_others, own) == (through_one, at_its_node)).then_some(())
            })
            .await
            .unwrap();
        };
        let engine = through(1).await;
        there_are(1.0, 1.0).await;
        drop(engine);
        there_are(0.0, 0.0).await;

        let (one, other) = (through(1).await, through(2).await);
        let (stopped, code) = tokio::join!(stack.gateway(1).terminate(), end_of(one));
        stopped.unwrap();
        assert_eq!(code, None, "the node in between says nothing in another's name");
        until("the session's node hearing of it", PATIENCE, || async {
            (of_session.metric("carillon_connections").await? == 1.0).then_some(())
        })
        .await
        .unwrap();

        let (stopped, code) = tokio::join!(of_session.terminate(), end_of(other));
        stopped.unwrap();
        assert_eq!(code, Some(CloseCode::Restart.code()), "what the session's node says comes through");
    });
}
