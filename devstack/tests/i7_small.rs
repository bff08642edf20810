//! I7: how much memory does a connection that does nothing cost its gateway?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use faults::probe::{memory, metric, metric_reaches};
use faults::{PATIENCE, Scene, TENANT};
use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const IDLE: usize = 2_000;
const WARM: usize = 500;
/// Bytes for each, whatever the build; measured 1.3 KB, of which the kernel's sockets are no part.
const CEILING: u64 = 3 * 1024;

/// Opens `count` connections, each of another user and in a channel of its own.
async fn open(scene: &Scene, from: usize, count: usize) -> Vec<Socket> {
    let url = scene.stack.gateway(0).ws_url();
    let opened = stream::iter(from..from + count).map(|n| {
        let claims = Claims::new(TENANT, format!("user-{n}"), now(), 3_600).channels(["contact:*"]);
        let token = claims.sign(scene.stack.jwt_secret()).unwrap();
        let mut wanted = Connect::new(&url, token).channels([format!("contact:{n}")]);
        wanted.patience = PATIENCE;
        async move { Socket::open(&wanted).await.unwrap().0 }
    });
    opened.buffer_unordered(64).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_small_two_thousand_idle_connections_stay_within_their_budget() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < 4 * IDLE as u64) {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
    let scene = Scene::start(StackConfig::default()).await;
    let gateway = scene.stack.gateway(0);
    // What a gateway allocates once, and what its allocator keeps from handshakes, is not the connections' memory.
    let warm = open(&scene, 0, WARM).await;
    // Nor is what waits to be stored of whoever has just come.
    metric_reaches(gateway, "carillon_records_written_total", WARM as f64).await;
    let before = memory(gateway);
    let idle = open(&scene, WARM, IDLE).await;
    let all = (WARM + IDLE) as f64;
    wait::until("everyone being connected", PATIENCE, || async {
        (metric(gateway, "carillon_connections").await == all).then_some(())
    })
    .await
    .unwrap();
    metric_reaches(gateway, "carillon_records_written_total", all).await;
    let each = memory(gateway).saturating_sub(before) / IDLE as u64;
    println!("{each} bytes for each of {IDLE} idle connections with 3 channels");
    assert!(each < CEILING, "an idle connection costs {each} bytes");
    assert_eq!(metric(gateway, "carillon_subscriptions").await, 3.0 * all, "tenant, user and contact");
    drop((warm, idle));
    wait::until("everyone being forgotten", PATIENCE, || async {
        (metric(gateway, "carillon_connections").await == 0.0).then_some(())
    })
    .await
    .unwrap();
}
