//! Does every login get in, whatever is in its name and password?
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{PATIENCE, Redis, eventually, listen, message, tenant};
use bytes::Bytes;
use carillon_backplane::bus::{Announcer, BusConfig, BusHealth, BusMode, DownCause};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const PASSWORDS: [&str; 6] = [
    "plain",
    "two words ",
    "a \"double\" and a 'single' one",
    "back\\slash \\x41 \\n \\",
    "#%:@/?&=[]",
    "übung\t\u{1}\r\n\u{7f}",
];

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// An announcement goes out and comes back.
async fn works(config: &BusConfig) {
    let (listener, mut events) = listen(config).await;
    listener.subscribe(&tenant("a")).await.unwrap();
    let announcer = Announcer::connect(config).unwrap();
    announcer.health_changes().wait_for(BusHealth::is_up).await.unwrap();
    announcer.announce(&tenant("a"), Bytes::from_static(b"hello"));
    assert_eq!(message(&mut events).await.1, "hello");
}

#[tokio::test]
async fn a_name_and_a_password_may_hold_anything() {
    let redis = Redis::start();
    let address = format!("127.0.0.1:{}", redis.port);
    for (name, password) in ["plain", "o'neil", "\"", "\\x", "a%b", "ü"].into_iter().zip(PASSWORDS) {
        let given = format!(">{password}");
        assert_eq!(redis.words(&["ACL", "SETUSER", name, "on", &given, "&*", "+@all"]), "+OK", "{name}");
        let url = format!("redis://{}:{}@{address}", encoded(name), encoded(password));
        works(&BusConfig::new(url, BusMode::Standalone, "t")).await;
    }
    let (last, password) = (PASSWORDS[5], encoded(PASSWORDS[5]));
    assert_eq!(redis.words(&["CONFIG", "SET", "requirepass", last]), "+OK");
    works(&BusConfig::new(format!("redis://:{password}@{address}"), BusMode::Standalone, "t")).await;
}

/// Whoever may log in need not be allowed to publish: that is no fast path either, and it is seen when it is allowed again, also
/// while there is nothing to announce.
#[tokio::test]
async fn redis_that_refuses_announcements_is_down_until_it_takes_them() {
    let redis = Redis::start();
    let announcer = Announcer::connect(&redis.config()).unwrap();
    let mut health = announcer.health_changes();
    health.wait_for(BusHealth::is_up).await.unwrap();
    for _ in 0..2 {
        assert_eq!(redis.words(&["ACL", "SETUSER", "default", "-publish"]), "+OK");
        announcer.announce(&tenant("a"), Bytes::from_static(b"x"));
        let refused =
            |health: &BusHealth| matches!(health, BusHealth::Down { cause: DownCause::Refused, .. });
        tokio::time::timeout(PATIENCE, health.wait_for(refused)).await.unwrap().unwrap();
        assert_eq!(redis.words(&["ACL", "SETUSER", "default", "+publish"]), "+OK");
        tokio::time::timeout(PATIENCE, health.wait_for(BusHealth::is_up)).await.unwrap().unwrap();
    }
    announcer.close().await;
}

#[tokio::test]
async fn sentinels_may_have_a_password_of_their_own() {
    let primary = Redis::start();
    let sentinel = primary.watched_by_sentinel();
    let (servers, sentinels) = ("of the servers", "of the \"sentinels\"");
    assert_eq!(primary.words(&["CONFIG", "SET", "requirepass", servers]), "+OK");
    assert_eq!(sentinel.words(&["SENTINEL", "SET", "m", "auth-pass", servers]), "+OK");
    eventually("the sentinel is content", || sentinel.command("INFO sentinel").contains("status=ok")).await;
    let given = format!(">{sentinels}");
    assert_eq!(sentinel.words(&["ACL", "SETUSER", "default", "resetpass", &given]), "+OK");
    let url = format!(
        "redis://:{}@127.0.0.1:{}?sentinelServiceName=m&sentinelPassword={}",
        encoded(servers),
        sentinel.port,
        encoded(sentinels)
    );
    works(&BusConfig::new(url, BusMode::Sentinel, "t")).await;
}
