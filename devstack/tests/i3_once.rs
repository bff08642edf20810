//! I3: does a client that passes its cursor see any event twice, wherever and whenever it comes back?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::collections::BTreeSet;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use faults::{PATIENCE, Scene, TENANT, dice, stop};

const FOLLOWERS: usize = 12;
const CUTS: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn i3_once_followers_cut_at_any_moment_see_no_event_twice() {
    // A ring of a few events: some come back to the ring, some to the log.
    let config =
        StackConfig { publishers: 2, ..StackConfig::default() }.gateway_var("CARILLON_RING_EVENTS", 8);
    let mut scene = Scene::start(config).await;
    scene.follow_anywhere(FOLLOWERS).await;
    let load = scene.load(150.0);
    let mut dice = dice();
    for _ in 0..CUTS {
        scene.acknowledged_more(u64::from(dice.between(1, 12))).await;
        let follower = &scene.followers[dice.below(FOLLOWERS)];
        if dice.chance(25) {
            // Away for a while: for more events than the ring holds.
            follower.pause().await;
            follower.sever().await;
            scene.acknowledged_more(u64::from(dice.between(1, 24))).await;
            follower.go().await;
        } else {
            follower.sever().await;
        }
    }
    stop(load).await;
    scene.assert_whole().await;

    let mut connections = 0;
    for witness in scene.followers.iter().map(|follower| follower.witness()) {
        let seqs: Vec<u64> = witness.events().map(|event| event.seq).collect();
        assert_eq!(seqs.iter().collect::<BTreeSet<_>>().len(), seqs.len(), "{}", witness.follower);
        connections += witness.connections();
    }
    assert!(connections > CUTS / 2, "they did come back: {connections} connections");
    let mut replays = 0.0;
    for gateway in scene.stack.gateways() {
        replays += gateway.metric("carillon_backlog_reads_total").await.unwrap_or(0.0);
    }
    assert!(replays > 0.0, "some came back behind the ring");
}

/// The twin: it is the cursor that prevents it. Whoever comes back with an older one gets the events again.
#[tokio::test(flavor = "multi_thread")]
async fn i3_once_an_older_cursor_gets_the_same_events_again() {
    let mut scene = Scene::start(StackConfig::default()).await;
    scene.follow_at(0, 1).await;
    scene.publish(30).await;
    let seen = scene.followers[0].reached(30, PATIENCE).await.unwrap().cursor.unwrap();
    for gateway in scene.stack.gateways() {
        for since in [0, 25, 30] {
            let cursor = Cursor { seq: since, ..seen.clone() };
            let wanted = Connect::new(gateway.ws_url(), scene.token(TENANT, "again")).since(cursor);
            let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
            assert_eq!(welcome.resumed, if since == 30 { "live" } else { "replay" });
            for expected in since + 1..=30 {
                assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(expected));
            }
            socket.close().await;
        }
    }
}
