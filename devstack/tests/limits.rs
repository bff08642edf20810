//! Do a tenant's limits hold over all nodes, for connections, events and signals, and only for that tenant?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::socket::{Socket, SocketError, TokenPlace};
use carillon_devstack::stack::{KeyTenant, Stack, StackConfig};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Shared, ask, block_on, claims, client, http, open};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    let config = StackConfig { publishers: 2, ..StackConfig::default() };
    SHARED.stack(async || Stack::start(config).await.unwrap()).await
}

async fn put_as(stack: &Stack, bearer: &str, tenant: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/v1/tenants/{tenant}", stack.publisher(0).url());
    let answer = http().put(url).bearer_auth(bearer).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn limit(stack: &Stack, tenant: &str, limits: Value) {
    let (status, answer) = put_as(stack, stack.api_key(), tenant, json!({"limits": limits})).await;
    assert_eq!(status, 200, "{answer}");
}

/// Publishes so many events in one request; the status, the code and the headers.
async fn post(stack: &Stack, publisher: usize, tenant: &str, events: usize) -> (u16, String, HeaderMap) {
    let url = format!("{}/v1/events", stack.publisher(publisher).url());
    let event = json!({"tenant": tenant, "type": "order.paid", "channel": "order:1"});
    let request = http().post(url).bearer_auth(stack.api_key()).json(&vec![event; events]);
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let answer: Value = answer.json().await.unwrap();
    (status, answer["code"].as_str().unwrap_or_default().to_owned(), headers)
}

/// Waits until both publishers know that a tenant has a limit.
async fn is_known(stack: &Stack, tenant: &str) {
    for publisher in [0, 1] {
        let began = Instant::now();
        while !post(stack, publisher, tenant, 1).await.2.contains_key("ratelimit") {
            assert!(began.elapsed() < PATIENCE, "publisher {publisher} does not know");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).unwrap_or_else(|| panic!("{name} is missing: {headers:?}")).to_str().unwrap()
}

#[test]
fn a_tenants_events_a_second_are_counted_over_all_publishers_and_nobody_elses_are() {
    block_on(async {
        let stack = stack().await;
        assert!(!post(&stack, 0, "counted", 1).await.2.contains_key("ratelimit"), "no limit, no header");
        limit(&stack, "counted", json!({"events_per_second": 10})).await;
        is_known(&stack, "counted").await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let began = Instant::now();
        let (mut taken, mut refused) = (0, None);
        while refused.is_none() {
            // All at once: one after another they might take longer than the limit asks for.
            let posts = (0..60).map(|n| post(&stack, n % 2, "counted", 1));
            for (status, code, headers) in futures_util::future::join_all(posts).await {
                if status == 201 {
                    assert_eq!(header(&headers, "ratelimit-policy"), "\"tenant\";q=10;w=1");
                    assert!(header(&headers, "ratelimit").starts_with("\"tenant\";r="), "{headers:?}");
                    taken += 1;
                } else {
                    assert_eq!((status, &*code), (429, "rate_limited"));
                    assert_eq!(header(&headers, "ratelimit"), "\"tenant\";r=0;t=1");
                    refused.get_or_insert(headers);
                }
            }
        }
        let most = 10.0 + began.elapsed().as_secs_f64() * 10.0 + 1.0;
        assert!(taken >= 10 && f64::from(taken) <= most, "{taken}, at most {most}");
        assert_eq!(header(&refused.expect("some are refused"), "retry-after"), "1");
        // A request that is larger than a second's worth passes when the bucket is full, and not before.
        loop {
            let began = Instant::now();
            // Many at a time: one after another they might ask for less than the limit gives.
            let refused =
                futures_util::future::join_all((0..20).map(|_| post(&stack, 1, "counted", 1))).await;
            if !refused.iter().any(|(status, ..)| *status == 429) {
                continue;
            }
            let status = post(&stack, 1, "counted", 200).await.0;
            // Within a second it is not full again; a busy machine may take longer.
            if began.elapsed() < Duration::from_millis(900) {
                assert_eq!(status, 429);
                break;
            }
        }
        assert_eq!(post(&stack, 0, "other", 100).await.0, 201, "another tenant");
        let began = Instant::now();
        while post(&stack, 1, "counted", 200).await.0 != 201 {
            assert!(began.elapsed() < PATIENCE, "it is never full");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(post(&stack, 0, "counted", 1).await.0, 429, "it is in debt for nineteen seconds");
        limit(&stack, "counted", Value::Null).await;
        let began = Instant::now();
        while post(&stack, 0, "counted", 1).await.2.contains_key("ratelimit") {
            assert!(began.elapsed() < PATIENCE);
        }
        assert_eq!(post(&stack, 0, "counted", 100).await.0, 201);
    });
}

/// Comes in as soon as there is room.
async fn gets_in(stack: &Stack, gateway: usize, tenant: &str, user: &str) -> Socket {
    let began = Instant::now();
    loop {
        match Socket::open(&client(stack, stack.gateway(gateway), &claims(tenant, user))).await {
            Ok((socket, _)) => return socket,
            Err(SocketError::Refused { status: 429, code, .. }) if began.elapsed() < PATIENCE => {
                assert_eq!(code, "too_many_connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_tenants_connections_are_counted_over_all_nodes() {
    block_on(async {
        let stack = stack().await;
        limit(&stack, "crowded", json!({"connections": 3})).await;
        let enter = async |gateway: usize, place: TokenPlace| {
            let wanted = client(&stack, stack.gateway(gateway), &claims("crowded", "mila")).place(place);
            let mut socket = Socket::connect(&wanted).await?;
            let first = socket.next_frame(PATIENCE).await?;
            assert!(first.is("welcome"), "{first:?}");
            Ok::<_, SocketError>(socket)
        };
        let mut here = Vec::new();
        for gateway in [0, 1, 0] {
            here.push(enter(gateway, TokenPlace::Header).await.unwrap());
        }
        for gateway in [0, 1, 0, 1] {
            match enter(gateway, TokenPlace::Header).await.err().unwrap() {
                SocketError::Refused { status, code, .. } => {
                    assert_eq!((status, &*code), (429, "too_many_connections"));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(enter(gateway, TokenPlace::FirstFrame).await.err().unwrap().close_code(), Some(4429));
        }
        open(&stack, stack.gateway(0), &claims("roomy", "mila")).await.0.close().await;
        // Whoever goes makes room, on every node.
        here.pop().unwrap().close().await;
        let back = gets_in(&stack, 1, "crowded", "mila").await;
        // Fewer than there are: nobody is sent away, and nobody comes in.
        limit(&stack, "crowded", json!({"connections": 1})).await;
        let began = Instant::now();
        while enter(0, TokenPlace::Header).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(5), "the new limit is followed");
        }
        here.push(back);
        for mut socket in here {
            assert!(ask(&mut socket, json!({"type": "ping", "id": 1})).await.is("pong"));
            socket.close().await;
        }
        gets_in(&stack, 0, "crowded", "mila").await.close().await;
    });
}

/// Sends signals in made-up channels until one is refused, and all of them; how many were passed on, and the last refusal.
///
/// Ten at a time: on a busy machine one after another they might be fewer than the limit gives. And ten more a moment later: what was
/// spent on credit is settled with Redis beside it.
async fn signals(socket: &mut Socket, count: usize) -> (usize, Option<Value>) {
    let (mut passed, mut refused) = (0, None);
    let mut sent = 0;
    while sent < count || refused.is_none() {
        let part = sent..sent + 10;
        for n in part.clone() {
            let frame = json!({"type": "publish", "id": n, "channel": format!("page:{n}"), "event": {"type": "cursor.moved"}});
            socket.send_json(&frame).await.unwrap();
        }
        for n in part {
            let answer = socket.next_frame(PATIENCE).await.unwrap();
            assert_eq!(answer.0["id"], n, "{answer:?}");
            if answer.is("ok") {
                passed += 1;
            } else {
                assert_eq!(answer.code(), Some("rate_limited"), "{answer:?}");
                refused = Some(answer.0);
            }
        }
        sent += 10;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (passed, refused)
}

async fn open_pages(stack: &Stack, tenant: &str, rate: u32) {
    let url = format!("{}/v1/channel-rules/page:%7Bpage%7D?tenant={tenant}", stack.publisher(0).url());
    let anyone = json!(["anyone"]);
    let rule = json!({"subscribe": anyone, "publish": anyone, "signal": anyone, "rate": rate});
    let answer = http().put(url).json(&rule).bearer_auth(stack.api_key()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_tenants_signals_are_counted_over_all_nodes_and_a_person_evades_no_rate_by_made_up_channels() {
    block_on(async {
        let config = StackConfig::default().gateway_var("CARILLON_FRAMES_PER_SECOND", 1_000);
        let stack = Stack::start(config).await.unwrap();
        open_pages(&stack, "loud", 1_000).await;
        limit(&stack, "loud", json!({"signals_per_second": 20})).await;
        let (mut one, _) = open(&stack, stack.gateway(0), &claims("loud", "mila")).await;
        let (mut other, _) = open(&stack, stack.gateway(1), &claims("loud", "jan")).await;
        let began = Instant::now();
        let ((first, refused), (second, _)) = tokio::join!(signals(&mut one, 300), signals(&mut other, 300));
        let seconds = began.elapsed().as_secs_f64();
        // Each node spends one on credit.
        let most = 20.0 + seconds * 20.0 + 2.0 + 1.0;
        let all = first + second;
        assert!(all >= 10 && all as f64 <= most, "{first} and {second} in {seconds} s");
        let refused = refused.unwrap();
        assert!(refused["retry_ms"].as_u64().is_some_and(|ms| (1..=1_100).contains(&ms)), "{refused}");
        // Who types sends a signal with each start that is passed on; one that is merged is none.
        open_pages(&stack, "typing", 1_000).await;
        limit(&stack, "typing", json!({"signals_per_second": 2})).await;
        let pages = (0..20).map(|n| format!("page:{n}"));
        let wanted = client(&stack, stack.gateway(0), &claims("typing", "mila")).channels(pages);
        let (mut mila, _) = Socket::open(&wanted).await.unwrap();
        let mut typing = async |page: usize| {
            let frame =
                json!({"type": "typing", "id": page, "channel": format!("page:{page}"), "state": "start"});
            ask(&mut mila, frame).await
        };
        let began = Instant::now();
        let mut passed = 0;
        for page in 0..20 {
            let answer = typing(page).await;
            assert!(answer.is("ok") || answer.code() == Some("rate_limited"), "{answer:?}");
            passed += u32::from(answer.is("ok"));
        }
        let most = 2.0 + 2.0 * began.elapsed().as_secs_f64() + 2.0;
        assert!(passed >= 2 && f64::from(passed) <= most, "{passed}, at most {most}");
        // Without a limit of the tenant a person has eight times the rule's rate over all channels.
        open_pages(&stack, "evading", 1).await;
        let (mut mila, _) = open(&stack, stack.gateway(0), &claims("evading", "mila")).await;
        let began = Instant::now();
        let (passed, refused) = signals(&mut mila, 400).await;
        let most = 8.0 + began.elapsed().as_secs_f64() * 8.0 + 1.0;
        assert!(passed >= 8 && passed as f64 <= most, "{passed}, at most {most}");
        assert!(refused.unwrap()["message"].as_str().unwrap().contains("page:{page}"));
        stack.stop().await.unwrap();
    });
}

/// Returns in a day, by the database's clock, that does not end while a test counts: a few minutes before midnight it waits for the next.
async fn in_one_day(stack: &Stack) {
    const LONG_ENOUGH_S: u64 = 180;
    let rest =
        "select ceil(extract(epoch from date_trunc('day', now(), 'UTC') + interval '1 day' - now()))::bigint";
    while stack.sql(rest).await.unwrap().trim().parse::<u64>().unwrap() < LONG_ENOUGH_S {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn a_tenants_notices_a_day_are_counted_over_all_publishers() {
    block_on(async {
        let stack = stack().await;
        in_one_day(&stack).await;
        let notice = async |publisher: usize| {
            let url = format!("{}/v1/notices", stack.publisher(publisher).url());
            let body = json!({"tenant": "noticed", "title": "Shift moved", "audience": {"users": ["mila"]}});
            let answer = http().post(url).bearer_auth(stack.api_key()).json(&body).send().await.unwrap();
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let answer: Value = answer.json().await.unwrap();
            (status, answer["code"].as_str().unwrap_or_default().to_owned(), headers)
        };
        assert_eq!(notice(0).await.0, 201, "no limit yet");
        limit(&stack, "noticed", json!({"notices_per_day": 20})).await;
        let mut taken = 1;
        // Each publisher follows the limit within a second.
        for publisher in [0, 1] {
            loop {
                let (status, _, headers) = notice(publisher).await;
                assert_eq!(status, 201, "{taken} of 20");
                taken += 1;
                if headers.contains_key("ratelimit") {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        while taken < 20 {
            assert_eq!(notice(taken % 2).await.0, 201, "{taken} of 20");
            taken += 1;
        }
        for publisher in [0, 1, 0] {
            let (status, code, headers) = notice(publisher).await;
            assert_eq!((status, &*code), (429, "too_many_notices"));
            assert_eq!(header(&headers, "ratelimit-policy"), "\"notices\";q=20;w=86400");
            let seconds: u64 = header(&headers, "retry-after").parse().unwrap();
            assert!((1..=86_400).contains(&seconds));
        }
    });
}

#[test]
fn without_redis_each_node_has_its_share() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        limit(&stack, "deaf", json!({"events_per_second": 10, "connections": 4})).await;
        let began = Instant::now();
        while !post(&stack, 0, "deaf", 1).await.2.contains_key("ratelimit") {
            assert!(began.elapsed() < PATIENCE);
        }
        // Both gateways have seen each other.
        for gateway in [0, 1] {
            let reached = async || stack.gateway(gateway).metric("carillon_fleet_nodes").await == Some(2.0);
            let began = Instant::now();
            while !reached().await {
                assert!(began.elapsed() < PATIENCE);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            open(&stack, stack.gateway(gateway), &claims("deaf", "mila")).await.0.close().await;
            wire::connections_become(stack.gateway(gateway), 0.0).await;
        }
        stack.redis().process().kill().unwrap();
        let mut here = Vec::new();
        let mut refused = 0;
        for n in 0..8 {
            match Socket::open(&client(&stack, stack.gateway(n % 2), &claims("deaf", "mila"))).await {
                Ok((socket, _)) => here.push(socket),
                Err(SocketError::Refused { status: 429, .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((here.len(), refused), (4, 4), "two on each node");
        let mut taken = 0;
        let began = Instant::now();
        for _ in 0..40 {
            taken += u32::from(post(&stack, 0, "deaf", 1).await.0 == 201);
        }
        let most = 10.0 + began.elapsed().as_secs_f64() * 10.0 + 1.0;
        assert!(taken >= 5 && f64::from(taken) <= most, "{taken}, at most {most}");
        stack.stop().await.unwrap();
    });
}

#[test]
fn who_may_set_limits_and_what_is_none_is_told() {
    block_on(async {
        let stack = stack().await;
        let of_tenant = stack.create_api_key(KeyTenant::One("asked"), &["admin", "publish"]).await.unwrap();
        let (status, answer) =
            put_as(&stack, &of_tenant, "asked", json!({"limits": {"connections": 5}})).await;
        assert_eq!((status, &answer["code"]), (403, &json!("missing_scope")), "{answer}");
        let limits = json!({"connections": 5, "events_per_second": 7, "signals_per_second": null, "notices_per_day": 9});
        limit(&stack, "asked", limits.clone()).await;
        let (status, answer) = put_as(&stack, &of_tenant, "asked", json!({})).await;
        assert_eq!((status, &answer["limits"]), (200, &limits), "they see it");
        for (bad, pointer) in [
            (json!(5), "/limits"),
            (json!({"connections": 0}), "/limits/connections"),
            (json!({"events_per_second": "many"}), "/limits/events_per_second"),
            (json!({"signals_per_second": 1.5}), "/limits/signals_per_second"),
            (json!({"connections": 1_000_001}), "/limits/connections"),
            (json!({"notices": 5}), "/limits/notices"),
            (json!({"notices_per_day": -1}), "/limits/notices_per_day"),
        ] {
            let (status, answer) = put_as(&stack, stack.api_key(), "asked", json!({"limits": bad})).await;
            assert_eq!((status, &answer["code"]), (422, &json!("invalid_settings")), "{answer}");
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        let (_, answer) = put_as(&stack, stack.api_key(), "asked", json!({"limits": {}})).await;
        assert_eq!(answer["limits"], Value::Null);
    });
}
