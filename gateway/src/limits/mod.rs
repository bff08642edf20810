//! How many connections may a tenant have, and how many signals may its clients send?
//!
//! The limits count over all nodes, in Redis (`carillon_backplane::bus::LimitStore`). Whoever is about to come in is counted there
//! before they are let in. Signals may not wait: a node spends a few on credit, and settles with Redis beside it. While Redis is away
//! each node has its share, the limit by the number of nodes it knew last. A tenant without limits costs nothing here.

mod signals;

use crate::metrics::metrics;
use crate::stream::Stream;
use carillon_backplane::bus::{Fleet, LimitStore};
use carillon_platform::telemetry::Seldom;
use carillon_protocol::TenantId;
use signals::{Ask, Shares};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long it counts what a node has said of its connections.
const LEASE: Duration = Duration::from_secs(15);
/// How often a node says so of tenants with a limit.
const PACE: Duration = Duration::from_secs(1);
/// Longest wait for Redis.
const ANSWER: Duration = Duration::from_millis(500);

static AWAY: Seldom<()> = Seldom::new();

/// Counts what tenants use of their limits. Clones are the same count.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Inner>);

struct Inner {
    store: Option<LimitStore>,
    me: String,
    arriving: Mutex<HashMap<TenantId, u64>>,
    counted: Mutex<HashMap<TenantId, Counted>>,
    shares: Shares,
    closed: mpsc::UnboundedSender<Closed>,
}

struct Counted {
    stream: Weak<Stream>,
    limit: u64,
}

/// The work that waits for Redis.
pub(crate) struct LimitTask {
    limits: Limits,
    asks: mpsc::UnboundedReceiver<Ask>,
    closed: mpsc::UnboundedReceiver<Closed>,
}

/// Connections that a shard has closed because somebody was disconnected: in which tenant, because of whom, how many.
type Closed = (TenantId, String, u64);

/// Somebody on the way in, counted until they are among the tenant's connections.
pub(crate) struct Arriving {
    limits: Limits,
    tenant: TenantId,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut arriving = lock(&self.limits.0.arriving);
        if let Some(count) = arriving.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                arriving.remove(&self.tenant);
            }
        }
    }
}

impl Default for Limits {
    /// Without Redis: each node counts for itself.
    fn default() -> Self {
        Self::new(None, String::new()).0
    }
}

impl Limits {
    /// `me` is nobody else's name.
    pub(crate) fn new(store: Option<LimitStore>, me: String) -> (Self, LimitTask) {
        // Bounded by the tenants with a limit: one each is under way.
        let (ask, asks) = mpsc::unbounded_channel();
        // Bounded by the connections that are closed.
        let (tell_closed, closed) = mpsc::unbounded_channel();
        let shares = Shares::new(store.is_some().then_some(ask));
        let (arriving, counted) = <(Mutex<_>, Mutex<_>)>::default();
        let limits = Self(Arc::new(Inner { store, me, arriving, counted, shares, closed: tell_closed }));
        (limits.clone(), LimitTask { limits, asks, closed })
    }

    /// A place among a tenant's connections; none if it has as many as it may.
    pub(crate) async fn enter(&self, stream: &Arc<Stream>, limit: u64) -> Option<Arriving> {
        let tenant = stream.tenant.clone();
        let position = {
            let mut arriving = lock(&self.0.arriving);
            let count = arriving.entry(tenant.clone()).or_default();
            *count += 1;
            *count
        };
        let arriving = Arriving { limits: self.clone(), tenant: tenant.clone() };
        let [connections, ..] = stream.usage();
        let mine = connections + position;
        let fits = match self.count(&tenant, limit, mine, true).await {
            Some(fits) => fits,
            None => mine <= limit.div_ceil(self.0.shares.nodes()),
        };
        if !fits {
            metrics().limited_connections.increment(1);
            return None;
        }
        lock(&self.0.counted).insert(tenant, Counted { stream: Arc::downgrade(stream), limit });
        Some(arriving)
    }

    /// Connections were closed because this target was disconnected: whoever asked for it is told how many.
    pub(crate) fn closed(&self, tenant: &TenantId, target: String, count: u64) {
        // Without a task, in tests, nobody is told.
        let _ = self.0.closed.send((tenant.clone(), target, count));
    }

    /// From now on the tenant's connections here are told to Redis.
    pub(crate) fn watch(&self, stream: &Arc<Stream>) {
        if let Some(limit) = stream.rules().limits().connections {
            let counted = Counted { stream: Arc::downgrade(stream), limit };
            lock(&self.0.counted).insert(stream.tenant.clone(), counted);
        }
    }

    /// Takes one of a tenant's signals a second; else says in how many milliseconds to try again.
    pub(crate) fn take_signal(&self, tenant: &TenantId, limit: u32, now_ms: u64) -> Result<(), u64> {
        let taken = self.0.shares.take(tenant, limit, now_ms);
        if taken.is_err() {
            metrics().limited_signals.increment(1);
        }
        taken
    }

    /// Tells Redis; whether the new one fits in. None when Redis does not say.
    async fn count(&self, tenant: &TenantId, limit: u64, mine: u64, is_new: bool) -> Option<bool> {
        let store = self.0.store.as_ref()?;
        let lease_ms = LEASE.as_millis() as u64;
        let counting = store.count(tenant, (limit, mine, is_new), &self.0.me, lease_ms);
        let fault = match tokio::time::timeout(ANSWER, counting).await {
            Ok(Ok(fits)) => return Some(fits),
            Ok(Err(fault)) => fault.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        if let Some(times) = AWAY.due(()) {
            tracing::warn!(fault, times, "tenants' limits have no redis: each node counts its share");
        }
        None
    }

    /// Says anew how many connections there are of tenants with a limit.
    async fn tell(&self) {
        let all: Vec<(TenantId, Option<Arc<Stream>>, u64)> = lock(&self.0.counted)
            .iter()
            .map(|(tenant, counted)| (tenant.clone(), counted.stream.upgrade(), counted.limit))
            .collect();
        for (tenant, stream, limit) in all {
            let limited = stream.as_ref().and_then(|stream| stream.rules().limits().connections);
            let connections = stream.map_or(0, |stream| stream.usage()[0]);
            let arriving = lock(&self.0.arriving).get(&tenant).copied().unwrap_or_default();
            let mine = connections + arriving;
            let told = self.count(&tenant, limited.unwrap_or(limit), mine, false).await;
            if told.is_none() {
                return;
            }
            if mine == 0 || limited.is_none() {
                lock(&self.0.counted).remove(&tenant);
            }
        }
    }
}

impl LimitTask {
    /// Runs until `stop`. `fleet` is who else is there; while that is not known, what was known last holds.
    pub(crate) async fn run(mut self, fleet: watch::Receiver<Option<Fleet>>, stop: CancellationToken) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pace.tick() => {
                    let nodes = fleet.borrow().as_ref().map(|fleet| fleet.serving().count() as u64);
                    if let Some(nodes) = nodes.filter(|nodes| *nodes > 0) {
                        self.limits.0.shares.know(nodes);
                    }
                    self.limits.tell().await;
                }
                Some(ask) = self.asks.recv() => self.settle(ask),
                Some((tenant, target, count)) = self.closed.recv() => {
                    if let Some(store) = &self.limits.0.store {
                        // Else the number is not known, which costs nobody anything.
                        let telling = store.closed(&tenant, &target, count);
                        let _ = tokio::time::timeout(ANSWER, telling).await;
                    }
                }
            }
        }
    }

    /// Has Redis asked for what a node spent on credit.
    fn settle(&self, ask: Ask) {
        let limits = self.limits.clone();
        tokio::spawn(async move {
            let Inner { store, me, shares, .. } = &*limits.0;
            let Some(store) = store else { return };
            let taken = tokio::time::timeout(ANSWER, store.take(ask.take(me))).await;
            shares.settled(&ask, taken.ok().and_then(Result::ok));
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
