//! A tenant's log as this gateway sees it.
//!
//! One task, the [`feed`], owns every tenant's [`sequencer`] and writes the rings. Shards read them: each is a cursor
//! on the ring, told only that there is news, never handed an event.
//!
//! | module | question it answers |
//! |---|---|
//! | [`sequencer`] | in which order does the log pass? (pure) |
//! | [`entry`] | what is an event while it waits to be written? |
//! | [`compact`] | how is an event written for those who asked for the compact form? |
//! | [`ring`] | which recent events are in memory? |
//! | [`feed`] | who keeps the streams up to date? |
//! | [`backlog`] | who reads older events from the log, once for all who need them? |

pub(crate) mod backlog;
pub(crate) mod compact;
pub(crate) mod entry;
pub(crate) mod feed;
pub(crate) mod ring;
pub(crate) mod sequencer;

use carillon_platform::rules::RuleSet;
use carillon_protocol::compact::Names;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Epoch, Epochs, Seq, TenantId};
use entry::Entry;
use ring::{Ring, RingLimits};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;

/// Which shards, one bit each. A node has at most 64.
pub(crate) type ShardSet = u64;

/// One tenant's ring and those who wait for it. Kept alive by the feed and by every shard with a connection of it.
pub(crate) struct Stream {
    pub(crate) tenant: TenantId,
    inner: Mutex<Inner>,
    /// Who may do what in the tenant's channels.
    rules: Mutex<Arc<RuleSet>>,
    /// Shards that have connections of this tenant.
    watchers: AtomicU64,
    /// Shards that were told of news and have not looked yet: news is told once, however much there is.
    told: AtomicU64,
    /// What the tenant uses here.
    usage: Usage,
    /// The head, told anew with each new epoch, for those who wait for a cursor to be reached.
    progress: watch::Sender<Seq>,
    /// Numbers for what its events have in common; there as soon as somebody reads the compact form.
    names: OnceLock<Box<Mutex<Names>>>,
    /// Which of all streams of this process it is: no other has its number.
    opening: u32,
}

/// How many streams this process has had.
static OPENINGS: AtomicU32 = AtomicU32::new(0);

/// What a tenant uses on this node, told on `/metrics/tenants`.
#[derive(Debug, Default)]
struct Usage {
    connections: AtomicU64,
    events: AtomicU64,
    deliveries: AtomicU64,
    subscriptions: AtomicU64,
}

struct Inner {
    ring: Ring,
    life: Life,
}

/// One continuous stretch of a stream. A new one begins with every new epoch of the log, and when continuity is lost.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// Counts the lives this node has seen; tells them apart quickly.
    pub(crate) number: u32,
    /// The log's epoch.
    pub(crate) epoch: Epoch,
    /// The epoch's place among those the log has had.
    pub(crate) epochs: Epochs,
    /// Why the one before ended.
    pub(crate) reason: ResetReason,
    /// The oldest event the log still had when the stream was opened.
    pub(crate) oldest: Seq,
}

impl Life {
    /// Whether who saw everything up to `seq` in the life `before` has missed nothing and may go on in this one.
    pub(crate) fn continues(&self, before: &Life, seq: Seq) -> bool {
        self.reason == ResetReason::EpochChanged && self.epochs.honours(&before.epoch, seq)
    }
}

/// What a cursor finds in the ring.
pub(crate) enum Reading {
    /// The next events, if any, were appended to the caller's list.
    Events,
    /// The ring has moved past the cursor: read the log.
    Gone,
    /// The stream began a new life since; the cursor means nothing any more.
    Reset,
}

impl Stream {
    pub(crate) fn new(
        tenant: TenantId,
        epochs: impl Into<Epochs>,
        head: Seq,
        oldest: Seq,
        limits: RingLimits,
    ) -> Self {
        let epochs = epochs.into();
        let epoch = epochs.current().clone();
        let life = Life { number: 1, epoch, epochs, reason: ResetReason::EpochChanged, oldest };
        Self {
            tenant,
            inner: Mutex::new(Inner { ring: Ring::new(limits, head), life }),
            rules: Mutex::default(),
            watchers: AtomicU64::new(0),
            told: AtomicU64::new(0),
            usage: Usage::default(),
            progress: watch::Sender::new(head),
            names: OnceLock::new(),
            opening: OPENINGS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Appends events and answers which shards must be told.
    pub(crate) fn push(&self, entries: impl IntoIterator<Item = Arc<Entry>>) -> ShardSet {
        let (head, passed) = {
            let mut inner = self.lock();
            let before = inner.ring.head();
            entries.into_iter().for_each(|entry| inner.ring.push(entry));
            (inner.ring.head(), inner.ring.head().0 - before.0)
        };
        self.usage.events.fetch_add(passed, Ordering::Relaxed);
        self.progress.send_replace(head);
        self.news()
    }

    /// Begins a new life at `head` and answers which shards must be told.
    pub(crate) fn restart(
        &self,
        epochs: Epochs,
        head: Seq,
        oldest: Seq,
        reason: ResetReason,
        limits: RingLimits,
    ) -> ShardSet {
        {
            let mut inner = self.lock();
            let (number, epoch) = (inner.life.number.wrapping_add(1), epochs.current().clone());
            let life = Life { number, epoch, epochs, reason, oldest };
            *inner = Inner { ring: Ring::new(limits, head), life };
        }
        self.progress.send_replace(head);
        self.news()
    }

    /// Goes on in another epoch that has all the events up to the head. Answers which shards must be told.
    pub(crate) fn renew(&self, epochs: Epochs) -> ShardSet {
        let head = {
            let mut inner = self.lock();
            let (number, epoch) = (inner.life.number.wrapping_add(1), epochs.current().clone());
            let oldest = inner.life.oldest;
            inner.life = Life { number, epoch, epochs, reason: ResetReason::EpochChanged, oldest };
            inner.ring.head()
        };
        self.progress.send_replace(head);
        self.news()
    }

    /// A life of this stream among those of all that this process has had: what is kept of one is never taken for another's.
    pub(crate) fn life_of_all(&self, life: u32) -> u64 {
        u64::from(self.opening) << 32 | u64::from(life)
    }

    /// Up to `max` events after `cursor` in the life `life`.
    pub(crate) fn after(&self, life: u32, cursor: Seq, max: usize, out: &mut Vec<Arc<Entry>>) -> Reading {
        let inner = self.lock();
        if inner.life.number != life {
            Reading::Reset
        } else if inner.ring.after(cursor, max, out) {
            Reading::Events
        } else {
            Reading::Gone
        }
    }

    /// Where the stream is now.
    pub(crate) fn position(&self) -> (Life, Seq) {
        let inner = self.lock();
        (inner.life.clone(), inner.ring.head())
    }

    /// The event of that seq, if the ring still has it.
    pub(crate) fn get(&self, seq: Seq) -> Option<Arc<Entry>> {
        self.lock().ring.get(seq).cloned()
    }

    /// The tenant's rules as this node knows them.
    pub(crate) fn rules(&self) -> Arc<RuleSet> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other rules and answers which shards must be told.
    pub(crate) fn set_rules(&self, rules: Arc<RuleSet>) -> ShardSet {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        self.watchers.load(Ordering::SeqCst)
    }

    /// Which numbers stand for what in its compact events.
    pub(crate) fn names(&self) -> &Mutex<Names> {
        self.names.get_or_init(Box::default)
    }

    /// What the ring's events weigh, without the forms that some of their readers want.
    pub(crate) fn weight(&self) -> usize {
        self.lock().ring.weight()
    }

    /// Lets the oldest events go until the ring weighs no more than `most`. Answers how many went.
    pub(crate) fn trim(&self, most: usize) -> usize {
        self.lock().ring.trim(most)
    }

    /// Waits until the stream is in this epoch and its head is at least `seq`.
    pub(crate) async fn reached(&self, epoch: &Epoch, seq: Seq) {
        let mut progress = self.progress.subscribe();
        // The sender lives as long as `self`.
        let _ = progress.wait_for(|head| *head >= seq && self.lock().life.epoch == *epoch).await;
    }

    /// Shards that have connections of the tenant.
    pub(crate) fn watchers(&self) -> ShardSet {
        self.watchers.load(Ordering::SeqCst)
    }

    /// From now on `shard` is told of news.
    pub(crate) fn watch(&self, shard: usize) {
        self.watchers.fetch_or(1 << shard, Ordering::SeqCst);
    }

    /// `shard` has no connection of this tenant any more.
    pub(crate) fn unwatch(&self, shard: usize) {
        self.watchers.fetch_and(!(1 << shard), Ordering::SeqCst);
        self.told.fetch_and(!(1 << shard), Ordering::SeqCst);
    }

    /// `shard` looks now; what comes after this is told again.
    pub(crate) fn seen(&self, shard: usize) {
        self.told.fetch_and(!(1 << shard), Ordering::SeqCst);
    }

    /// A connection of the tenant came.
    pub(crate) fn joined(&self) {
        self.usage.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of the tenant went.
    pub(crate) fn left(&self) {
        self.usage.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection is in a channel more.
    pub(crate) fn subscribed(&self) {
        self.usage.subscriptions.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is in a channel less.
    pub(crate) fn unsubscribed(&self) {
        self.usage.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Memberships in channels now.
    pub(crate) fn subscriptions(&self) -> u64 {
        self.usage.subscriptions.load(Ordering::Relaxed)
    }

    /// Events were written to connections of the tenant.
    pub(crate) fn delivered(&self, frames: u64) {
        self.usage.deliveries.fetch_add(frames, Ordering::Relaxed);
    }

    /// Connections now; events passed and frames written since the stream was opened.
    pub(crate) fn usage(&self) -> [u64; 3] {
        let Usage { connections, events, deliveries, .. } = &self.usage;
        [connections, events, deliveries].map(|count| count.load(Ordering::Relaxed))
    }

    fn news(&self) -> ShardSet {
        let watchers = self.watchers.load(Ordering::SeqCst);
        watchers & !self.told.fetch_or(watchers, Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves at worst an event missing at the end, which the head watch finds.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
