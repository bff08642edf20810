//! Do announcements arrive, in order, at those who asked for them and at nobody else?
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{PATIENCE, Redis, health, interruption, listen, message, next, tenant, up};
use bytes::Bytes;
use carillon_backplane::bus::{
    Announcer, BusConfig, BusError, BusEvent, BusHealth, BusMode, DownCause, Interruption, Listener,
};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

#[tokio::test]
async fn i5_two_tenants_get_their_own_announcements_in_order_and_nobody_elses() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    let (a, b, other) = (tenant("acme"), tenant("bell"), tenant("other"));
    listener.subscribe(&a).await.unwrap();
    listener.subscribe(&b).await.unwrap();
    let announcer = Announcer::connect(&redis.config()).unwrap();
    announcer.health_changes().wait_for(BusHealth::is_up).await.unwrap();
    for n in 0..2_000 {
        for tenant in [&a, &b, &other] {
            announcer.announce(tenant, Bytes::from(format!("{tenant} {n}")));
        }
    }
    let mut counts = HashMap::from([(a, 0), (b, 0)]);
    while counts.values().any(|&count| count < 2_000) {
        let (tenant, payload) = message(&mut events).await;
        let count = counts.get_mut(&tenant).expect("a tenant nobody asked for");
        assert_eq!(payload, format!("{tenant} {count}"));
        *count += 1;
    }
    announcer.close().await;
    assert_eq!(events.try_recv(), None);
}

#[tokio::test]
async fn i5_names_that_look_alike_do_not_mix() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    let announcer = Announcer::connect(&redis.config()).unwrap();
    let longest = "a".repeat(63);
    let names = ["a", "a-", "a_", "0", "a-log", "aa", longest.as_str()];
    for name in names {
        listener.subscribe(&tenant(name)).await.unwrap();
    }
    for name in names {
        announcer.announce(&tenant(name), Bytes::copy_from_slice(name.as_bytes()));
    }
    for _ in names {
        let (tenant, payload) = message(&mut events).await;
        assert_eq!(tenant.as_str(), payload);
    }
    announcer.close().await;
    assert_eq!(events.try_recv(), None);
}

#[tokio::test]
async fn payloads_pass_unchanged_whatever_their_bytes() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    let a = tenant("a");
    listener.subscribe(&a).await.unwrap();
    let announcer = Announcer::connect(&redis.config()).unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    for payload in [Vec::new(), b"\r\n".to_vec(), every_byte, vec![b'x'; 3_000_000]] {
        let payload = Bytes::from(payload);
        announcer.announce(&a, payload.clone());
        assert_eq!(next(&mut events).await, BusEvent::Message { tenant: a.clone(), payload });
    }
}

#[tokio::test]
async fn an_unsubscribed_tenant_is_silent_until_it_is_wanted_again() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    let (a, b) = (tenant("a"), tenant("b"));
    listener.subscribe(&a).await.unwrap();
    listener.unsubscribe(&a);
    // Confirmed behind the UNSUBSCRIBE of the same connection.
    listener.subscribe(&b).await.unwrap();
    assert_eq!(redis.command("PUBLISH t:{a}:log x"), ":0");
    listener.subscribe(&a).await.unwrap();
    listener.subscribe(&a).await.unwrap();
    assert_eq!(redis.command("PUBLISH t:{a}:log y"), ":1");
    assert_eq!(message(&mut events).await, (a, "y".into()));
}

#[tokio::test]
async fn subscribed_means_that_the_very_next_publish_arrives() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    for n in 0..300 {
        let tenant = tenant(&n.to_string());
        listener.subscribe(&tenant).await.unwrap();
        assert_eq!(redis.command(&format!("PUBLISH t:{{{n}}}:log x")), ":1");
        assert_eq!(message(&mut events).await.0, tenant);
    }
}

#[tokio::test]
async fn i9_a_burst_arrives_whole_or_is_marked() {
    const BURST: usize = 30_000;
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    let a = tenant("a");
    listener.subscribe(&a).await.unwrap();
    let port = redis.port;
    let blast = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answers = std::thread::spawn(move || {
            let mut answers = [0; 4 * BURST];
            reader.read_exact(&mut answers).unwrap();
        });
        let commands: String = (0..BURST).map(|n| format!("PUBLISH t:{{a}}:log {n:0256}\r\n")).collect();
        stream.write_all(commands.as_bytes()).unwrap();
        answers.join().unwrap();
    });
    let (mut received, mut interrupted) = (0, false);
    // Whoever sees the last number or a mark knows everything; a burst whose end is lost must be marked.
    while received < BURST && !interrupted {
        match next(&mut events).await {
            BusEvent::Message { payload, .. } => {
                let number: usize = std::str::from_utf8(&payload).unwrap().parse().unwrap();
                assert_eq!(number, received, "a loss without a mark");
                received += 1;
            }
            BusEvent::Interrupted { .. } => interrupted = true,
        }
    }
    blast.await.unwrap();
}

#[tokio::test]
async fn i10_a_gateway_that_does_not_read_gets_a_mark_and_then_new_messages() {
    let redis = Redis::start();
    let config = BusConfig { queue_messages: 100, ..redis.config() };
    let (listener, mut events) = listen(&config).await;
    let a = tenant("a");
    listener.subscribe(&a).await.unwrap();
    for n in 0..300 {
        redis.command(&format!("PUBLISH t:{{a}}:log {n}"));
    }
    for n in 0..100 {
        assert_eq!(message(&mut events).await.1, n.to_string());
    }
    assert_eq!(next(&mut events).await, BusEvent::Interrupted { cause: Interruption::Overflow });
    // Later messages may still be on their way in.
    tokio::time::timeout(PATIENCE, async {
        loop {
            redis.command("PUBLISH t:{a}:log new");
            if message(&mut events).await.1 == "new" {
                break;
            }
        }
    })
    .await
    .expect("new messages arrive again");
    assert!(listener.health().is_up());
}

#[tokio::test]
async fn the_documented_acl_is_enough() {
    let redis = Redis::start();
    let rights = "-@all +hello +client +ping +subscribe +unsubscribe +publish";
    redis.command(&format!("ACL SETUSER gw on >s%cret resetchannels &t:* {rights}"));
    let url = format!("redis://gw:s%25cret@127.0.0.1:{}/3", redis.port);
    let config = BusConfig::new(url, BusMode::Standalone, "t");
    let (listener, mut events) = listen(&config).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    let announcer = Announcer::connect(&config).unwrap();
    announcer.announce(&tenant("a"), Bytes::from_static(b"x"));
    assert_eq!(message(&mut events).await.1, "x");
}

#[tokio::test]
async fn a_refused_subscription_is_never_taken_for_a_confirmed_one() {
    let redis = Redis::start();
    redis.command("ACL SETUSER gw on >pw resetchannels &other:* +@all");
    let url = format!("redis://gw:pw@127.0.0.1:{}", redis.port);
    let (listener, _events) = Listener::connect(&BusConfig::new(url, BusMode::Standalone, "t")).unwrap();
    health(&listener, |h| matches!(h, BusHealth::Down { cause: DownCause::Refused, .. })).await;
    assert!(matches!(listener.subscribe(&tenant("a")).await, Err(BusError::Down)));
    // Repaired by the operator: it heals by itself.
    redis.command("ACL SETUSER gw allchannels");
    up(&listener).await;
    assert_eq!(redis.command("PUBLISH t:{a}:log x"), ":1");
}

#[tokio::test]
async fn a_wrong_password_is_told_apart_and_a_bad_url_is_refused_without_showing_it() {
    let redis = Redis::start_with(&["--requirepass", "right"]);
    let url = format!("redis://:wrong@127.0.0.1:{}", redis.port);
    let (listener, _events) = Listener::connect(&BusConfig::new(url, BusMode::Standalone, "t")).unwrap();
    health(&listener, |h| matches!(h, BusHealth::Down { cause: DownCause::Refused, .. })).await;
    for url in
        ["redis://u:hunter2@", "redis://u:hunter2@h:99999", "redis://u:hunter2@[::", "http://u:hunter2@h"]
    {
        for mode in [BusMode::Standalone, BusMode::Cluster] {
            let config = BusConfig::new(url, mode, "t");
            let Err(BusError::Config(text)) = Announcer::connect(&config).map(drop) else {
                panic!("{url} passed")
            };
            assert!(text.contains("redis url") && !text.contains("hunter2"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_dropped_listener_ends_its_events_and_its_connections() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    interruption_free(&mut events);
    drop(listener);
    assert_eq!(tokio::time::timeout(PATIENCE, events.recv()).await.unwrap(), None);
    bus_redis::eventually("no subscriber left", || redis.command("PUBLISH t:{a}:log x") == ":0").await;
}

fn interruption_free(events: &mut carillon_backplane::bus::BusEvents) {
    assert_eq!(events.try_recv(), None);
}

#[tokio::test]
async fn the_first_connection_is_told_like_every_other() {
    let redis = Redis::start();
    let (listener, mut events) = Listener::connect(&redis.config()).unwrap();
    interruption(&mut events).await;
    up(&listener).await;
}
