//! I8: does a gateway that stops send its clients away in peace, and do they lose nothing?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::{Duration, Instant};

use carillon_devstack::client::follow::Status;
use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use carillon_devstack::process::Signal;
use carillon_devstack::stack::StackConfig;
use faults::probe::{readiness_becomes, readyz_status, sample};
use faults::{PATIENCE, Scene, TENANT, alone, stop};
use futures_util::future::join_all;

const FOLLOWERS: usize = 200;
const DRAIN: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn i8_gentle_a_stopping_gateway_hands_its_followers_over_without_loss() {
    let _alone = alone().await;
    let config = StackConfig { lb: true, publishers: 2, ..StackConfig::default() }
        .gateway_var("CARILLON_DRAIN_MS", DRAIN.as_millis());
    let mut scene = Scene::start(config).await;
    scene.follow_balanced(FOLLOWERS).await;
    let there = |scene: &Scene, node: &str| -> Vec<usize> {
        let at = |place: &usize| scene.followers[*place].status().node.as_deref() == Some(node);
        (0..FOLLOWERS).filter(at).collect()
    };
    let leaving = there(&scene, "gateway-1");
    assert!(leaving.len() > FOLLOWERS / 4, "the balancer spreads: {} are here", leaving.len());
    let load = scene.load(40.0);
    scene.acknowledged_more(20).await;

    let stopping = scene.stack.gateway(0);
    let began = Instant::now();
    // All at once: who goes early may be sent back here by the balancer and be lost again before we look.
    let watch_departures = join_all(leaving.iter().map(|place| async {
        let gone = |status: &Status| status.last_loss.is_some();
        let status = scene.followers[*place].until("be sent away", PATIENCE, gone).await.unwrap();
        (began.elapsed(), status.last_loss.unwrap())
    }));
    let look_while_draining = async {
        readiness_becomes(stopping, "unready", Some("draining")).await;
        assert_eq!(readyz_status(stopping).await, 503);
        let wanted = Connect::new(stopping.ws_url(), scene.token(TENANT, "late"));
        match Socket::connect(&wanted).await {
            Err(SocketError::Refused { status: 503, code, retry_after, .. }) => {
                assert_eq!(code, "draining");
                assert!(retry_after.is_some(), "told when to come back");
            }
            other => panic!("a draining node takes nobody: {other:?}"),
        }
    };
    let ((), left, status) = tokio::join!(look_while_draining, watch_departures, stopping.terminate());
    assert_eq!(status.unwrap().code(), Some(0), "{}", stopping.process().log_tail());
    let codes = ["asked to reconnect", "closed with 1012", "closed with 1001", "HTTP 503 draining"];
    for (_, why) in &left {
        assert!(codes.iter().any(|resumable| why.contains(resumable)), "{why}");
    }
    let asked = left.iter().filter(|(_, why)| why.contains(codes[0])).count();
    assert!(asked > left.len() / 2, "{asked} of {} were asked to go", left.len());
    let last = left.iter().map(|(at, _)| *at).max().unwrap();
    assert!(last > DRAIN / 2, "departures are spread over the drain, the last after {last:?}");
    assert!(began.elapsed() < DRAIN + Duration::from_secs(10), "it does not wait for ever");

    scene.acknowledged_more(20).await;
    let here = |status: &Status| status.node.as_deref() == Some("gateway-2");
    for follower in &scene.followers {
        follower.until("arrive at the other gateway", PATIENCE, here).await.unwrap();
    }
    stop(load).await;
    scene.assert_whole().await;
    let resets = sample(scene.stack.gateway(1), r#"carillon_resumes_total{result="reset"}"#).await;
    assert_eq!(resets, 0.0);

    // And the node comes back.
    stopping.restart().await.unwrap();
    scene.publish(10).await;
    scene.assert_whole().await;
}

/// A second signal ends it at once; even then everyone is closed with a code that says resume.
#[tokio::test(flavor = "multi_thread")]
async fn i8_gentle_a_second_signal_cuts_the_drain_short() {
    let _alone = alone().await;
    let config = StackConfig::default().gateway_var("CARILLON_DRAIN_MS", 120_000);
    let scene = Scene::start(config).await;
    let stopping = scene.stack.gateway(0);
    let mut sockets = Vec::new();
    for n in 0..20 {
        let wanted = Connect::new(stopping.ws_url(), scene.token(TENANT, &format!("user-{n}")));
        sockets.push(Socket::open(&wanted).await.unwrap().0);
    }
    stopping.process().signal(Signal::TERM).unwrap();
    readiness_becomes(stopping, "unready", Some("draining")).await;
    stopping.process().signal(Signal::TERM).unwrap();
    for mut socket in sockets {
        let error = socket.ended(PATIENCE).await;
        assert!(matches!(error.close_code(), Some(1001 | 1012)), "{error}");
        assert!(!error.is_terminal());
    }
    assert_eq!(stopping.process().wait_exit(PATIENCE).await.unwrap().code(), Some(0));
}
