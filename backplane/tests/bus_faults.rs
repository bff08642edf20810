//! What does a gateway see when Redis misbehaves? I9: a loss is always marked, and it heals by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{PATIENCE, Redis, health, interruption, listen, message, next, tenant, up};
use carillon_backplane::bus::{
    Announcer, BusConfig, BusError, BusEvent, BusEvents, BusHealth, BusMode, DownCause, Listener, Timing,
};
use carillon_devstack::chaos::ChaosProxy;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// What a gateway saw: numbers received, and `None` where it was interrupted.
async fn history(events: &mut BusEvents, last: u32) -> Vec<Option<u32>> {
    let mut seen = Vec::new();
    loop {
        match next(events).await {
            BusEvent::Message { payload, .. } => {
                let number = std::str::from_utf8(&payload).unwrap().parse().unwrap();
                seen.push(Some(number));
                if number == last {
                    return seen;
                }
            }
            BusEvent::Interrupted { .. } => seen.push(None),
        }
    }
}

#[tokio::test]
async fn i9_every_loss_across_killed_connections_is_marked() {
    const LAST: u32 = u32::MAX;
    let redis = Arc::new(Redis::start());
    let (listener, mut events) = listen(&redis.config()).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    let quiet = Arc::new(AtomicBool::new(false));
    // The load: numbers without a pause, past connections that die.
    let load = {
        let (redis, quiet) = (Arc::clone(&redis), Arc::clone(&quiet));
        tokio::task::spawn_blocking(move || {
            let mut number = 0;
            while !quiet.load(Ordering::Relaxed) {
                redis.command(&format!("PUBLISH t:{{a}}:log {number}"));
                number += 1;
            }
            number
        })
    };
    let reader = tokio::spawn(async move { history(&mut events, LAST).await });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        redis.kill_subscribers();
    }
    quiet.store(true, Ordering::Relaxed);
    let sent = load.await.unwrap();
    bus_redis::eventually("subscribed again", || {
        redis.command(&format!("PUBLISH t:{{a}}:log {LAST}")) == ":1"
    })
    .await;

    let seen = tokio::time::timeout(PATIENCE, reader).await.unwrap().unwrap();
    let numbers: Vec<u32> = seen.iter().flatten().copied().collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order");
    let received = numbers.len() - 1;
    assert!(received < sent as usize, "the fault did not happen: nothing was lost");
    let mut before: Option<u32> = None;
    let mut gaps = Vec::new();
    for (at, number) in seen.iter().enumerate().filter_map(|(at, seen)| seen.map(|number| (at, number))) {
        let expected = before.map_or(0, |before| before + 1);
        if number != expected && number != LAST {
            gaps.push((at, expected..number));
        }
        before = Some(number);
    }
    // Subscribed comes a moment before confirmed, so new numbers may precede the mark; how many, the machine decides. It comes
    // before the next loss.
    for (place, (at, lost)) in gaps.iter().enumerate() {
        let next = gaps.get(place + 1).map_or(seen.len(), |(next, _)| next.saturating_sub(2));
        assert!(seen[at.saturating_sub(2)..next].contains(&None), "lost {lost:?} without a mark");
    }
}

#[tokio::test]
async fn a_frozen_redis_is_noticed_within_three_seconds_and_heals_when_it_thaws() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    redis.freeze();
    let frozen = Instant::now();
    health(&listener, |h| !h.is_up()).await;
    assert!(frozen.elapsed() < Duration::from_secs(3), "noticed after {:?}", frozen.elapsed());
    assert!(
        matches!(listener.health(), BusHealth::Down { cause: DownCause::Silent, .. }),
        "{:?}",
        listener.health()
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!listener.health().is_up());
    redis.thaw();
    up(&listener).await;
    interruption(&mut events).await;
    assert_eq!(redis.command("PUBLISH t:{a}:log x"), ":1");
    assert_eq!(message(&mut events).await.1, "x");
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_gets_every_subscription_again() {
    let mut redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    let listener = Arc::new(listener);
    let tenants: Vec<_> = (0..1_000).map(|n| tenant(&n.to_string())).collect();
    let subscribing: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            let (listener, tenant) = (Arc::clone(&listener), tenant.clone());
            tokio::spawn(async move { listener.subscribe(&tenant).await })
        })
        .collect();
    for subscribed in subscribing {
        subscribed.await.unwrap().unwrap();
    }
    redis.crash();
    health(&listener, |h| !h.is_up()).await;
    redis.restart();
    interruption(&mut events).await;
    up(&listener).await;
    for tenant in &tenants {
        assert_eq!(redis.command(&format!("PUBLISH t:{{{tenant}}}:log x")), ":1", "{tenant}");
    }
    for tenant in &tenants {
        assert_eq!(&message(&mut events).await.0, tenant);
    }
}

#[tokio::test]
async fn a_wish_while_redis_is_down_fails_at_once_and_comes_true_later() {
    let mut redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    redis.crash();
    health(&listener, |h| !h.is_up()).await;
    let asked = Instant::now();
    assert!(matches!(listener.subscribe(&tenant("a")).await, Err(BusError::Down)));
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    redis.restart();
    interruption(&mut events).await;
    up(&listener).await;
    assert_eq!(redis.command("PUBLISH t:{a}:log x"), ":1");
    assert_eq!(message(&mut events).await.1, "x");
    listener.subscribe(&tenant("a")).await.unwrap();
}

#[tokio::test]
async fn a_wish_that_is_waiting_when_redis_freezes_fails_in_time() {
    let redis = Redis::start();
    let (listener, mut events) = listen(&redis.config()).await;
    redis.freeze();
    let asked = Instant::now();
    assert!(matches!(listener.subscribe(&tenant("a")).await, Err(BusError::Down)));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    redis.thaw();
    interruption(&mut events).await;
    up(&listener).await;
    assert_eq!(redis.command("PUBLISH t:{a}:log x"), ":1");
}

#[tokio::test]
async fn redis_may_start_after_the_gateway() {
    let mut redis = Redis::start();
    redis.crash();
    let (listener, mut events) = Listener::connect(&redis.config()).unwrap();
    assert!(matches!(listener.subscribe(&tenant("a")).await, Err(BusError::Down)));
    health(&listener, |h| matches!(h, BusHealth::Down { cause: DownCause::Unreachable, .. })).await;
    redis.restart();
    up(&listener).await;
    interruption(&mut events).await;
    assert_eq!(redis.command("PUBLISH t:{a}:log x"), ":1");
}

#[tokio::test]
async fn wishes_and_farewells_during_an_outage_end_as_last_said() {
    let mut redis = Redis::start();
    let (listener, _events) = listen(&redis.config()).await;
    listener.subscribe(&tenant("stays")).await.unwrap();
    listener.subscribe(&tenant("leaves")).await.unwrap();
    redis.crash();
    health(&listener, |h| !h.is_up()).await;
    listener.unsubscribe(&tenant("leaves"));
    let _ = listener.subscribe(&tenant("comes")).await;
    redis.restart();
    up(&listener).await;
    for (name, subscribers) in [("stays", ":1"), ("leaves", ":0"), ("comes", ":1")] {
        assert_eq!(redis.command(&format!("PUBLISH t:{{{name}}}:log x")), subscribers, "{name}");
    }
}

/// Passes connections on to the port it holds when they are made; those already made stay where they are.
async fn switchboard(target: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.load(Ordering::Relaxed);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    port
}

/// Two servers behind one address, as after a failover, and a listener that began on the first.
async fn after_a_failover(probe: Duration) -> (Redis, Redis, Listener, BusEvents) {
    let (old, new) = (Redis::start(), Redis::start());
    let target = Arc::new(AtomicU16::new(old.port));
    let port = switchboard(Arc::clone(&target)).await;
    // Longer than a busy machine holds a healthy answer up.
    let timing = Timing { probe, probe_answer: Duration::from_secs(2), ..Timing::default() };
    let url = format!("redis://127.0.0.1:{port}");
    let config = BusConfig { timing, ..BusConfig::new(url, BusMode::Standalone, "t") };
    let (listener, events) = listen(&config).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    target.store(new.port, Ordering::Relaxed);
    (old, new, listener, events)
}

#[tokio::test]
async fn a_subscription_on_a_server_nobody_publishes_to_any_more_is_found_deaf() {
    let (old, new, listener, mut events) = after_a_failover(Duration::from_millis(300)).await;
    interruption(&mut events).await;
    up(&listener).await;
    assert_eq!(new.command("PUBLISH t:{a}:log x"), ":1");
    assert_eq!(message(&mut events).await.1, "x");
    bus_redis::eventually("the old server is left", || old.command("PUBLISH t:{a}:log x") == ":0").await;
}

#[tokio::test]
async fn without_the_probe_a_deaf_subscription_looks_healthy() {
    let (old, new, listener, mut events) = after_a_failover(Duration::from_secs(3_600)).await;
    // Longer than the PINGs and any reconnecting would need.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(new.command("PUBLISH t:{a}:log x"), ":0");
    assert!(listener.health().is_up() && events.try_recv().is_none());
    drop(old);
}

#[tokio::test]
async fn a_healthy_subscription_is_never_taken_for_a_deaf_one() {
    let redis = Redis::start();
    let probe = Duration::from_millis(100);
    let config =
        BusConfig { timing: Timing { probe, probe_answer: PATIENCE, ..Timing::default() }, ..redis.config() };
    let (listener, mut events) = listen(&config).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    let probes = || {
        let stats = redis.command("INFO commandstats");
        let publish =
            stats.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls=")?.split(',').next());
        publish.map_or(0, |calls| calls.parse::<u32>().unwrap())
    };
    bus_redis::eventually("ten probes", || probes() >= 10).await;
    assert_eq!(events.try_recv(), None);
    assert!(listener.health().is_up());
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_down_and_does_not_block() {
    // A socket that accepts nothing: the kernel completes the handshake, and then silence.
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let (listener, _events) = Listener::connect(&BusConfig::new(url, BusMode::Standalone, "t")).unwrap();
    health(&listener, |h| matches!(h, BusHealth::Down { cause, .. } if *cause != DownCause::Starting)).await;
    assert!(matches!(listener.subscribe(&tenant("a")).await, Err(BusError::Down)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_late_is_used_by_whoever_comes_then() {
    let redis = Redis::start();
    let link = ChaosProxy::start((Ipv4Addr::LOCALHOST, redis.port).into()).await.unwrap();
    // 800 ms for each answer, of which a login takes three.
    link.delay(Duration::from_millis(400));
    let config = BusConfig::new(format!("redis://{}", link.addr()), BusMode::Standalone, "t");
    let announcer = Announcer::connect(&config).unwrap();
    let (listener, mut events) = listen(&config).await;
    bus_redis::eventually("the announcer being up", || announcer.health().is_up()).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    assert!(announcer.announce(&tenant("a"), "late".into()));
    assert_eq!(message(&mut events).await.1, "late");
}
