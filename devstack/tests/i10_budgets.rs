//! I10: do the budgets of the whole process hold, and does nobody lose anything by them?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::Duration;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::load::{Load, LoadPlan};
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::{Service, StackConfig};
use carillon_devstack::wait;
use faults::probe::{metric, metric_reaches};
use faults::{PATIENCE, Scene, TENANT, alone, appointment};
use futures_util::future::join_all;
use serde_json::json;

const RING_BUDGET: f64 = 64.0 * 1024.0;
const REPLAY_BUDGET: f64 = 1024.0 * 1024.0;
const TENANTS: [&str; 5] = ["amber", "birch", "cedar", "delta", "ember"];
/// How often gateways of these tests look at their heads, and tell what their rings weigh.
const TICK: Duration = Duration::from_millis(200);

fn small_rings() -> StackConfig {
    StackConfig { gateways: 1, ..StackConfig::default() }
        .gateway_var("CARILLON_RING_BUDGET_BYTES", "64KiB")
        .gateway_var("CARILLON_HEAD_WATCH_MS", TICK.as_millis())
}

/// The rings come to their budget, and stay.
async fn rings_are_within_budget(gateway: &Service) {
    metric_reaches(gateway, "carillon_ring_trimmed_total", 1.0).await;
    let weight = || metric(gateway, "carillon_ring_bytes");
    let within = wait::until("the rings being within their budget", PATIENCE, || async {
        (weight().await <= RING_BUDGET).then_some(())
    });
    if let Err(timeout) = within.await {
        panic!("{timeout}; they weigh {}", weight().await);
    }
    for _ in 0..5 {
        tokio::time::sleep(TICK).await;
        let bytes = weight().await;
        assert!(bytes <= RING_BUDGET, "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_rings_give_way_to_their_budget_and_readers_get_everything_from_the_log() {
    const EVENTS: u64 = 500;
    let _alone = alone().await;
    let mut scene = Scene::start(small_rings()).await;
    let gateway = scene.stack.gateway(0).ws_url();
    let mut slow = Vec::new();
    for tenant in TENANTS {
        let follow = scene.route(tenant, vec![gateway.clone()]);
        scene.follow(tenant, follow).await;
        let follow = scene.route(tenant, vec![gateway.clone()]).receive_buffer(4_096);
        scene.follow(tenant, follow).await.pause().await;
        slow.push(scene.followers.len() - 1);
    }
    // 64 KiB of rings, and about 200 KB for each of five tenants.
    let make = |n: u64| {
        let data = json!({"n": n, "note": "x".repeat(2_000)});
        Post::new(TENANTS[n as usize % TENANTS.len()], "appointment.moved", data).tenant_wide()
    };
    let plan = LoadPlan::new(None, make).tasks(8).total(EVENTS);
    let report = Load::start(&scene.publishers(), &scene.ledger, &plan).finished().await;
    assert_eq!((report.acknowledged, report.abandoned), (EVENTS, 0), "{report:?}");

    metric_reaches(scene.stack.gateway(0), "carillon_ring_trimmed_total", 100.0).await;
    rings_are_within_budget(scene.stack.gateway(0)).await;
    for place in slow {
        scene.followers[place].go().await;
    }
    // Late ones begin at the beginning of each tenant's log.
    for tenant in TENANTS {
        let live = scene.followers.iter().find(|follower| follower.witness().tenant == tenant);
        let cursor = Cursor { seq: 0, ..live.unwrap().status().cursor.unwrap() };
        let follow = scene.route(tenant, vec![gateway.clone()]).since(cursor);
        scene.follow(tenant, follow).await;
    }
    scene.assert_whole().await;
    assert_eq!(scene.verdict().deliveries, EVENTS as usize * 3, "each tenant has three who follow");
    assert!(metric(scene.stack.gateway(0), "carillon_backlog_reads_total").await >= TENANTS.len() as f64);
    rings_are_within_budget(scene.stack.gateway(0)).await;
}

/// What event streams want is made when the first of them reads an event, and weighs as much again.
#[tokio::test(flavor = "multi_thread")]
async fn i10_the_forms_of_event_streams_count_in_the_budget_too() {
    let _alone = alone().await;
    let scene = Scene::start(small_rings()).await;
    let gateway = scene.stack.gateway(0);
    let mut listeners = Vec::new();
    for tenant in &TENANTS[..2] {
        let listen = Listen::new(&gateway.url(), scene.token(tenant, "anna")).unwrap();
        // From the first question on, the gateway keeps this tenant's ring.
        listen.poll(None).await.unwrap();
        listeners.push(listen.since(Cursor { seq: 0, epoch: None }));
    }
    // One event of each tenant: 40 KiB as WebSocket messages, 80 KiB with the other form.
    for (tenant, listen) in TENANTS.into_iter().zip(&listeners) {
        let post = Post::new(tenant, "big", json!({"note": "x".repeat(20 * 1024)})).tenant_wide();
        scene.publishers()[0].publish(&post, None).await.unwrap();
        assert_eq!(listen.poll(Some(PATIENCE / 2)).await.unwrap().events.len(), 1);
    }
    for listen in &listeners {
        let mut stream = listen.stream().await.unwrap();
        assert_eq!(stream.next_of("event", PATIENCE).await.unwrap().frame.seq(), Some(1));
    }
    // Nothing is published any more: no push finds the budget overdrawn.
    rings_are_within_budget(gateway).await;
}

/// The highest value of a gauge while something goes on, and that thing's outcome.
async fn watching<T>(gateway: &Service, gauge: &str, work: impl Future<Output = T>) -> (f64, T) {
    tokio::pin!(work);
    let mut highest = 0.0_f64;
    loop {
        tokio::select! {
            outcome = &mut work => return (highest, outcome),
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                highest = highest.max(metric(gateway, gauge).await);
            }
        }
    }
}

/// Comes back from the beginning and reads up to `last`: what it saw.
async fn replay(scene: &Scene, tenant: &str, user: String, last: u64) -> Vec<u64> {
    let cursor = Cursor { seq: 0, epoch: None };
    let mut wanted = Connect::new(scene.stack.gateway(0).ws_url(), scene.token(tenant, &user)).since(cursor);
    wanted.patience = PATIENCE;
    let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
    assert_eq!(welcome.resumed, "replay");
    let mut seqs = Vec::new();
    while seqs.last() != Some(&last) {
        match socket.next_of("event", PATIENCE).await {
            Ok(event) => seqs.push(event.seq().unwrap()),
            Err(error) => panic!("{error}: {user} of {tenant} stands at {:?} of {last}", seqs.last()),
        }
    }
    socket.close().await;
    seqs
}

fn small_replays() -> StackConfig {
    StackConfig { gateways: 1, ..StackConfig::default() }
        .gateway_var("CARILLON_REPLAY_BUDGET_BYTES", "1MiB")
        .gateway_var("CARILLON_RING_EVENTS", 8)
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_sixty_replays_at_once_stay_within_their_budget_and_are_whole() {
    const EVENTS: u64 = 400;
    const PADDING: usize = 8_000;
    let _alone = alone().await;
    let scene = Scene::start(small_replays()).await;
    let publisher = &scene.publishers()[0];
    for part in 0..4 {
        let posts = (0..EVENTS / 4).map(|n| appointment(part * EVENTS / 4 + n, PADDING));
        publisher.publish_many(&Vec::from_iter(posts), None).await.unwrap();
    }
    let gateway = scene.stack.gateway(0);
    let mut highest = 0.0_f64;
    // The gauge is looked at now and then: a round may pass between two looks.
    for _ in 0..3 {
        let clients = join_all((0..60).map(|n| replay(&scene, TENANT, format!("user-{n}"), EVENTS)));
        let (looked, seen) = watching(gateway, "carillon_replay_bytes", clients).await;
        for seqs in seen {
            assert_eq!(seqs, Vec::from_iter(1..=EVENTS), "everything, in order, once");
        }
        highest = highest.max(looked);
        if highest > 0.0 {
            break;
        }
    }
    assert!(highest > 0.0 && highest <= REPLAY_BUDGET, "{highest}");
    let waits = metric(gateway, "carillon_replay_waits_total").await;
    assert!(waits > 0.0, "3.2 MB do not fit into one");
}

/// Nobody's replay may wait for somebody else's to be asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn i10_replays_of_several_tenants_come_through_a_budget_for_one_page() {
    const EVENTS: u64 = 50;
    let _alone = alone().await;
    let scene = Scene::start(small_replays()).await;
    let publisher = &scene.publishers()[0];
    for tenant in TENANTS {
        let post = |n| Post::new(tenant, "big", json!({"n": n, "note": "x".repeat(8_000)})).tenant_wide();
        publisher.publish_many(&Vec::from_iter((0..EVENTS).map(post)), None).await.unwrap();
    }
    let one_each = join_all(TENANTS.map(|tenant| replay(&scene, tenant, "anna".into(), EVENTS)));
    let gateway = scene.stack.gateway(0);
    let (highest, seen) = watching(gateway, "carillon_replay_bytes", one_each).await;
    for seqs in seen {
        assert_eq!(seqs, Vec::from_iter(1..=EVENTS), "everything, in order, once");
    }
    assert!(highest <= REPLAY_BUDGET, "{highest}");
}
