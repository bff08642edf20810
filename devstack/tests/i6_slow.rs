//! I6: does a client that does not read cost itself only?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use carillon_devstack::client::follow::Status;
use carillon_devstack::client::load::{Load, LoadPlan};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use faults::probe::{memory, metric, sample};
use faults::{PATIENCE, Scene, TENANT, alone, appointment, stop};

/// What the kernel takes for a client that does not read: a few tens of kilobytes, not megabytes.
const RECEIVE_BUFFER: u32 = 4_096;

/// Clients of one gateway, of which every `nth` stops reading; their places in the list.
async fn with_slow_ones(scene: &mut Scene, count: usize, nth: usize) -> Vec<usize> {
    let url = scene.stack.gateway(0).ws_url();
    let slow: Vec<usize> = (0..count).filter(|place| place % nth == 0).collect();
    for place in 0..count {
        let mut follow = scene.route(TENANT, vec![url.clone()]);
        if slow.contains(&place) {
            follow = follow.receive_buffer(RECEIVE_BUFFER);
        }
        scene.follow(TENANT, follow).await;
    }
    for place in &slow {
        scene.followers[*place].pause().await;
    }
    slow
}

/// Publishes so many padded events and waits until everyone who reads has everything.
async fn publish_to_the_others(
    scene: &Scene,
    slow: &[usize],
    rate: Option<f64>,
    events: u64,
    padding: usize,
) {
    let plan = LoadPlan::new(rate, move |n| appointment(n, padding)).tasks(16).total(events);
    let report = Load::start(&scene.publishers(), &scene.ledger, &plan).finished().await;
    assert_eq!((report.acknowledged, report.abandoned), (events, 0), "{report:?}");
    let head = scene.acknowledged();
    for (place, follower) in scene.followers.iter().enumerate() {
        if !slow.contains(&place) {
            follower.reached(head, PATIENCE).await.unwrap();
        }
    }
}

/// Events of one look at how long they take, and how often one is published.
const LOOK: u64 = 120;
const EVERY: Duration = Duration::from_millis(15);

/// Publishes one event after the other. From the acknowledgement of each until each of those who read has it.
async fn delays(scene: &Scene, slow: &[usize], name: &str) -> Vec<Duration> {
    let publisher = &scene.publishers()[0];
    let ledger = || scene.ledger.lock().unwrap();
    let mut acknowledged = BTreeMap::new();
    for n in 0..LOOK {
        let id = format!("{name}-{n}");
        let post = appointment(n, 1_000).id(id.clone());
        ledger().attempted(&id, &post, Instant::now());
        let receipt = publisher.publish(&post, None).await.unwrap();
        acknowledged.insert(receipt.seq, Instant::now());
        ledger().acknowledged(TENANT, &receipt);
        tokio::time::sleep(EVERY).await;
    }
    let mut delays = Vec::new();
    for (place, follower) in scene.followers.iter().enumerate().filter(|(place, _)| !slow.contains(place)) {
        follower.reached(*acknowledged.last_key_value().unwrap().0, PATIENCE).await.unwrap();
        let witness = follower.witness();
        let known = witness.events().filter_map(|event| Some((event.at, acknowledged.get(&event.seq)?)));
        let before = delays.len();
        delays.extend(known.map(|(at, acknowledged)| at.saturating_duration_since(*acknowledged)));
        assert_eq!(delays.len() - before, LOOK as usize, "reader {place} has each");
    }
    delays
}

fn percent(mut delays: Vec<Duration>, percent: usize) -> Duration {
    delays.sort_unstable();
    delays[(delays.len() - 1) * percent / 100]
}

/// Comparisons of which one must show that nobody is delayed: a machine that is busy with something else for a while says nothing about
/// slow readers, and whoever is delayed by them is delayed each time.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn i6_slow_five_in_a_hundred_that_do_not_read_delay_nobody() {
    let _alone = alone().await;
    let mut scene = Scene::start(StackConfig::default()).await;
    let slow = with_slow_ones(&mut scene, 60, 20).await;
    let mut delayed = Vec::new();
    for attempt in 0..TRIES {
        match delayed_by_slow_ones(&scene, &slow, attempt).await {
            None => break,
            Some(figures) => delayed.push(figures),
        }
    }
    scene.assert_whole().await;
    for follower in &scene.followers {
        assert_eq!(follower.status().connections, 1, "nobody had to come back");
    }
    assert!(delayed.len() < TRIES, "each time: {delayed:?}");
}

/// Lets the slow ones read, not read, and read again; how long the others waited each time, if that is more beside slow ones.
async fn delayed_by_slow_ones(scene: &Scene, slow: &[usize], attempt: usize) -> Option<String> {
    let name = |when: &str| format!("{when}-{attempt}");
    for place in slow {
        scene.followers[*place].go().await;
    }
    let mut without = delays(scene, slow, &name("before")).await;
    for place in slow {
        scene.followers[*place].pause().await;
    }
    let fell = async || metric(scene.stack.gateway(0), "carillon_fell_behind_total").await;
    let fell_before = fell().await;
    publish_to_the_others(scene, slow, None, 1_200, 1_000).await;
    let with = delays(scene, slow, &name("beside")).await;
    for place in slow {
        let status = scene.followers[*place].status();
        let head = scene.acknowledged();
        assert!(
            status.seq() + LOOK < head && status.node.is_some(),
            "still connected, far behind: {status:?}"
        );
    }
    let fell = fell().await - fell_before;
    assert!(fell >= slow.len() as f64, "the gateway felt them: {fell}");
    for place in slow {
        scene.followers[*place].go().await;
    }
    for follower in &scene.followers {
        follower.reached(scene.acknowledged(), PATIENCE).await.unwrap();
    }
    without.extend(delays(scene, slow, &name("after")).await);
    let figures = |of: &[Duration]| [50, 99].map(|p| percent(of.to_vec(), p));
    let ([half_without, p99_without], [half_with, p99_with]) = (figures(&without), figures(&with));
    let words = format!(
        "acknowledged to received, p50 {half_without:?} and {half_with:?} with slow ones, p99 {p99_without:?} and {p99_with:?}"
    );
    #[expect(clippy::print_stdout, reason = "the figures of this run")]
    {
        println!("{words}");
    }
    let is_felt = half_with > half_without * 2 + Duration::from_millis(20)
        || p99_with > p99_without * 10 + Duration::from_secs(1);
    is_felt.then_some(words)
}

/// 16 MB go past clients that do not read. Nothing of it may pile up for them: it waits in the log.
#[tokio::test(flavor = "multi_thread")]
async fn i6_slow_one_of_four_that_does_not_read_costs_no_memory() {
    const EVENTS: u64 = 400;
    const PADDING: usize = 40 * 1024;
    // What clients built for debugging can take; a ring of five seconds, so that those who read need not the log.
    const RATE: Option<f64> = Some(40.0);
    let _alone = alone().await;
    let config = StackConfig::default().gateway_var("CARILLON_RING_BYTES", "8MiB");
    let mut scene = Scene::start(config).await;
    let slow = with_slow_ones(&mut scene, 4, 4).await;
    // The ring is full and the gateway's own buffers have grown once this has passed.
    publish_to_the_others(&scene, &slow, RATE, 220, PADDING).await;
    let before = memory(scene.stack.gateway(0));
    publish_to_the_others(&scene, &slow, RATE, EVENTS, PADDING).await;
    let grown = memory(scene.stack.gateway(0)).saturating_sub(before);
    println!(
        "grown by {} KiB; {} pages read",
        grown / 1024,
        metric(scene.stack.gateway(0), "carillon_backlog_reads_total").await
    );
    assert!(grown < EVENTS * PADDING as u64 / 4, "grown by {grown} bytes");
    for place in &slow {
        assert!(scene.followers[*place].status().seq() < 220, "it has read nothing since");
        scene.followers[*place].go().await;
    }
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_slow_a_stalled_reader_is_closed_and_can_come_back_for_everything() {
    let _alone = alone().await;
    let config = StackConfig::default().gateway_var("CARILLON_STALL_TIMEOUT_MS", 1_000);
    let mut scene = Scene::start(config).await;
    let slow = with_slow_ones(&mut scene, 6, 3).await;
    let plan = LoadPlan::new(Some(200.0), |n| appointment(n, 4_000));
    let load = Load::start(&scene.publishers(), &scene.ledger, &plan);
    let gateway = scene.stack.gateway(0);
    let stalled = wait::until("both stalled readers being closed", PATIENCE, || async {
        let closed = sample(gateway, r#"carillon_connections_closed_total{reason="stalled"}"#).await;
        (closed >= slow.len() as f64).then_some(())
    });
    if let Err(timeout) = stalled.await {
        panic!("{timeout}: {:?}", gateway.metrics().await);
    }
    // Their place is given back although they never answered the close.
    wait::until("the place being given back", PATIENCE, || async {
        (metric(gateway, "carillon_connections").await == 4.0).then_some(())
    })
    .await
    .unwrap();
    stop(load).await;
    for place in &slow {
        scene.followers[*place].go().await;
        let back = |status: &Status| status.connections == 2;
        scene.followers[*place].until("come back", Duration::from_secs(30), back).await.unwrap();
    }
    scene.assert_whole().await;
    for (place, follower) in scene.followers.iter().enumerate() {
        assert_eq!(follower.status().connections, if slow.contains(&place) { 2 } else { 1 });
    }
}
