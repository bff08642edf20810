//! How many may come in, and do places come back?

use std::net::SocketAddr;

use carillon_devstack::stack::Stack;
use carillon_devstack::wait;
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use crate::wire::raw::{Answer, CLOSE, Raw, Seen, handshake};
use crate::wire::{PATIENCE, block_on, claims, connections_become, token};
use crate::{NARROW, PLAIN, SCEPTIC, stack};

/// Its few places are one test's at a time.
async fn narrow_alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Somebody behind the load balancer, at this address.
async fn come(addr: SocketAddr, token: &str, from: &str) -> Result<Raw, Answer> {
    let bearer = format!("Bearer {token}");
    Raw::upgrade(addr, "/v1/ws", &[("Authorization", &bearer), ("X-Forwarded-For", from)]).await
}

fn assert_full(outcome: Result<Raw, Answer>, status: u16, code: &str) {
    let answer = outcome.expect_err("there is no room");
    answer.assert_problem(status, code);
    let wait: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).unwrap_or(0);
    assert!((1..=60).contains(&wait), "{answer:?}");
}

/// Comes in as soon as there is room.
async fn come_when_there_is_room(addr: SocketAddr, token: &str, from: &str) -> Raw {
    let what = format!("a place for {from} being given back");
    wait::until(what, PATIENCE, || async { come(addr, token, from).await.ok() }).await.unwrap()
}

fn of(stack: &Stack, user: &str) -> String {
    token(stack, &claims("narrow", user))
}

#[test]
fn i10_an_address_a_person_and_a_node_have_limits_and_every_place_comes_back() {
    block_on(async {
        let (_alone, stack) = (narrow_alone().await, stack().await);
        let gateway = stack.gateway(NARROW);
        let addr = gateway.addr();
        let (anna, bob, cleo) = (of(&stack, "anna"), of(&stack, "bob"), of(&stack, "cleo"));

        // Whoever is refused takes no place.
        for _ in 0..5 {
            assert_eq!(come(addr, "a.b.c", "203.0.113.1").await.unwrap_err().status, 401);
        }
        let mut first = come(addr, &anna, "203.0.113.1").await.unwrap();
        let second = come(addr, &anna, "203.0.113.1").await.unwrap();
        assert_full(come(addr, &bob, "203.0.113.1").await, 429, "too_many_connections");
        assert_full(come(addr, &anna, "203.0.113.2").await, 429, "too_many_connections");
        assert_full(come(addr, &bob, "9.9.9.9, 203.0.113.1").await, 429, "too_many_connections");
        assert_full(come(addr, &bob, "203.0.113.1, 127.0.0.1").await, 429, "too_many_connections");
        // The same name in another tenant is another person.
        let namesake = token(&stack, &claims("narrow-too", "anna"));
        let third = come(addr, &namesake, "203.0.113.2").await.unwrap();
        let fourth = come(addr, &bob, "2001:db8::7").await.unwrap();
        assert_full(come(addr, &cleo, "203.0.113.3").await, 503, "over_capacity");

        // A farewell gives the place back, and so does a cable that is pulled.
        first.frame(CLOSE, 1000u16.to_be_bytes()).await;
        assert_eq!(first.closed().await.0, 1000);
        let first = come_when_there_is_room(addr, &anna, "203.0.113.1").await;
        assert_full(come(addr, &cleo, "203.0.113.3").await, 503, "over_capacity");
        second.reset();
        let second = come_when_there_is_room(addr, &anna, "203.0.113.1").await;
        drop((third, fourth));
        let third = come_when_there_is_room(addr, &cleo, "203.0.113.3").await;

        // A person who is known only by the first frame.
        let mut late = Raw::upgrade(addr, "/v1/ws", &[("X-Forwarded-For", "203.0.113.4")]).await;
        if late.is_err() {
            late = wait::until("room", PATIENCE, || async {
                Raw::upgrade(addr, "/v1/ws", &[("X-Forwarded-For", "203.0.113.4")]).await.ok()
            })
            .await
            .map_err(|timeout| panic!("{timeout}"));
        }
        let mut late = late.unwrap();
        late.text(&json!({"type": "auth", "token": anna}).to_string()).await;
        let end = late.seen().await;
        assert!(matches!(end, Seen::Close(4429, _)), "{end:?}");

        drop((first, second, third, late));
        connections_become(gateway, 0.0).await;
        let all =
            [("203.0.113.1", &anna), ("203.0.113.1", &anna), ("203.0.113.2", &bob), ("203.0.113.2", &bob)];
        let mut here = Vec::new();
        for (from, who) in all {
            here.push(come_when_there_is_room(addr, who, from).await);
        }
        drop(here);
        connections_become(gateway, 0.0).await;
    });
}

#[test]
fn i10_all_addresses_of_an_ipv6_64_have_one_limit_and_the_next_64_another() {
    block_on(async {
        let (_alone, stack) = (narrow_alone().await, stack().await);
        let gateway = stack.gateway(NARROW);
        let addr = gateway.addr();
        let [anna, bob, cleo] = ["anna", "bob", "cleo"].map(|user| of(&stack, user));
        let first = come(addr, &anna, "2001:db8:0:1::1").await.unwrap();
        let second = come(addr, &bob, "2001:db8:0:1:ffff:ffff:ffff:ffff").await.unwrap();
        for same in ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:1:2:3:4"] {
            assert_full(come(addr, &cleo, same).await, 429, "too_many_connections");
        }
        let neighbour = come(addr, &cleo, "2001:db8:0:2::1").await.unwrap();
        drop(first);
        let first = come_when_there_is_room(addr, &cleo, "2001:db8:0:1:a::").await;
        drop((first, second, neighbour));
        connections_become(gateway, 0.0).await;
    });
}

#[test]
fn a_proxy_nobody_trusts_cannot_say_where_a_client_comes_from() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(SCEPTIC).addr();
        let mut here = Vec::new();
        for (user, from) in [("anna", "203.0.113.1"), ("bob", "203.0.113.2")] {
            here.push(come(addr, &of(&stack, user), from).await.unwrap());
        }
        for from in ["203.0.113.3", "10.0.0.1", "127.0.0.2", "nonsense", ""] {
            assert_full(come(addr, &of(&stack, "cleo"), from).await, 429, "too_many_connections");
        }
        drop(here);
        come_when_there_is_room(addr, &of(&stack, "cleo"), "203.0.113.1").await;
    });
}

#[test]
fn i10_windows_for_clients_that_keep_their_context_are_bounded_and_further_ones_talk_uncompressed() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        let bearer = format!("Bearer {}", token(&stack, &claims("windows", "anna")));
        // As Netty offers it.
        let offer = "permessage-deflate,deflate-frame,x-webkit-deflate-frame";
        // Nobody knows yet who this is: there are windows, and none for it.
        let mut unknown = Raw::connect(gateway.addr()).await;
        unknown.send(handshake("/v1/ws", &[("Sec-WebSocket-Extensions", offer)])).await;
        let answer = unknown.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None), "{answer:?}");
        let first = json!({"type": "auth", "token": token(&stack, &claims("windows", "anna"))});
        unknown.text(&first.to_string()).await;
        assert_eq!(unknown.json().await["type"], "welcome");
        let mut held = Vec::new();
        let mut agreed = 0;
        for _ in 0..300 {
            let mut raw = Raw::connect(gateway.addr()).await;
            let headers = [("Authorization", bearer.as_str()), ("Sec-WebSocket-Extensions", offer)];
            raw.send(handshake("/v1/ws", &headers)).await;
            let answer = raw.answer().await.unwrap();
            assert_eq!(answer.status, 101, "nobody is refused for want of a window: {answer:?}");
            match answer.header("sec-websocket-extensions") {
                Some(told) => {
                    assert_eq!(told, "permessage-deflate; server_no_context_takeover");
                    assert_eq!(agreed, held.len(), "as long as there are any");
                    agreed += 1;
                }
                None => assert_eq!(raw.json().await["type"], "welcome"),
            }
            held.push(raw);
        }
        assert_eq!(agreed, 256, "an address leaves half of them to others");
        let other = [("Authorization", bearer.as_str()), ("Sec-WebSocket-Extensions", "permessage-deflate")];
        let mut raw = Raw::connect(gateway.addr()).await;
        raw.send(handshake("/v1/ws", &other)).await;
        let told = raw.answer().await.unwrap().header("sec-websocket-extensions").map(str::to_owned);
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(told.as_deref(), Some(both), "who needs none has compression all the same");
    });
}
