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
use futures_util::StreamExt;
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
/// Tenants of which Redis is told at a time.
const AT_ONCE: usize = 32;
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

    /// Says anew how many connections there are of tenants with a limit: of each, also when Redis did not take what was said of
    /// another.
    async fn tell(&self) {
        let all: Vec<TenantId> = lock(&self.0.counted).keys().cloned().collect();
        futures_util::stream::iter(all).for_each_concurrent(AT_ONCE, |tenant| self.tell_of(tenant)).await;
    }

    async fn tell_of(&self, tenant: TenantId) {
        let counted = lock(&self.0.counted).get(&tenant).map(|it| (it.stream.upgrade(), it.limit));
        let Some((stream, limit)) = counted else { return };
        let limited = stream.as_ref().and_then(|stream| stream.rules().limits().connections);
        let connections = stream.map_or(0, |stream| stream.usage()[0]);
        let arriving = lock(&self.0.arriving).get(&tenant).copied().unwrap_or_default();
        let mine = connections + arriving;
        let told = self.count(&tenant, limited.unwrap_or(limit), mine, false).await;
        if told.is_some() && (mine == 0 || limited.is_none()) {
            lock(&self.0.counted).remove(&tenant);
        }
    }
}

impl LimitTask {
    /// Runs until `stop`. `fleet` is who else is there; while that is not known, what was known last holds. Nothing that waits for
    /// Redis here keeps anything else waiting.
    pub(crate) async fn run(self, fleet: watch::Receiver<Option<Fleet>>, stop: CancellationToken) {
        let Self { limits, mut asks, mut closed } = self;
        let knowing = async {
            let mut fleet = fleet;
            loop {
                let nodes = fleet.borrow_and_update().as_ref().map(|fleet| fleet.serving().count() as u64);
                if let Some(nodes) = nodes.filter(|nodes| *nodes > 0) {
                    limits.0.shares.know(nodes);
                }
                if fleet.changed().await.is_err() {
                    return;
                }
            }
        };
        let telling = async {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                limits.tell().await;
            }
        };
        let settling = async {
            while let Some(ask) = asks.recv().await {
                settle(&limits, ask);
            }
        };
        let counting_closed = async {
            let mut some = Vec::new();
            while closed.recv_many(&mut some, AT_ONCE).await > 0 {
                let told = some.drain(..).map(|closed| tell_closed(&limits, closed));
                futures_util::future::join_all(told).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = async { tokio::join!(knowing, telling, settling, counting_closed) } => {}
        }
    }
}

/// Has Redis asked for what a node spent on credit.
fn settle(limits: &Limits, ask: Ask) {
    let limits = limits.clone();
    tokio::spawn(async move {
        let Inner { store, me, shares, .. } = &*limits.0;
        let Some(store) = store else { return };
        let taken = tokio::time::timeout(ANSWER, store.take(ask.take(me))).await;
        shares.settled(&ask, taken.ok().and_then(Result::ok));
    });
}

async fn tell_closed(limits: &Limits, (tenant, target, count): Closed) {
    if let Some(store) = &limits.0.store {
        // Else the number is not known, which costs nobody anything.
        let _ = tokio::time::timeout(ANSWER, store.closed(&tenant, &target, count)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::bus::{BusConfig, BusMode, PresenceReader};
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    fn now_ms() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redis_that_never_answers_keeps_no_tenant_waiting_for_another() {
        // It takes connections, and that is all.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", silent.local_addr().unwrap());
        let reader = PresenceReader::connect(&BusConfig::new(&*url, BusMode::Standalone, "crln")).unwrap();
        let (limits, task) = Limits::new(Some(reader.limits()), "me".into());
        let (stop, (_known, fleet)) = (CancellationToken::new(), watch::channel(None));
        let task = tokio::spawn(task.run(fleet, stop.clone()));
        let tenants: Vec<TenantId> = (0..100).map(|n| TenantId::new(format!("t{n}")).unwrap()).collect();
        // Each spends what it has on credit; more it has when Redis has answered, or has not for half a second.
        for tenant in &tenants {
            while limits.take_signal(tenant, 100, now_ms()).is_ok() {}
        }
        let began = Instant::now();
        for tenant in &tenants {
            while limits.take_signal(tenant, 100, now_ms()).is_err() {
                // One after the other they would wait for fifty seconds.
                assert!(began.elapsed() < 20 * ANSWER, "{tenant} waits for others");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        stop.cancel();
        task.await.unwrap();
    }
}
