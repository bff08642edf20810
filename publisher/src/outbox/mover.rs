//! When is the outbox looked at, and what is done when the log refuses?
//!
//! When the database refuses a batch as a whole, its events are tried one at a time, and those that it refuses then are parked. While
//! the log is away, or takes no events, nothing is touched.

use super::Listening;
use super::metrics::OutboxMetrics;
use super::plan::{self, Drafted};
use super::window::{PAUSE, Window};
use crate::batcher::Publisher;
use crate::batcher::announce::{Announce, envelopes};
use crate::health::Health;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::tenants::Tenants;
use crate::types::{Types, TypesOf};
use carillon_backplane::log::{Append, Appended, Log, LogError, Moved, OutboxAsk, OutboxPlan, Outboxed};
use carillon_platform::telemetry::Seldom;
use carillon_protocol::{EventId, TenantId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Most events of a move; as many as a batch of the API (docs/adr/0006).
const EVENTS: u32 = 500;
/// About the most bytes of them.
const BYTES: u64 = 800 * 1024;
/// Longest wait for a tenant's row.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// For how long the events of a tenant are left alone whose row is held by somebody else.
const LOCKED: Duration = Duration::from_secs(1);
/// Shortest pause after a move that found nothing: anybody may notify.
const GAP: Duration = Duration::from_millis(10);
/// How often it is looked after something was found, and for how long: of what is published then few transactions notify.
const SOON: Duration = Duration::from_millis(25);
const BUSY: Duration = Duration::from_millis(150);
/// Pause after a move that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Pause before listening again.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// How often the gauges are set.
const STATE: Duration = Duration::from_secs(5);
/// Events that the database refused are remembered until they are parked, at most so many.
const BAD: usize = 100;

static FAILED: Seldom<Discriminant<LogError>> = Seldom::new();

/// What moving events takes.
pub struct Parts {
    /// The log.
    pub log: Log,
    /// Whether it can be used.
    pub health: Health,
    /// Which tenants there are.
    pub tenants: Tenants,
    /// What they say about types of events.
    pub types: Arc<Types>,
    /// How much each may publish.
    pub limits: Limits,
    /// Tells the gateways.
    pub announce: Announce,
    /// What the publisher counts.
    pub metrics: Arc<Metrics>,
}

/// Moves events from the outbox into the log.
pub struct Mover {
    parts: Parts,
    counts: OutboxMetrics,
    publisher: Publisher,
    window: Window,
    /// The tenant whose turn was last.
    last: String,
    /// Tenants that are left alone, and until when.
    held: HashMap<TenantId, Instant>,
    /// The events of a batch that the database refused: each is tried alone.
    suspects: VecDeque<i64>,
    bad: HashMap<i64, String>,
    counted: Option<Instant>,
    /// When something was found last.
    found: Option<Instant>,
}

/// What the plan for a move learned on the way.
#[derive(Default)]
struct Learned {
    taken: BTreeMap<TenantId, u32>,
    held: Vec<(TenantId, Duration)>,
    newest: Option<i64>,
    oldest: Option<SystemTime>,
    last: Option<String>,
    /// The tenants and the numbers of what was to be appended.
    tenants: Vec<TenantId>,
    ids: Vec<i64>,
}

impl Mover {
    /// Nothing is moved before [`Mover::run`].
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            counts: OutboxMetrics::new(),
            publisher: Publisher { name: "outbox".into(), several_tenants: true },
            window: Window::new(Instant::now()),
            last: String::new(),
            held: HashMap::new(),
            suspects: VecDeque::new(),
            bad: HashMap::new(),
            counted: None,
            found: None,
        }
    }

    /// Moves until it is asked to stop; a move under way ends first.
    pub async fn run(mut self, listening: Listening, stopping: CancellationToken) {
        let wake = Arc::new(Notify::new());
        if listening == Listening::Notify {
            let listen = listen(self.parts.log.clone(), wake.clone());
            tokio::spawn(stopping.clone().run_until_cancelled_owned(listen));
        }
        while !stopping.is_cancelled() {
            let pause = match self.parts.health.check_writing() {
                Ok(()) => self.round().await,
                Err(_) => Some(RETRY),
            };
            self.count().await;
            let Some(pause) = pause else { continue };
            let shortest = GAP.min(pause);
            tokio::select! {
                () = stopping.cancelled() => {}
                () = async {
                    tokio::time::sleep(shortest).await;
                    let _ = tokio::time::timeout(pause - shortest, wake.notified()).await;
                } => {}
            }
        }
    }

    /// One move. For how long to rest then; none: there may be more.
    async fn round(&mut self) -> Option<Duration> {
        let began = Instant::now();
        self.held.retain(|_, until| *until > began);
        let (after, all) = self.window.next(began);
        // The oldest of each tenant is asked for, so that the suspect is among them.
        let suspect = self.suspects.front().copied();
        let (all, most) = if suspect.is_some() { (true, 1) } else { (all, EVENTS) };
        let ask = OutboxAsk {
            after,
            all,
            start: self.last.clone(),
            passed: self.held.keys().map(|tenant| tenant.as_str().to_owned()).collect(),
            most,
            bytes: BYTES,
            lock_wait: LOCK_WAIT,
        };
        let mut learned = Learned::default();
        let moved = {
            let (parts, bad) = (&self.parts, &self.bad);
            let (publisher, learned) = (&self.publisher, &mut learned);
            let plan = async |claimed| plan(parts, publisher, (bad, suspect), claimed, learned).await;
            self.parts.log.move_outbox(&ask, plan).await
        };
        let now = Instant::now();
        self.window.looked(all, learned.newest, began.elapsed(), now);
        for (tenant, wait) in learned.held.drain(..) {
            self.counts.over_rate.increment(1);
            self.held.insert(tenant, now + wait);
        }
        match moved {
            Ok(moved) => {
                let any = !(moved.appends.is_empty() && moved.parked.is_empty());
                // It is in the log, or not among the next of its tenant: then it is tried with others again.
                self.suspects.pop_front();
                // The same tenants are asked for until each suspect was tried.
                if let Some(last) = learned.last.take().filter(|_| suspect.is_none()) {
                    self.last = last;
                }
                self.moved(moved, began.elapsed(), learned.oldest);
                if any {
                    self.found = Some(now);
                    return None;
                }
                let busy = self.found.is_some_and(|at| now.duration_since(at) < BUSY);
                Some(if busy { SOON } else { PAUSE })
            }
            Err(error) => {
                self.parts.limits.give_back(&learned.taken).await;
                Some(self.failed(error, &learned).await)
            }
        }
    }

    fn moved(&mut self, moved: Moved, took: Duration, oldest: Option<SystemTime>) {
        let Moved { appends, results, parked } = moved;
        for parking in &parked {
            self.bad.remove(&parking.id);
            let (id, reason, detail) = (parking.id, parking.reason, &parking.detail);
            tracing::warn!(id, reason, detail, "an event of the outbox cannot be appended and is parked");
        }
        self.counts.parked.increment(parked.len() as u64);
        if appends.is_empty() {
            return;
        }
        if let Some(delay) = oldest.and_then(|at| SystemTime::now().duration_since(at).ok()) {
            self.counts.delay.record(delay.as_secs_f64());
        }
        for result in &results {
            match result {
                Appended::Stored { .. } => self.counts.stored.increment(1),
                Appended::Replayed { .. } => self.counts.replayed.increment(1),
                _ => {}
            }
        }
        self.parts.metrics.batch_events.record(appends.len() as f64);
        self.parts.metrics.commits.note(took);
        let answer = Ok(results);
        self.parts.metrics.answered(&answer);
        let appends: Vec<Append> = appends.into_iter().map(|(_, append)| append).collect();
        for envelope in answer.map_or_else(|_| Vec::new(), |results| envelopes(appends, &results)) {
            (self.parts.announce)(envelope);
        }
    }

    /// Nothing was moved. For how long to rest.
    async fn failed(&mut self, error: LogError, learned: &Learned) -> Duration {
        self.counts.failed.increment(1);
        if let Some(times) = FAILED.due(discriminant(&error)) {
            tracing::warn!(%error, times, "events of the outbox were not moved; they are tried again");
        }
        match &error {
            LogError::Locked(_) => {
                self.counts.locked.increment(1);
                // When it cannot be asked, the next move tells why.
                let locked = self.parts.log.locked(&learned.tenants).await.unwrap_or_default();
                let until = Instant::now() + LOCKED;
                self.held.extend(locked.into_iter().map(|tenant| (tenant, until)));
                GAP
            }
            // Some event of the batch, or the database as a whole: one that takes no other event either says so.
            LogError::Database(detail) if learned.ids.len() > 1 => {
                tracing::debug!(detail, events = learned.ids.len(), "each event is tried alone");
                self.suspects = learned.ids.iter().copied().collect();
                GAP
            }
            LogError::Database(detail) => {
                let proven = self.parts.log.prove_writable().await;
                match (proven, learned.ids.first()) {
                    (Ok(()), Some(&id)) if self.bad.len() < BAD => {
                        self.bad.insert(id, detail.clone());
                        self.suspects.retain(|suspect| *suspect != id);
                        GAP
                    }
                    _ => RETRY,
                }
            }
            error => {
                self.parts.health.failed(error);
                RETRY
            }
        }
    }

    /// Sets the gauges now and then.
    async fn count(&mut self) {
        if self.counted.is_some_and(|at| at.elapsed() < STATE) {
            return;
        }
        self.counted = Some(Instant::now());
        if let Ok(state) = self.parts.health.ask(self.parts.log.outbox_state(None)).await {
            self.counts.set(state);
        }
    }
}

async fn plan(
    parts: &Parts,
    publisher: &Publisher,
    (bad, suspect): (&HashMap<i64, String>, Option<i64>),
    claimed: Vec<Outboxed>,
    learned: &mut Learned,
) -> Result<OutboxPlan, LogError> {
    learned.newest = claimed.iter().map(|row| row.id).max();
    learned.oldest = claimed.iter().map(|row| row.at).min();
    learned.last = claimed.last().map(|row| row.tenant.clone());
    let types = types_of(&parts.types, &claimed).await?;
    let mut drafted: Drafted = plan::read(claimed, bad, &types, fresh_id);
    if let Some(suspect) = suspect {
        drafted.only(suspect);
    }
    let tenants: Vec<TenantId> = drafted.tenants.keys().cloned().collect();
    for tenant in &tenants {
        if !parts.tenants.ensure(tenant, publisher).await? {
            drafted.park(tenant, "unknown_tenant", "the tenant is not registered");
        }
    }
    // Asked at the same time: while Redis does not answer each of them waits for it.
    let wanted = drafted.tenants.iter().map(|(tenant, events)| (tenant.clone(), events.len() as u32));
    let takings = wanted.map(|(tenant, events)| async move {
        let taken = take(&parts.limits, &tenant, events).await;
        (tenant, events, taken)
    });
    for (tenant, wanted, (events, wait)) in futures_util::future::join_all(takings).await {
        learned.taken.insert(tenant.clone(), events);
        if events < wanted {
            drafted.keep(&tenant, events as usize);
            learned.held.push((tenant, wait));
        }
    }
    let plan = drafted.plan();
    learned.tenants = tenants;
    learned.ids = plan.appends.iter().map(|(id, _)| *id).collect();
    Ok(plan)
}

/// The types of the tenants whose events were claimed. A notice was taken because its type has a title: who may not have heard of that
/// yet looks first.
async fn types_of(types: &Types, claimed: &[Outboxed]) -> Result<TypesOf, LogError> {
    if claimed.iter().any(|row| row.notify.is_some()) {
        types.look().await?;
    }
    let mut found = TypesOf::default();
    for row in claimed {
        // What is no tenant's name is parked.
        let Ok(tenant) = TenantId::new(&row.tenant) else { continue };
        if !found.has(&tenant) {
            let of_tenant = types.of(&tenant).await?;
            found.add(tenant, of_tenant);
        }
    }
    Ok(found)
}

/// How many of so many events the tenant's rate lets through now, and how long it then takes until more do.
async fn take(limits: &Limits, tenant: &TenantId, events: u32) -> (u32, Duration) {
    let Some(left) = limits.take(tenant, events).await else { return (events, Duration::ZERO) };
    if left.wait.is_zero() {
        // A request with more than a second's events is taken as a whole when nothing was used, and here it need not be one.
        return (events.min(left.limit), if events > left.limit { GAP } else { Duration::ZERO });
    }
    let some = u32::try_from(left.events).unwrap_or(u32::MAX).min(events.saturating_sub(1));
    let wait = left.wait.clamp(GAP, Duration::from_secs(1));
    if some > 0 && limits.take(tenant, some).await.is_some_and(|left| left.wait.is_zero()) {
        return (some, wait);
    }
    (0, wait)
}

/// Hears of transactions for ever.
async fn listen(log: Log, wake: Arc<Notify>) {
    loop {
        let error = log.listen_outbox(&wake).await;
        tracing::debug!(%error, "not listening to the outbox; it is looked at every 250 ms");
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// A UUIDv7, as over HTTP.
fn fresh_id() -> EventId {
    EventId::new(uuid::Uuid::now_v7().to_string()).expect("a UUID is 36 characters of a-f, 0-9 and -")
}
