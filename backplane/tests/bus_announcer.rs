//! Does a publisher stay untouched by whatever Redis does, and is every announcement accounted for?
//!
//! One test, because it reads the process's metrics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{PATIENCE, Redis, eventually, listen, message, tenant};
use bytes::Bytes;
use carillon_backplane::bus::{Announcer, BusConfig, BusHealth, BusMode, describe_metrics};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::time::{Duration, Instant};

const CALLS: usize = 50_000;
const QUEUE: usize = 2_000;

/// The sum of a counter over its labels that contain `label`.
fn count(metrics: &PrometheusHandle, name: &str, label: &str) -> usize {
    let text = metrics.render();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as usize).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_i10_announcing_never_waits_is_bounded_and_every_announcement_is_accounted_for() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    describe_metrics();
    let published = || count(&metrics, "carillon_redis_published_total", "");
    let failed = |reason| count(&metrics, "carillon_redis_publish_failed_total", reason);

    let redis = Redis::start();
    let config = BusConfig { queue_messages: QUEUE, ..redis.config() };
    let (listener, mut events) = listen(&config).await;
    let a = tenant("a");
    listener.subscribe(&a).await.unwrap();
    let announcer = Announcer::connect(&config).unwrap();
    let mut health = announcer.health_changes();
    health.wait_for(BusHealth::is_up).await.unwrap();

    announcer.announce(&a, Bytes::from_static(b"before"));
    assert_eq!(message(&mut events).await.1, "before");
    eventually("counted", || published() == 1).await;

    // Frozen: callers go on at full speed and the queue keeps its limit.
    redis.freeze();
    let payload = Bytes::from(vec![b'x'; 1_000]);
    let mut durations: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let called = Instant::now();
            announcer.announce(&a, payload.clone());
            called.elapsed()
        })
        .collect();
    durations.sort();
    // The very slowest calls measure the machine's scheduler: any call may be put aside by it.
    let slowest = durations[CALLS - 1 - CALLS / 1_000];
    assert!(slowest < Duration::from_millis(5), "{slowest:?}");
    assert!(failed("full") >= CALLS - QUEUE, "the queue took more than its limit: {}", failed("full"));

    // Noticed, and what was queued or under way is given up.
    let frozen = tokio::time::timeout(PATIENCE, health.wait_for(|health| !health.is_up())).await;
    assert!(frozen.is_ok_and(|h| h.is_ok()));
    eventually("all accounted for", || published() + failed("") == CALLS + 1).await;
    assert_eq!((published(), failed("refused")), (1, 0));

    // Thawed: it heals and sends again.
    redis.thaw();
    tokio::time::timeout(PATIENCE, health.wait_for(BusHealth::is_up)).await.unwrap().unwrap();
    bus_redis::up(&listener).await;
    announcer.announce(&a, Bytes::from_static(b"after"));
    while message(&mut events).await.1 != "after" {}

    // What waits is sent before the end.
    for _ in 0..500 {
        announcer.announce(&a, Bytes::from_static(b"last"));
    }
    let clone = announcer.clone();
    announcer.close().await;
    eventually("all sent", || published() == 502).await;
    for _ in 0..500 {
        assert_eq!(message(&mut events).await.1, "last");
    }
    clone.announce(&a, Bytes::from_static(b"too late"));
    assert_eq!(failed("stopped"), 1);
    assert!(!clone.health().is_up());

    // Without Redis: no error, nothing piles up, and closing does not hang.
    let nowhere =
        BusConfig::new(format!("redis://127.0.0.1:{}", bus_redis::free_port()), BusMode::Standalone, "t");
    let announcer = Announcer::connect(&nowhere).unwrap();
    announcer.announce(&a, Bytes::from_static(b"x"));
    let closing = Instant::now();
    announcer.close().await;
    assert!(closing.elapsed() < Duration::from_secs(2), "{:?}", closing.elapsed());
    eventually("all accounted for", || published() + failed("") == CALLS + 504).await;
}
