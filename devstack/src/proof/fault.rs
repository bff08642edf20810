//! What can be done to a running system, and under which name?
//!
//! Numbers are those of the fault matrix in docs/PROOF.md. A fault is done and ended by the same function, so that a run
//! knows when the system may heal.

use std::time::Duration;

use super::api::ProofError;
use super::history::Allowed;
use super::world::{Shape, World};
use crate::chaos::{ChaosProxy, Way};
use crate::client::dice::Dice;
use crate::client::load::{Load, LoadPlan};
use crate::client::post::Post;
use crate::client::publish::Publisher;
use crate::process::{ProcessError, Signal};
use crate::stack::Service;

/// How long an event is published again that a publisher could not take at once.
const REPEATED: Duration = Duration::from_secs(30);

/// A fault, by the name that `make proof FAULT=` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// `F12`; with a letter where one number has several ways.
    pub name: &'static str,
    /// What is done, for people.
    pub what: &'static str,
    kind: Kind,
    /// Whether one run of it takes little more than the start of the system: the gate runs one of these.
    pub short: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GatewayKilled,
    RollingRestart,
    GatewayFrozen,
    PublishersKilled,
    PublisherFrozen,
    AnswersCut,
    RedisKilled,
    RedisFrozen,
    SubscribersDropped,
    ClusterSubscribersDropped,
    RedisMoves,
    RedisLink(Trouble),
    PostgresLink(Trouble),
    PostgresStopped,
    PostgresKilled,
    PostgresFrozen,
    SlowReaders,
    ReconnectStorm,
    SameEventTwice,
    HotTenant,
    LongAbsence,
    BalancerRestarted,
    CoresBusy,
    Everything,
}

/// What becomes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Silent(Way),
    Cut,
    Late,
}

const fn fault(name: &'static str, kind: Kind, short: bool, what: &'static str) -> Fault {
    Fault { name, what, kind, short }
}

/// Every fault that a run knows.
pub const FAULTS: [Fault; 30] = [
    fault("F1", Kind::GatewayKilled, true, "one gateway of three is killed under load, and started again"),
    fault("F2", Kind::RollingRestart, false, "all gateways are stopped and started, one after the other"),
    fault("F3", Kind::GatewayFrozen, false, "one gateway stands still for 12 to 16 s, then goes on"),
    fault(
        "F4",
        Kind::PublishersKilled,
        true,
        "publishers are killed again and again, also between commit and announcement",
    ),
    fault("F4b", Kind::PublisherFrozen, false, "one publisher stands still for 5 to 10 s, then goes on"),
    fault(
        "F5",
        Kind::AnswersCut,
        true,
        "callers lose their connections to publishers before the answer, and repeat",
    ),
    fault("F6", Kind::RedisKilled, true, "Redis is killed and comes back empty after 3 to 8 s"),
    fault("F7", Kind::RedisFrozen, true, "Redis stands still for 3 to 8 s"),
    fault("F8", Kind::SubscribersDropped, true, "Redis drops all its subscribers, ten times"),
    fault(
        "F8b",
        Kind::ClusterSubscribersDropped,
        false,
        "nodes of a Redis Cluster drop their subscribers, ten times",
    ),
    fault(
        "F10",
        Kind::RedisMoves,
        true,
        "publishers announce in another Redis while gateways still hear the old one, which is alive",
    ),
    fault(
        "F11",
        Kind::RedisLink(Trouble::Late),
        true,
        "what goes to and from Redis is 200 ms late, and its connections are cut now and then",
    ),
    fault(
        "F12",
        Kind::RedisLink(Trouble::Silent(Way::Both)),
        false,
        "one gateway hears nothing of Redis and Redis nothing of it, without a reset",
    ),
    fault(
        "F12b",
        Kind::RedisLink(Trouble::Silent(Way::Back)),
        false,
        "one gateway hears nothing of Redis, which hears it",
    ),
    fault(
        "F12c",
        Kind::RedisLink(Trouble::Silent(Way::There)),
        false,
        "Redis hears nothing of one gateway, which hears it",
    ),
    fault("F12d", Kind::RedisLink(Trouble::Cut), true, "one gateway is refused by Redis"),
    fault(
        "F13",
        Kind::PostgresLink(Trouble::Silent(Way::Both)),
        false,
        "one gateway and Postgres hear nothing of each other, without a reset",
    ),
    fault(
        "F13b",
        Kind::PostgresLink(Trouble::Silent(Way::Back)),
        false,
        "one gateway hears nothing of Postgres, which hears it",
    ),
    fault("F13c", Kind::PostgresLink(Trouble::Cut), true, "one gateway is refused by Postgres"),
    fault(
        "F13d",
        Kind::PostgresLink(Trouble::Late),
        false,
        "what goes between one gateway and Postgres is 200 ms late",
    ),
    fault(
        "F14",
        Kind::PostgresStopped,
        true,
        "Postgres is stopped at once (SIGQUIT) and started again, twice",
    ),
    fault(
        "F14b",
        Kind::PostgresKilled,
        true,
        "Postgres is killed (SIGKILL, all its processes) and started again",
    ),
    fault("F16", Kind::PostgresFrozen, false, "Postgres stands still for 4 to 9 s"),
    fault("F19", Kind::SlowReaders, true, "a third of the clients do not read for some seconds"),
    fault("F20", Kind::ReconnectStorm, true, "all clients lose their connections at once, five times"),
    fault(
        "F21",
        Kind::SameEventTwice,
        true,
        "the same events are published at the same time through both publishers, under one key",
    ),
    fault("F23", Kind::HotTenant, false, "another tenant publishes as fast as it can"),
    fault("F24", Kind::LongAbsence, false, "two clients are away while 3,000 events are published"),
    fault(
        "F25",
        Kind::BalancerRestarted,
        false,
        "the balancer that clients come through is killed and started again, twice",
    ),
    fault("F31", Kind::CoresBusy, true, "every core is busy with something else"),
];

/// Two things at a time, and the next two when those are over.
pub const STORM: Fault =
    fault("STORM", Kind::Everything, false, "processes and links fail in pairs for half a minute, by chance");

/// The fault of this name.
pub fn named(name: &str) -> Option<Fault> {
    FAULTS.into_iter().chain([STORM]).find(|fault| fault.name.eq_ignore_ascii_case(name))
}

impl Fault {
    /// What its run needs.
    pub fn shape(self) -> Shape {
        Shape {
            redis_cluster: self.kind == Kind::ClusterSubscribersDropped,
            balanced: self.kind == Kind::BalancerRestarted,
            ..Shape::default()
        }
    }

    /// What may happen to clients because of it.
    pub fn allowed(self) -> Allowed {
        let abrupt_ends = matches!(
            self.kind,
            Kind::GatewayKilled
                | Kind::GatewayFrozen
                | Kind::ReconnectStorm
                | Kind::LongAbsence
                | Kind::BalancerRestarted
                | Kind::CoresBusy
                | Kind::Everything
        );
        Allowed { resets: false, abrupt_ends }
    }

    /// Does it, and ends it.
    pub async fn strike(self, world: &World, dice: &mut Dice) -> Result<(), ProofError> {
        let stack = &world.stack;
        let some = |low, high, dice: &mut Dice| Duration::from_millis(u64::from(dice.between(low, high)));
        match self.kind {
            Kind::GatewayKilled => {
                let gateway = stack.gateway(dice.below(3));
                gateway.kill().map_err(process)?;
                pause(some(500, 4_000, dice)).await;
                gateway.restart().await.map_err(process)?;
            }
            Kind::RollingRestart => {
                for gateway in stack.gateways() {
                    gateway.terminate().await.map_err(process)?;
                    gateway.restart().await.map_err(process)?;
                    world.acknowledged_more(10).await?;
                }
            }
            Kind::GatewayFrozen => still(stack.gateway(dice.below(3)), some(12_000, 16_000, dice)).await?,
            Kind::PublishersKilled => {
                for round in 0..8 {
                    world.acknowledged_more(dice.between(5, 40) as usize).await?;
                    stack.publisher(round % 2).restart().await.map_err(process)?;
                }
            }
            Kind::PublisherFrozen => still(stack.publisher(dice.below(2)), some(5_000, 10_000, dice)).await?,
            Kind::AnswersCut => {
                for _ in 0..40 {
                    pause(some(10, 250, dice)).await;
                    let door = &world.doors[dice.below(world.doors.len())];
                    door.cut_once().await.map_err(ProofError::of("a door"))?;
                }
            }
            Kind::RedisKilled => {
                stack.redis().process().kill().map_err(process)?;
                pause(some(3_000, 8_000, dice)).await;
                stack.redis().restart().await.map_err(process)?;
            }
            Kind::RedisFrozen => {
                stack.redis().process().freeze().map_err(process)?;
                pause(some(3_000, 8_000, dice)).await;
                stack.redis().process().thaw().map_err(process)?;
            }
            Kind::SubscribersDropped | Kind::ClusterSubscribersDropped => {
                for _ in 0..10 {
                    pause(some(50, 800, dice)).await;
                    let nodes = stack.redis_nodes();
                    let node = &nodes[dice.below(nodes.len())];
                    node.command("CLIENT KILL TYPE pubsub").await.map_err(ProofError::of("Redis"))?;
                }
            }
            Kind::RedisMoves => super::other_redis::moves(world, some(2_000, 6_000, dice)).await?,
            Kind::RedisLink(trouble) => {
                let links = stack.gateway(dice.below(3)).links().ok_or_else(no_links)?;
                trouble.on(&links.redis, some(4_000, 9_000, dice), dice).await?;
            }
            Kind::PostgresLink(trouble) => {
                let links = stack.gateway(dice.below(3)).links().ok_or_else(no_links)?;
                trouble.on(&links.postgres, some(4_000, 9_000, dice), dice).await?;
            }
            Kind::PostgresStopped => {
                for _ in 0..2 {
                    world.acknowledged_more(30).await?;
                    let postgres = stack.postgres().process();
                    postgres.signal(Signal::QUIT).map_err(process)?;
                    postgres.wait_exit(Duration::from_secs(30)).await.map_err(process)?;
                    pause(some(200, 2_000, dice)).await;
                    stack.postgres().restart().await.map_err(process)?;
                }
            }
            Kind::PostgresKilled => {
                stack.postgres().process().kill().map_err(process)?;
                pause(some(200, 3_000, dice)).await;
                stack.postgres().restart().await.map_err(process)?;
            }
            Kind::PostgresFrozen => {
                stack.postgres().process().freeze().map_err(process)?;
                pause(some(4_000, 9_000, dice)).await;
                stack.postgres().process().thaw().map_err(process)?;
            }
            Kind::SlowReaders => {
                let slow = || world.clients.iter().skip(2).step_by(3);
                for client in slow() {
                    client.pause().await;
                }
                pause(some(4_000, 8_000, dice)).await;
                for client in slow() {
                    client.go().await;
                }
            }
            Kind::ReconnectStorm => {
                for _ in 0..5 {
                    for client in &world.clients {
                        client.sever().await;
                    }
                    world.acknowledged_more(dice.between(5, 60) as usize).await?;
                }
            }
            Kind::SameEventTwice => same_event_twice(world, dice).await?,
            Kind::HotTenant => {
                let make = |n| Post::new("hot", "proof.hot", serde_json::json!({"n": n})).tenant_wide();
                let plan = LoadPlan::new(None, make).tasks(16);
                let load = Load::start(&world.publishers()?, &world.ledger, &plan);
                pause(some(6_000, 9_000, dice)).await;
                load.stop().await;
            }
            Kind::LongAbsence => {
                let away = [&world.clients[1], &world.clients[8]];
                for client in away {
                    client.pause().await;
                    client.sever().await;
                }
                let workload = world.workload;
                let plan = LoadPlan::new(None, move |n| workload.post(1 << 40 | n)).tasks(16).total(3_000);
                let report = Load::start(&world.publishers()?, &world.ledger, &plan).finished().await;
                for client in away {
                    client.go().await;
                }
                if report.abandoned > 0 {
                    return Err(ProofError(format!("a healthy system gave events up: {report:?}")));
                }
            }
            Kind::BalancerRestarted => {
                let haproxy = stack.haproxy().ok_or_else(|| ProofError("there is no balancer".into()))?;
                for _ in 0..2 {
                    haproxy.process().kill().map_err(process)?;
                    pause(some(200, 2_000, dice)).await;
                    haproxy.restart().await.map_err(ProofError::of("the balancer"))?;
                    world.acknowledged_more(30).await?;
                }
            }
            Kind::CoresBusy => busy(some(8_000, 12_000, dice)).await,
            Kind::Everything => super::storm::rages(world, dice).await?,
        }
        Ok(())
    }
}

impl Trouble {
    async fn on(self, link: &ChaosProxy, time: Duration, dice: &mut Dice) -> Result<(), ProofError> {
        let failed = ProofError::of("a link");
        match self {
            Self::Silent(way) => {
                link.silence(way);
                pause(time).await;
            }
            Self::Cut => {
                link.cut().await.map_err(&failed)?;
                pause(time).await;
            }
            Self::Late => {
                link.delay(Duration::from_millis(200));
                for _ in 0..4 {
                    pause(time / 4).await;
                    if dice.chance(50) {
                        link.cut_once().await.map_err(&failed)?;
                    }
                }
            }
        }
        link.restore().await.map_err(failed)
    }
}

/// Each of these is published through both publishers at the same time, under one key; an answer is one place.
async fn same_event_twice(world: &World, dice: &mut Dice) -> Result<(), ProofError> {
    let publishers = world.publishers()?;
    for n in 0..150 {
        let id = format!("twice-{n}");
        let post = world.workload.post(1 << 41 | n).id(&id);
        world.book().attempted(&id, &post, std::time::Instant::now());
        let until_answered = async |publisher: &Publisher| {
            let begun = std::time::Instant::now();
            loop {
                match publisher.publish(&post, Some(&id)).await {
                    Err(error) if error.is_retryable() && begun.elapsed() < REPEATED => {
                        pause(Duration::from_millis(50)).await;
                    }
                    answer => break answer.map_err(ProofError::of("an event that is published twice")),
                }
            }
        };
        let (one, other) =
            tokio::join!(until_answered(&publishers[0]), until_answered(&publishers[1 % publishers.len()]));
        for ack in [one?, other?] {
            world.book().acknowledged(&post.tenant, &ack);
        }
        if dice.chance(20) {
            pause(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Threads that do nothing as fast as they can, twice as many as there are cores.
async fn busy(time: Duration) {
    let until = std::time::Instant::now() + time;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let spin = move || {
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
    };
    let threads: Vec<_> = (0..cores * 2).map(|_| tokio::task::spawn_blocking(spin)).collect();
    for thread in threads {
        // A thread that only counts time does not fail.
        let _ = thread.await;
    }
}

async fn still(service: &Service, time: Duration) -> Result<(), ProofError> {
    service.freeze().map_err(process)?;
    pause(time).await;
    service.thaw().map_err(process)
}

/// How long a fault lasts is part of the fault, not a wait for something to happen.
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(super) fn process(error: ProcessError) -> ProofError {
    ProofError(error.to_string())
}

pub(super) fn no_links() -> ProofError {
    ProofError("this system has no links that can be cut".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_name_of_its_own_and_the_gate_has_a_choice() {
        let names: std::collections::BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), FAULTS.len());
        assert!(FAULTS.iter().filter(|fault| fault.short).count() >= 10);
        assert_eq!(named("f12c").map(|fault| fault.name), Some("F12c"));
        assert_eq!(named("STORM"), Some(STORM));
        assert_eq!(named("F99"), None);
    }
}
