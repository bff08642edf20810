//! Who has to leave this node, and how fast?
//!
//! **Invariant I8.** One engine for three causes: a *drain* (the process is stopping), an *evacuation* (an operator has
//! the node emptied) and a *rebalance* (the node carries more than its share). It tells the shards, ten times a second,
//! how many of their connections to send away; each of those is first brought to the head of its log, then told `goaway`
//! with a delay of its own, then closed with a code that says resume.
//!
//! | module | question it answers |
//! |---|---|
//! | [`pace`] | how many are told to leave now? |
//! | [`balance`] | does this node carry more than its share? |
//! | [`operator`] | how does an operator have a node emptied? |

mod balance;
pub mod operator;
mod pace;

use crate::metrics::metrics;
use crate::serving::Serving;
use crate::shard::{Cause, Shards};
use balance::Balance;
use carillon_backplane::bus::{Fleet, NodeState};
use pace::Pace;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the shards are told.
const TICK: Duration = Duration::from_millis(100);
/// How long after the window sockets may still be closing.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// How fast a node empties.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaveConfig {
    /// How long it is known to be unready before the first one is told.
    pub(crate) delay: Duration,
    /// Over how long a node empties.
    pub(crate) window: Duration,
    /// Most that are told in a second.
    pub(crate) most_per_second: u32,
    /// Share of its connections, in percent a minute, that a node sheds to be in balance; none: it does not.
    pub(crate) rebalance_percent: Option<u32>,
}

/// Has connections leave.
pub(crate) struct Leaver {
    config: LeaveConfig,
    shards: Shards,
    serving: Serving,
    fleet: watch::Receiver<Option<Fleet>>,
    balance: Balance,
    course: Course,
}

/// What the node is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    /// Nobody has to leave, unless there are too many.
    Stay { shed: Pace },
    /// Everybody has to leave, from this time on.
    Empty { from: Instant, pace: Pace, cause: Cause },
}

const STAY: Course = Course::Stay { shed: Pace::NOTHING };

impl Leaver {
    pub(crate) fn new(
        config: LeaveConfig,
        shards: Shards,
        serving: Serving,
        fleet: watch::Receiver<Option<Fleet>>,
    ) -> Self {
        Self { config, shards, serving, fleet, balance: Balance::default(), course: STAY }
    }

    /// Has connections leave, until the process ends. The state of the node tells why.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.follow(self.serving.state(), now);
            let (cause, count) = self.due(now, now - last);
            last = now;
            if count > 0 {
                self.shards.send_away(cause, count);
            }
        }
    }

    /// Changes course with the state of the node.
    fn follow(&mut self, state: NodeState, now: Instant) {
        let wanted = match state {
            NodeState::Serving => None,
            NodeState::Evacuating => Some(Cause::Evacuate),
            NodeState::Draining => Some(Cause::Drain),
        };
        match (wanted, &mut self.course) {
            (None, Course::Stay { .. }) => {}
            (None, Course::Empty { .. }) => self.course = STAY,
            // The pace goes on: they know already that the node is unready.
            (Some(wanted), Course::Empty { cause, .. }) => *cause = wanted,
            (Some(cause), Course::Stay { .. }) => {
                let connections = self.shards.load();
                let pace = Pace::to_empty(connections, self.config.window, self.config.most_per_second);
                let takes = pace.time_for(connections);
                if takes > self.config.window {
                    tracing::warn!(
                        connections,
                        needs_s = takes.as_secs(),
                        "the window is too short for this many at CARILLON_DRAIN_RATE"
                    );
                }
                self.course = Course::Empty { from: now + self.config.delay, pace, cause };
            }
        }
    }

    /// How many are told now, and why.
    fn due(&mut self, now: Instant, elapsed: Duration) -> (Cause, usize) {
        match &mut self.course {
            Course::Empty { from, pace, cause } if now >= *from => (*cause, pace.due(elapsed)),
            Course::Empty { cause, .. } => (*cause, 0),
            Course::Stay { shed } => {
                let Some(percent) = self.config.rebalance_percent else { return (Cause::Rebalance, 0) };
                let own = self.shards.load();
                let excess = match &*self.fleet.borrow() {
                    Some(fleet) => self.balance.excess(own as u64, fleet, now),
                    None => 0,
                };
                shed.becomes(if excess == 0 { 0.0 } else { own as f64 * f64::from(percent) / 6_000.0 });
                (Cause::Rebalance, shed.due(elapsed).min(excess as usize))
            }
        }
    }
}

/// Resolves when a node that drains has nobody left, or has waited as long as it may.
pub(crate) async fn emptied(shards: &Shards, config: LeaveConfig) {
    let deadline = Instant::now() + config.delay + config.window + LAST_MOMENTS;
    while shards.load() > 0 && Instant::now() < deadline {
        tokio::time::sleep(TICK / 2).await;
    }
}

/// Tells the operators what the node is about and what it knows of the others, until the process ends.
pub(crate) async fn report(serving: Serving, fleet: watch::Receiver<Option<Fleet>>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let state = match serving.state() {
            NodeState::Serving => 0.0,
            NodeState::Evacuating => 1.0,
            NodeState::Draining => 2.0,
        };
        metrics().drain_state.set(state);
        let (nodes, connections) = fleet.borrow().as_ref().map_or((0, 0), |fleet| {
            fleet.serving().fold((0_u32, 0_u64), |(nodes, all), card| (nodes + 1, all + card.connections))
        });
        metrics().fleet_nodes.set(f64::from(nodes));
        metrics().fleet_connections.set(connections as f64);
    }
}
