//! Who keeps the streams up to date?
//!
//! One task owns every tenant's sequencer. It hears batches from Redis, asks Postgres for the heads of all its tenants
//! once a second (the head watch: five times as often while Redis is away), reads what is missing, and writes the
//! rings. It never waits for anything itself: reads run apart and come back as messages.
//!
//! | module | question it answers |
//! |---|---|
//! | `ask` | what may others ask of the feed? |
//! | `opening`, `early` | how does this node begin to follow a tenant, and what was heard of it meanwhile? |
//! | `schedule` | when are the heads asked for next? (pure) |
//! | `watch` | does a stream still agree with its log, and what if not? |
//! | `settings` | which rules do the streams have, and are these still what the database has? |
//! | `repair` | who reads what Redis did not bring? |
//! | `signals` | what becomes of a signal that Redis brings? |
//! | `trim` | which rings give way when all of them together are too large? |

mod ask;
mod early;
mod opening;
mod repair;
mod schedule;
mod settings;
mod signals;
#[cfg(test)]
mod tests;
mod trim;
mod watch;

pub(crate) use ask::{OpenError, Streams};
pub(crate) use signals::Incoming;

use super::Stream;
use super::entry::{Entry, Excepted};
use super::ring::RingLimits;
use super::sequencer::{Offered, Sequenced, Sequencer};
use crate::budget::{Budget, Charge};
use crate::limits::Limits;
use crate::metrics::metrics;
use crate::presence::PresenceInbox;
use crate::rules::RuleBook;
use crate::shard::Shards;
use ask::{Ask, FeedHealth};
use bytes::Bytes;
use carillon_backplane::bus::{BusEvent, BusEvents, Listener};
use carillon_backplane::log::{Log, LogError, LogPage, Opened, Watched};
use carillon_platform::share::FairPermits;
use carillon_platform::telemetry::Seldom;
use carillon_protocol::connection::Incarnation;
use carillon_protocol::envelope::{self, Batch, Message};
use carillon_protocol::event::event_frame;
use carillon_protocol::{Epoch, Seq, Tag, TenantId};
use opening::{Newly, Opening, Openings};
use schedule::HeadSchedule;
use settings::{Batches, ReadRules, Reading};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a tenant without connections stays subscribed: people reload pages.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// How often tenants without connections are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// Bytes of what came from Redis and cannot pass yet, of all tenants: batches of tenants that are being opened, and
/// events that came before their turn. What does not fit is let go; the log has it.
const ARRIVALS: usize = 32 * 1024 * 1024;
/// Batches taken from Redis before looking at anything else.
const BURST: usize = 256;

/// How streams are fed.
#[derive(Clone)]
pub(crate) struct FeedConfig {
    /// This run of the node, to know its own connections by.
    pub(crate) run: Arc<Incarnation>,
    pub(crate) ring: RingLimits,
    /// Bytes of all rings together.
    pub(crate) ring_budget: Arc<Budget>,
    /// Bytes of all replays, to be told with the others.
    pub(crate) replay_budget: Arc<Budget>,
    /// What tells this node's own signals from those of others, and bounds these.
    pub(crate) live: Incoming,
    pub(crate) head_watch: Duration,
    /// Whether a tenant begins by being used.
    pub(crate) create_tenants: bool,
    /// Who counts what tenants with limits use.
    pub(crate) limits: Limits,
    /// Who is told what other nodes say about who is connected to them.
    pub(crate) presence: Option<PresenceInbox>,
}

enum Tracked {
    /// Subscribing, waiting for its turn, or being asked for its head; what arrives meanwhile is kept.
    Opening(Opening),
    Open(Box<Open>),
}

struct Open {
    stream: Arc<Stream>,
    sequencer: Sequencer,
    /// What the sequencer holds of the budget for arrivals.
    held: Charge,
    /// Where the stream was when the question under way for its head was sent; an answer to a question from before it
    /// was opened says nothing about it.
    asked: Option<(Epoch, Seq)>,
    /// The log is being asked what became of it.
    in_question: bool,
    /// Since when no shard has a connection of it.
    idle_since: Option<Instant>,
}

/// What work that ran apart found out.
enum Found {
    Subscribed(TenantId),
    Opened(TenantId, Result<Option<Newly>, LogError>),
    Heads(Result<Vec<Watched>, LogError>),
    Rules(ReadRules),
    Read(TenantId, Epoch, Result<LogPage, LogError>),
    Checked(TenantId, Result<Option<(Opened, Seq)>, LogError>),
    /// Whether the epoch is over.
    Doubted(TenantId, Result<bool, LogError>),
}

/// The task that owns every stream of this node.
pub(crate) struct Feed {
    config: FeedConfig,
    log: Log,
    rules: RuleBook,
    settings: Reading,
    batches: Batches,
    listener: Arc<Listener>,
    shards: Shards,
    tracked: HashMap<TenantId, Tracked>,
    /// Tenants whose sequencer wants to be asked again at some time.
    waking: HashSet<TenantId>,
    asks: mpsc::Receiver<Ask>,
    found: mpsc::UnboundedReceiver<Found>,
    finder: mpsc::UnboundedSender<Found>,
    openings: Openings,
    /// Of what came from Redis and cannot pass yet.
    arrivals: Arc<Budget>,
    repairs: FairPermits<TenantId, ()>,
    health: Arc<FeedHealth>,
    heads: HeadSchedule,
    sweep_at: Instant,
}

impl Feed {
    pub(crate) fn new(config: FeedConfig, log: Log, listener: Listener, shards: Shards) -> (Self, Streams) {
        let (ask, asks) = mpsc::channel(1024);
        // Bounded by the work under way: one message each.
        let (finder, found) = mpsc::unbounded_channel();
        let health = Arc::new(FeedHealth::default());
        health.bus_down.store(!listener.health().is_up(), Ordering::Relaxed);
        let now = Instant::now();
        let feed = Self {
            config,
            rules: RuleBook::new(log.clone()),
            settings: Reading::default(),
            batches: Batches::default(),
            log: log.for_repairs(),
            listener: Arc::new(listener),
            shards,
            tracked: HashMap::new(),
            waking: HashSet::new(),
            asks,
            found,
            finder,
            openings: Openings::default(),
            arrivals: Budget::new(ARRIVALS),
            repairs: FairPermits::new(repair::LIMITS),
            health: health.clone(),
            heads: HeadSchedule::new(now),
            sweep_at: now + SWEEP,
        };
        (feed, Streams { ask, health })
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, mut bus: BusEvents, stop: CancellationToken) {
        let mut health = self.listener.health_changes();
        loop {
            let wake = self.wakes_at();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(found) = self.found.recv() => self.on_found(found),
                Some(ask) = self.asks.recv() => self.on_ask(ask),
                Some(event) = bus.recv() => {
                    self.on_bus(event);
                    for _ in 1..BURST {
                        let Some(event) = bus.try_recv() else { break };
                        self.on_bus(event);
                    }
                }
                Ok(()) = health.changed() => self.on_health(!health.borrow_and_update().is_up()),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            // Asked after every event, so that no flood of them can starve the watch.
            let now = Instant::now();
            if now >= wake {
                self.on_time(now);
            }
        }
    }

    fn wakes_at(&self) -> Instant {
        let sequencers = self.waking.iter().filter_map(|tenant| match self.tracked.get(tenant) {
            Some(Tracked::Open(open)) => open.sequencer.wakes_at(),
            _ => None,
        });
        sequencers.chain(self.heads.wakes_at()).fold(self.sweep_at, Instant::min)
    }

    fn on_health(&mut self, down: bool) {
        if self.health.bus_down.swap(down, Ordering::Relaxed) != down {
            match down {
                true => tracing::warn!(down, "redis: delivering from the log"),
                false => tracing::info!(down, "redis: back"),
            }
        }
        self.heads.wish(Instant::now());
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::CheckHeads => self.heads.wish(Instant::now()),
            Ask::Usage(answer) => {
                let open = self.tracked.values().filter_map(|tracked| match tracked {
                    Tracked::Open(open) => Some((open.stream.tenant.clone(), open.stream.usage())),
                    Tracked::Opening(_) => None,
                });
                let _ = answer.send(open.collect());
            }
            Ask::Numbers(answer) => {
                let open = self.tracked.values().filter_map(|tracked| match tracked {
                    Tracked::Open(open) => {
                        let [connections, events, deliveries] = open.stream.usage();
                        let subscriptions = open.stream.subscriptions();
                        let numbers = [connections, events, deliveries, subscriptions];
                        Some((open.stream.tenant.clone(), numbers))
                    }
                    Tracked::Opening(_) => None,
                });
                let _ = answer.send(open.collect());
            }
            Ask::Open(tenant, answer) => self.open(tenant, answer),
        }
    }

    fn on_found(&mut self, found: Found) {
        match found {
            Found::Subscribed(tenant) => self.subscribed(tenant),
            Found::Opened(tenant, result) => self.opened(tenant, result),
            Found::Heads(result) => self.compare_heads(result),
            Found::Rules(result) => self.rules_read(result),
            Found::Read(tenant, epoch, result) => self.read(&tenant, &epoch, result),
            Found::Checked(tenant, result) => self.checked(&tenant, result),
            Found::Doubted(tenant, result) => self.doubted(&tenant, result),
        }
    }

    fn on_bus(&mut self, event: BusEvent) {
        match event {
            BusEvent::Message { tenant, payload } => self.on_message(&tenant, payload),
            BusEvent::Interrupted { cause } => {
                tracing::info!(?cause, "redis: interrupted, comparing every stream with the log");
                self.heads.wish(Instant::now());
                if let Some(presence) = &self.config.presence {
                    presence.lost();
                }
            }
        }
    }

    fn on_message(&mut self, tenant: &TenantId, payload: Bytes) {
        match self.tracked.get_mut(tenant) {
            // Nobody of the tenant is connected yet.
            Some(Tracked::Opening(_)) if envelope::is_live(&payload) => {}
            Some(Tracked::Opening(opening)) => opening.early.keep(&payload),
            Some(Tracked::Open(_)) => {
                match readable(tenant, payload) {
                    Some(Message::Batch(batch)) => {
                        measure_lag(&batch);
                        self.offer(batch);
                    }
                    // The watch reads the version with the heads.
                    Some(Message::Settings(_)) => self.heads.wish(Instant::now()),
                    Some(Message::Live(live)) => self.take_live(live),
                    Some(Message::Presence(tenant, from, change)) => {
                        if let Some(presence) = &self.config.presence {
                            presence.heard(tenant, from, change);
                        }
                    }
                    None => {}
                }
            }
            None => {}
        }
    }

    fn offer(&mut self, batch: Batch) {
        let tenant = batch.tenant.clone();
        let Some(Tracked::Open(open)) = self.tracked.get_mut(&tenant) else { return };
        let mut out = Vec::with_capacity(batch.events.len());
        let offered = open.sequencer.offer(batch, Instant::now(), &mut out);
        let stream = open.stream.clone();
        self.deliver(&tenant, out);
        self.after(&tenant);
        match offered {
            Offered::New => {}
            Offered::Repeated(bodies) => {
                metrics().events_repeated.increment(bodies.len() as u64);
                let ours = |(seq, body): &(Seq, Bytes)| stream.get(*seq).filter(|ours| ours.body() != body);
                if let Some(other) = bodies.iter().find_map(ours) {
                    self.doubt(&tenant, other.seq, Tag::of(other.body()));
                }
            }
            Offered::Contradicts => self.doubt_head(&tenant),
            Offered::OtherEpoch => self.heads.wish(Instant::now()),
        }
    }

    /// Encodes events, once, puts them into the ring and tells the shards.
    fn deliver(&mut self, tenant: &TenantId, events: Vec<Sequenced>) {
        let Some(Tracked::Open(open)) = self.tracked.get(tenant) else { return };
        if events.is_empty() {
            return;
        }
        metrics().sequenced(events.len());
        let budget = &self.config.ring_budget;
        let told = open.stream.push(events.into_iter().map(|event| entry(event, &self.config.run, budget)));
        self.shards.tell(told, &open.stream);
        if budget.used() > budget.limit() {
            self.trim_rings();
        }
    }

    /// The rings of all tenants together have reached their budget: the largest let their oldest events go until an
    /// eighth of it is free again, so that this happens once for many events. Readers get those from the log.
    fn trim_rings(&self) {
        let budget = &self.config.ring_budget;
        let excess = budget.used().saturating_sub(budget.limit() / 8 * 7);
        let streams = self.tracked.values().filter_map(|tracked| match tracked {
            Tracked::Open(open) => Some(open.stream.clone()),
            Tracked::Opening(_) => None,
        });
        let gone = trim::trim(&streams.collect::<Vec<_>>(), excess);
        metrics().ring_trimmed.increment(gone as u64);
    }

    fn on_time(&mut self, now: Instant) {
        for tenant in self.waking.clone() {
            self.after(&tenant);
        }
        if self.config.ring_budget.used() > self.config.ring_budget.limit() {
            // Forms that were made of events since they came count, too.
            self.trim_rings();
        }
        metrics().ring_bytes.set(self.config.ring_budget.used() as f64);
        metrics().replay_bytes.set(self.config.replay_budget.used() as f64);
        if self.heads.begin(now) {
            self.ask_heads();
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP;
            self.sweep(now);
        }
    }

    fn count_streams(&self) {
        self.health.followed.store(self.tracked.len(), Ordering::Relaxed);
        metrics().streams.set(self.tracked.len() as f64);
    }

    /// Leaves tenants that had no connection for the cool-down.
    fn sweep(&mut self, now: Instant) {
        let mut idle = Vec::new();
        for (tenant, tracked) in &mut self.tracked {
            let Tracked::Open(open) = tracked else { continue };
            // The feed's own reference, and no shard's or newcomer's.
            if Arc::strong_count(&open.stream) > 1 {
                open.idle_since = None;
            } else if now.duration_since(*open.idle_since.get_or_insert(now)) >= COOL_DOWN {
                idle.push(tenant.clone());
            }
        }
        for tenant in idle {
            self.tracked.remove(&tenant);
            self.waking.remove(&tenant);
            self.leave(&tenant);
        }
        self.count_streams();
    }

    fn leave(&self, tenant: &TenantId) {
        self.listener.unsubscribe(tenant);
    }
}

/// A log's oldest event; where it has none, the next.
pub(super) async fn oldest_of(log: &Log, opened: &Opened) -> Result<Seq, LogError> {
    Ok(log.oldest(&opened.head.tenant).await?.unwrap_or(opened.head.seq.next()))
}

fn entry(sequenced: Sequenced, run: &Incarnation, budget: &Arc<Budget>) -> Arc<Entry> {
    let Sequenced { seq, event, at_micros } = sequenced;
    let json = event_frame(seq, &event.channels, &event.body, None);
    let entry = Entry::new(seq, event.channels.into(), &json, at_micros, |bytes| budget.charge(bytes));
    // Of another node's connections nobody here has to know.
    let except = event.except.and_then(|except| Some((run.finds(&except.connection)?, except.of)));
    Arc::new(match except {
        Some((at, of)) => entry.excepting(Excepted { at, of }),
        None => entry,
    })
}

/// During an upgrade a newer release may say much that this one does not understand.
static NOT_READ: Seldom<()> = Seldom::new();

/// What a message says, if it is one of its tenant's.
fn readable(tenant: &TenantId, payload: Bytes) -> Option<Message> {
    match envelope::read(payload) {
        Ok(message) if message.tenant() == tenant => return Some(message),
        Ok(message) => {
            tracing::error!(%tenant, claims = %message.tenant(), "I5: a message of another tenant, dropped");
        }
        Err(error) => {
            if let Some(times) = NOT_READ.due(()) {
                tracing::warn!(%tenant, %error, times, "a message that cannot be read; events in it come from the log");
            }
        }
    }
    metrics().envelopes_refused.increment(1);
    None
}

/// Commit → received, by the database's clock and ours.
fn measure_lag(batch: &Batch) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    metrics().bus_lag_seconds.record(now.saturating_sub(batch.at_micros) as f64 / 1e6);
}
