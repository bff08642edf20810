//! Does everything hold when several things go wrong at once, in an order nobody thought of?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::time::{Duration, Instant};

use carillon_devstack::client::dice::Dice;
use carillon_devstack::stack::StackConfig;
use faults::probe::readiness_becomes;
use faults::{Scene, dice, stop};

const LENGTH: Duration = Duration::from_secs(40);
const FOLLOWERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_faults_loses_nothing() {
    let config = StackConfig { gateways: 3, publishers: 2, chaos: true, ..StackConfig::default() }
        .gateway_var("CARILLON_RING_EVENTS", 64)
        .gateway_var("CARILLON_DRAIN_MS", 500)
        .gateway_var("CARILLON_HEARTBEAT_MS", 2_000);
    let mut scene = Scene::start(config).await;
    scene.follow_anywhere(FOLLOWERS).await;
    let load = scene.load(80.0);
    let mut dice = dice();
    let began = Instant::now();
    let mut faults = 0;
    while began.elapsed() < LENGTH {
        let first = strike(&scene, &mut dice).await;
        let second = strike(&scene, &mut dice).await;
        let moment = Duration::from_millis(u64::from(dice.between(50, 1_500)));
        println!("{:>5} ms: {first:?} and {second:?} for {moment:?}", began.elapsed().as_millis());
        // How long the faults last is part of the fault, not a wait for something to happen.
        tokio::time::sleep(moment).await;
        for fault in [first, second] {
            mend(&scene, fault).await;
            faults += 1;
        }
    }
    println!("{faults} faults, {} events", scene.acknowledged());
    for service in scene.stack.gateways().iter().chain(scene.stack.publishers()) {
        readiness_becomes(service, "ready", None).await;
    }
    scene.acknowledged_more(50).await;
    stop(load).await;
    scene.assert_whole().await;
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    PublisherKilled(usize),
    GatewayKilled(usize),
    GatewayStopped(usize),
    GatewayFrozen(usize),
    RedisKilled,
    RedisFrozen,
    SubscribersDropped,
    PostgresKilled,
    PostgresFrozen,
    RedisLink(usize, Trouble),
    PostgresLink(usize, Trouble),
    FollowerCut(usize),
    FollowerPaused(usize),
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Cut,
    BlackHole,
    Delay,
}

impl Fault {
    fn of(dice: &mut Dice) -> Self {
        let troubles = [Trouble::Cut, Trouble::BlackHole, Trouble::Delay];
        let trouble = troubles[dice.below(3)];
        match dice.below(16) {
            0 => Self::PublisherKilled(dice.below(2)),
            1 => Self::GatewayKilled(dice.below(3)),
            2 => Self::GatewayStopped(dice.below(3)),
            3 => Self::GatewayFrozen(dice.below(3)),
            4 => Self::RedisKilled,
            5 => Self::RedisFrozen,
            6 => Self::SubscribersDropped,
            7 => Self::PostgresKilled,
            8 => Self::PostgresFrozen,
            9 | 10 => Self::RedisLink(dice.below(5), trouble),
            11 | 12 => Self::PostgresLink(dice.below(5), trouble),
            13 | 14 => Self::FollowerCut(dice.below(FOLLOWERS)),
            _ => Self::FollowerPaused(dice.below(FOLLOWERS)),
        }
    }
}

/// The chaos links of one of the five services.
fn links(scene: &Scene, service: usize) -> &carillon_devstack::stack::Links {
    let mut services = scene.stack.gateways().iter().chain(scene.stack.publishers());
    services.nth(service).unwrap().links().unwrap()
}

async fn strike(scene: &Scene, dice: &mut Dice) -> Fault {
    let fault = Fault::of(dice);
    let stack = &scene.stack;
    match fault {
        Fault::PublisherKilled(n) => stack.publisher(n).kill().unwrap(),
        Fault::GatewayKilled(n) => stack.gateway(n).kill().unwrap(),
        Fault::GatewayStopped(n) => drop(stack.gateway(n).terminate().await.unwrap()),
        Fault::GatewayFrozen(n) => stack.gateway(n).freeze().unwrap(),
        Fault::RedisKilled => stack.redis().process().kill().unwrap(),
        Fault::RedisFrozen => stack.redis().process().freeze().unwrap(),
        // It may be dead or frozen from the other fault.
        Fault::SubscribersDropped => drop(stack.redis().command("CLIENT KILL TYPE pubsub").await),
        Fault::PostgresKilled => stack.postgres().process().kill().unwrap(),
        Fault::PostgresFrozen => stack.postgres().process().freeze().unwrap(),
        Fault::RedisLink(n, trouble) => trouble.on(&links(scene, n).redis).await,
        Fault::PostgresLink(n, trouble) => trouble.on(&links(scene, n).postgres).await,
        Fault::FollowerCut(n) => scene.followers[n].sever().await,
        Fault::FollowerPaused(n) => scene.followers[n].pause().await,
    }
    fault
}

impl Trouble {
    async fn on(self, link: &carillon_devstack::chaos::ChaosProxy) {
        match self {
            Self::Cut => link.cut().await.unwrap(),
            Self::BlackHole => link.blackhole(),
            Self::Delay => link.delay(Duration::from_millis(200)),
        }
    }
}

/// Ends a fault. Services are started without waiting for them: they may lack what the other fault took away.
async fn mend(scene: &Scene, fault: Fault) {
    let stack = &scene.stack;
    match fault {
        Fault::PublisherKilled(n) => stack.publisher(n).process().restart().unwrap(),
        Fault::GatewayKilled(n) | Fault::GatewayStopped(n) => stack.gateway(n).process().restart().unwrap(),
        Fault::GatewayFrozen(n) => stack.gateway(n).thaw().unwrap(),
        Fault::RedisKilled => stack.redis().restart().await.unwrap(),
        Fault::RedisFrozen => stack.redis().process().thaw().unwrap(),
        Fault::PostgresKilled => stack.postgres().restart().await.unwrap(),
        Fault::PostgresFrozen => stack.postgres().process().thaw().unwrap(),
        Fault::RedisLink(n, _) => links(scene, n).redis.restore().await.unwrap(),
        Fault::PostgresLink(n, _) => links(scene, n).postgres.restore().await.unwrap(),
        Fault::FollowerPaused(n) => scene.followers[n].go().await,
        Fault::SubscribersDropped | Fault::FollowerCut(_) => {}
    }
}
