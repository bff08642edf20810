//! Does the bus follow a primary that sentinels replace?
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{Redis, eventually, interruption, listen, message, tenant, up};
use bytes::Bytes;
use carillon_backplane::bus::{Announcer, BusConfig, BusHealth, BusMode};

#[tokio::test]
async fn after_a_failover_announcements_flow_through_the_new_primary() {
    let mut primary = Redis::start();
    let replica = Redis::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    eventually("the replica follows", || {
        replica.command("INFO replication").contains("master_link_status:up")
    })
    .await;
    let sentinel = primary.watched_by_sentinel();
    eventually("the sentinel knows both", || sentinel.command("INFO sentinel").contains("slaves=1")).await;

    let url = format!("redis://127.0.0.1:{}?sentinelServiceName=m", sentinel.port);
    let config = BusConfig::new(url, BusMode::Sentinel, "t");
    let (listener, mut events) = listen(&config).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    let announcer = Announcer::connect(&config).unwrap();
    let mut health = announcer.health_changes();
    health.wait_for(BusHealth::is_up).await.unwrap();
    announcer.announce(&tenant("a"), Bytes::from_static(b"before"));
    assert_eq!(message(&mut events).await.1, "before");

    primary.crash();
    interruption(&mut events).await;
    up(&listener).await;
    assert_eq!(replica.command("PUBLISH t:{a}:log direct"), ":1");
    assert_eq!(message(&mut events).await.1, "direct");
    health.wait_for(BusHealth::is_up).await.unwrap();
    announcer.announce(&tenant("a"), Bytes::from_static(b"after"));
    assert_eq!(message(&mut events).await.1, "after");
}
