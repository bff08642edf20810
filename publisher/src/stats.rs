//! How much do tenants use of the gateways now?
//!
//! From what gateways wrote into Redis: their cards every two seconds, and every five what each tenant uses there. No gateway is asked.
//! While Redis is away, what was known last is told as what it is: old.

use carillon_backplane::bus::{Fleet, LimitStore, Minute, NodeCard, NodeState, Registry, TenantUsage};
use carillon_platform::auth::Target;
use carillon_protocol::TenantId;
use carillon_protocol::presence::Origin;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use utoipa::ToSchema;

/// Longest wait for Redis.
const ANSWER: Duration = Duration::from_millis(500);
/// The reason of connections that took nothing any more.
const STALLED: &str = "stalled";
/// Tenants of which the last answer is kept.
const KEPT: usize = 1_000;

/// Reads it.
pub struct StatsReader {
    store: LimitStore,
    registry: Box<dyn Fn() -> Registry + Send + Sync>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    cards: Vec<NodeCard>,
    tenants: HashMap<TenantId, Stats>,
}

/// What is used of the gateways.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// Whose numbers these are; left out: everybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// Open connections; null: nothing is known yet.
    pub connections: Option<u64>,
    /// Memberships of these connections in channels; of a tenant alone.
    pub subscriptions: Option<u64>,
    /// Different channels in which somebody is; of a tenant alone. Null: it has too many connections to count them, or the database did not
    /// say.
    pub channels: Option<u64>,
    /// Events that passed, a second; of a tenant alone (each node that serves it sees all of them).
    pub events_per_second: Option<f64>,
    /// Event frames that were written to connections, a second.
    pub deliveries_per_second: Option<f64>,
    /// Notices that were sent since midnight UTC; of a tenant with a limit of them alone, and left out when the database did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub notices_today: Option<u64>,
    /// From the commit in the database to the sockets, of the events of the last minute; of all tenants alone. Null: there were none.
    pub latency: Option<Latency>,
    /// What happened in the last minute; of all tenants alone.
    pub minute: Option<MinuteStats>,
    /// The gateways: all of them, or those that serve the tenant.
    pub nodes: Vec<NodeStats>,
    /// Whether Redis is away, so that this is how it was before.
    pub stale: bool,
}

/// What is used of one gateway: by all, or by the tenant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeStats {
    /// `CARILLON_NODE`.
    pub node: String,
    /// Open connections.
    pub connections: u64,
    /// Events that passed, a second.
    pub events_per_second: f64,
    /// Event frames that were written, a second.
    pub deliveries_per_second: f64,
    /// Which release it runs.
    pub version: String,
    /// Whether it takes connections: `serving`, `evacuating` or `draining`.
    pub state: &'static str,
    /// When it started, by its own clock: RFC 3339.
    pub started_at: Option<String>,
    /// Tenants that it follows; in the answer about all of them alone.
    pub tenants: Option<u64>,
    /// From the commit in the database to its sockets, of the events of the last minute; likewise. Null also where there were none.
    pub latency: Option<Latency>,
}

/// How long events took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Latency {
    /// Half of them took no longer, in milliseconds; within a tenth.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// How many there were, each once for each thread of a gateway that had somebody to send it to.
    pub count: u64,
}

/// Sums of the last minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct MinuteStats {
    /// Welcomes.
    pub resumes: Resumes,
    /// Connections that ended, by reason: a close code's name, `left`, `answered` for a poll.
    pub closes: BTreeMap<String, u64>,
    /// Those of them that were closed because they took nothing any more.
    pub stalled: u64,
    /// Times a live connection fell behind.
    pub fell_behind: u64,
    /// Holes in streams that were read from the log.
    pub gaps: u64,
    /// Events that were read for that.
    pub events_repaired: u64,
    /// Requests that became no connection.
    pub handshakes_rejected: u64,
}

/// Welcomes, by what they said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Resumes {
    /// Nothing was missed.
    pub live: u64,
    /// What was missed followed.
    pub replay: u64,
    /// The cursor could not be honoured.
    pub reset: u64,
}

impl Latency {
    fn of(minute: &Minute) -> Option<Self> {
        let (p50_ms, p99_ms) = (minute.quantile_ms(0.5)?, minute.quantile_ms(0.99)?);
        Some(Self { p50_ms, p99_ms, count: minute.delivered() })
    }
}

impl MinuteStats {
    fn of(minute: Minute) -> Self {
        let [live, replay, reset] = minute.resumes;
        Self {
            resumes: Resumes { live, replay, reset },
            stalled: minute.closes.get(STALLED).copied().unwrap_or_default(),
            closes: minute.closes,
            fell_behind: minute.fell_behind,
            gaps: minute.gaps,
            events_repaired: minute.events_repaired,
            handshakes_rejected: minute.handshakes_rejected,
        }
    }
}

impl NodeStats {
    /// A gateway, and what is used of it.
    fn of(card: &NodeCard, connections: u64, [events, deliveries]: [f64; 2]) -> Self {
        let started = i64::try_from(card.started_ms).ok().filter(|ms| *ms > 0);
        Self {
            node: card.node.clone(),
            connections,
            events_per_second: events,
            deliveries_per_second: deliveries,
            version: card.version.clone(),
            state: match card.state {
                NodeState::Serving => "serving",
                NodeState::Evacuating => "evacuating",
                NodeState::Draining => "draining",
            },
            started_at: started.and_then(|ms| Some(Timestamp::from_millisecond(ms).ok()?.to_string())),
            tenants: None,
            latency: None,
        }
    }
}

impl StatsReader {
    /// `registry` is what this process has of the gateways.
    pub fn new(store: LimitStore, registry: impl Fn() -> Registry + Send + Sync + 'static) -> Self {
        Self { store, registry: Box::new(registry), known: Mutex::default() }
    }

    /// Begins to count the connections that are closed because of this target.
    pub async fn begin_closing(&self, tenant: &TenantId, target: &Target) {
        let _ = tokio::time::timeout(ANSWER, self.store.forget_closed(tenant, &target.name())).await;
    }

    /// How many gateways have said since that they closed; none when Redis does not say, or not for long enough.
    pub async fn closed(&self, tenant: &TenantId, target: &Target) -> Option<u64> {
        let name = target.name();
        let counting = self.store.count_closed(tenant, &name);
        tokio::time::timeout(ANSWER, counting).await.ok()?.ok()
    }

    /// Of everybody.
    pub fn of_all(&self) -> Stats {
        let (cards, stale) = self.cards();
        if stale && cards.is_empty() {
            return Stats { stale, ..Stats::default() };
        }
        all(&cards, stale)
    }

    /// Of one tenant.
    pub async fn of(&self, tenant: &TenantId) -> Stats {
        let (cards, unknown) = self.cards();
        let read = tokio::time::timeout(ANSWER, self.store.usage(tenant)).await;
        if let (Ok(Ok(usage)), false) = (read, unknown) {
            let stats = of_tenant(tenant, &usage, &cards);
            let tenants = &mut self.lock().tenants;
            if tenants.len() >= KEPT && !tenants.contains_key(tenant) {
                tenants.clear();
            }
            tenants.insert(tenant.clone(), stats.clone());
            return stats;
        }
        let known = self.lock().tenants.get(tenant).cloned().unwrap_or_default();
        Stats { tenant: Some(tenant.as_str().to_owned()), stale: true, ..known }
    }

    /// The gateways as they are known, and whether that is old.
    fn cards(&self) -> (Vec<NodeCard>, bool) {
        match (self.registry)() {
            Registry::Known(Fleet { nodes, .. }) => {
                self.lock().cards.clone_from(&nodes);
                (nodes, false)
            }
            Registry::Unknown(_) => (self.lock().cards.clone(), true),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all(cards: &[NodeCard], stale: bool) -> Stats {
    let nodes = cards.iter().map(|card| {
        let of_tenant =
            NodeStats::of(card, card.connections, [card.events_per_second, card.deliveries_per_second]);
        let latency = card.minute.as_ref().and_then(Latency::of);
        NodeStats { tenants: Some(card.tenants), latency, ..of_tenant }
    });
    let mut minute = Minute::default();
    cards.iter().filter_map(|card| card.minute.as_ref()).for_each(|of_node| minute.add(of_node));
    Stats {
        tenant: None,
        connections: Some(cards.iter().map(|card| card.connections).sum()),
        subscriptions: None,
        channels: None,
        events_per_second: None,
        deliveries_per_second: Some(added(cards.iter().map(|card| card.deliveries_per_second))),
        notices_today: None,
        latency: Latency::of(&minute),
        minute: Some(MinuteStats::of(minute)),
        nodes: nodes.collect(),
        stale,
    }
}

/// What gateways that live say of a tenant; what others said is of a time that is over.
fn of_tenant(tenant: &TenantId, usage: &[(String, TenantUsage)], cards: &[NodeCard]) -> Stats {
    let card_of = |run: &str| {
        let run: Origin = run.parse().ok()?;
        cards.iter().find(|card| card.node == *run.node && card.incarnation == run.incarnation)
    };
    let living: Vec<(&NodeCard, &TenantUsage)> =
        usage.iter().filter_map(|(run, usage)| Some((card_of(run)?, usage))).collect();
    let sum = |of: fn(&TenantUsage) -> u64| living.iter().map(|(_, usage)| of(usage)).sum::<u64>();
    let events = living.iter().map(|(_, usage)| usage.events_per_second).fold(0.0, f64::max);
    let mut nodes: Vec<NodeStats> = living
        .iter()
        .map(|(card, usage)| {
            NodeStats::of(card, usage.connections, [usage.events_per_second, usage.deliveries_per_second])
        })
        .collect();
    nodes.sort_by(|one, other| one.node.cmp(&other.node));
    Stats {
        tenant: Some(tenant.as_str().to_owned()),
        connections: Some(sum(|usage| usage.connections)),
        subscriptions: Some(sum(|usage| usage.subscriptions)),
        channels: None,
        events_per_second: Some(events),
        deliveries_per_second: Some(added(living.iter().map(|(_, usage)| usage.deliveries_per_second))),
        notices_today: None,
        latency: None,
        minute: None,
        nodes,
        stale: false,
    }
}
/// The sum; of none a plain zero (`Iterator::sum` of no floats is -0.0).
fn added(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}
