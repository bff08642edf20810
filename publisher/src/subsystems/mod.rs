//! How is each part of the installation, why, and by which numbers?
//!
//! | module | question it answers |
//! |---|---|
//! | `analytics` | are events counted, and how far behind the log? |
//! | `events` | can events be published and read, and how far behind is what follows the log? |
//! | `notifications` | are people who miss a notice named in time? |
//! | `websocket` | which gateways serve connections? |
//! | `observe` | where do the numbers come from? |
//!
//! Gateways are never asked: what is said of them is what they wrote into Redis. The judgement is pure; `observe` asks.

mod analytics;
mod events;
mod notifications;
mod observe;
mod websocket;

pub use analytics::AnalyticsHealth;
pub use events::{ArchiveNumbers, Behind, EventsHealth, LogNumbers, OutboxNumbers, Partitions, ProjectorLag};
pub use notifications::{EscalationNumbers, NotificationsHealth};
pub use observe::Subsystems;
pub use websocket::{GatewayNumbers, Nodes, WebsocketHealth};

use carillon_backplane::bus::BusHealth;
use serde::Serialize;
use utoipa::ToSchema;

/// How well something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should.
    Up,
    /// It does its work, slower or in part.
    Degraded,
    /// It does not do its work.
    Down,
}

/// Why something does not work as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reason {
    /// A stable name.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What it makes of the whole.
    #[serde(skip)]
    pub state: State,
}

impl Reason {
    fn new(state: State, code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), state }
    }
}

/// The worst that one of the reasons makes of it.
fn worst(reasons: &[Reason]) -> State {
    reasons.iter().map(|reason| reason.state).max().unwrap_or(State::Up)
}

/// Whether this publisher reaches Redis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct RedisNumbers {
    /// Whether it does.
    pub up: bool,
    /// For how many seconds it has not; null while it does.
    pub down_seconds: Option<f64>,
}

impl From<BusHealth> for RedisNumbers {
    fn from(health: BusHealth) -> Self {
        match health {
            BusHealth::Up => Self { up: true, down_seconds: None },
            BusHealth::Down { since, .. } => {
                Self { up: false, down_seconds: Some(since.elapsed().as_secs_f64()) }
            }
        }
    }
}

/// What it means that Redis is away, if it is.
fn redis(health: BusHealth, meaning: &str) -> Option<Reason> {
    let BusHealth::Down { cause, .. } = health else { return None };
    Some(Reason::new(State::Degraded, "redis", format!("redis is down ({}): {meaning}", cause.as_str())))
}
