//! How does a publisher tell the gateways that a log grew, and a gateway the others what its clients say?
//!
//! It puts the announcement into the outbox and goes on. A thread of the announcer's own sends them, many under way at
//! once, in the order of the calls. A connection that fails takes those under way with it, counted; they are not sent
//! again, because by the time Redis is back the gateways have looked into the log.

use super::backoff::Backoff;
use super::config::{BusConfig, Timing};
use super::fred::{Dialer, Link, PublishError, Publishing, Purpose};
use super::health::{BusHealth, Failure, HealthCell};
use super::metrics::{AnnouncerMetrics, PublishFault};
use super::name::Names;
use super::outbox::{Announcement, Limits, Outbox, Put};
use super::pulse::pulse;
use super::{BusError, DownCause};
use bytes::Bytes;
use carillon_protocol::ident::TenantId;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// PUBLISH commands under way at once; stays below fred's own limit.
const WINDOW: usize = 1_024;
/// Longest time [`Announcer::close`] goes on sending.
const FLUSH: Duration = Duration::from_millis(500);
/// How long after Redis refused an announcement it is asked whether it takes one, when there is nothing to announce.
const ASKED_AGAIN: Duration = Duration::from_secs(2);
/// The weight of that question, which was never in the outbox.
const QUESTION: usize = 0;

/// What is announced, and so what it means that an announcement is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// Events: gateways find them in the log all the same.
    Events,
    /// What only those get who are connected now: the clients of other gateways do not get it.
    Live,
}

impl Carries {
    /// What it means that Redis refuses them.
    fn without(self) -> &'static str {
        match self {
            Self::Events => {
                "redis refuses announcements: events get to gateways by the slow path, from the log"
            }
            Self::Live => "redis refuses this gateway's announcements: signals reach its own clients alone",
        }
    }
}

/// The announcing side of the bus. Clones share one connection; it ends with the last of them.
#[derive(Clone)]
pub struct Announcer(Arc<Owner>);

struct Owner {
    names: Names,
    outbox: Arc<Outbox>,
    metrics: Arc<AnnouncerMetrics>,
    health: watch::Receiver<BusHealth>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

impl Announcer {
    /// Starts the announcer of a publisher. Returns at once, whether Redis is there or not. Needs no runtime: it has its own
    /// thread.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without a thread.
    pub fn connect(config: &BusConfig) -> Result<Self, BusError> {
        Self::carrying(Carries::Events, config)
    }

    /// Starts the announcer of a gateway, for what only those get who are connected now. Else as [`Announcer::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect_live(config: &BusConfig) -> Result<Self, BusError> {
        Self::carrying(Carries::Live, config)
    }

    fn carrying(carries: Carries, config: &BusConfig) -> Result<Self, BusError> {
        let dialer = Dialer::new(config)?;
        let limits = Limits {
            messages: config.queue_messages,
            bytes: config.queue_bytes,
            age: config.timing.announcement_age,
        };
        let outbox = Arc::new(Outbox::new(limits));
        let metrics = Arc::new(AnnouncerMetrics::new(carries));
        let health = HealthCell::new("announcer", metrics.up.clone());
        let owner = Owner {
            names: Names::new(&config.prefix, ""),
            outbox: Arc::clone(&outbox),
            metrics: Arc::clone(&metrics),
            health: health.watch(),
        };
        let sender = Sender {
            carries,
            dialer,
            question: Names::new(&config.prefix, "").probe().to_owned(),
            timing: config.timing,
            outbox,
            metrics,
            health,
            answers: AtomicU64::new(0),
            is_refused: AtomicBool::new(false),
        };
        super::spawn_thread("bus-announce", sender.run())?;
        Ok(Self(Arc::new(owner)))
    }

    /// Announces `payload` to every gateway that listens to `tenant`. Never waits and never fails: what cannot be sent is
    /// counted. Answers whether it is on its way. Announcements of a tenant are sent in the order of the calls (while a cluster moves the tenant's slot,
    /// one may overtake another).
    pub fn announce(&self, tenant: &TenantId, payload: Bytes) -> bool {
        let now = Instant::now();
        let announcement = Announcement::new(self.0.names.log(tenant), payload, now);
        let (put, stale) = self.0.outbox.put(announcement, now);
        self.0.metrics.failed(PublishFault::Stale, stale);
        match put {
            Put::Queued => {}
            Put::Full => self.0.metrics.failed(PublishFault::Full, 1),
            Put::Closed => self.0.metrics.failed(PublishFault::Stopped, 1),
        }
        put == Put::Queued
    }

    /// Whether announcements get to Redis. Cheap.
    pub fn health(&self) -> BusHealth {
        *self.0.health.borrow()
    }

    /// Follows the health.
    pub fn health_changes(&self) -> watch::Receiver<BusHealth> {
        self.0.health.clone()
    }

    /// Sends what waits, for half a second at most, and stops, for all clones.
    pub async fn close(self) {
        self.0.outbox.close();
        let mut health = self.0.health.clone();
        let stopped =
            health.wait_for(|health| matches!(health, BusHealth::Down { cause: DownCause::Stopped, .. }));
        // Ends by itself: the sender gives up after FLUSH. An error means that it is gone already.
        let _ = stopped.await;
    }
}

struct Sender {
    carries: Carries,
    dialer: Dialer,
    /// A channel that nobody listens to.
    question: String,
    timing: Timing,
    outbox: Arc<Outbox>,
    metrics: Arc<AnnouncerMetrics>,
    /// Dropped at the end of `run`: that is how `close` learns of it.
    health: HealthCell,
    /// Answers to PUBLISH, a sign of life besides PONG.
    answers: AtomicU64,
    /// Whether Redis refused the last announcement that it answered.
    is_refused: AtomicBool,
}

/// Every PUBLISH under way, each with its weight in the outbox.
type UnderWay = FuturesUnordered<BoxFuture<'static, (usize, Result<(), PublishError>)>>;

impl Sender {
    async fn run(self) {
        tokio::select! {
            () = self.supervise() => {}
            () = self.stopped() => {}
        }
        self.metrics.failed(PublishFault::Stopped, self.outbox.clear());
    }

    /// Resolves [`FLUSH`] after the outbox was closed.
    async fn stopped(&self) {
        self.outbox.closed().await;
        tokio::time::sleep(FLUSH).await;
    }

    /// Returns when the outbox is closed and everything in it was sent.
    async fn supervise(&self) {
        let mut backoff = Backoff::new(self.timing.backoff_min, self.timing.backoff_max);
        loop {
            let failure = match self.dialer.dial(Purpose::Publish).await {
                Err(failure) => failure,
                Ok((link, mut end)) => {
                    // Who may log in need not be allowed to publish: that is seen at the first announcement.
                    self.is_refused.store(false, Ordering::Relaxed);
                    self.health.up();
                    backoff.reset();
                    let answers = || self.answers.load(Ordering::Relaxed);
                    let mut under_way = UnderWay::new();
                    let ended = tokio::select! {
                        failure = end.wait() => Some(failure),
                        failure = pulse(&link, &self.timing, answers) => Some(failure),
                        failure = self.send(&link, &mut under_way) => failure,
                    };
                    drop(end);
                    self.give_up(under_way).await;
                    match ended {
                        Some(failure) => failure,
                        None => return,
                    }
                }
            };
            self.health.down(&failure);
            self.wait(backoff.next()).await;
        }
    }

    /// Sends until a failure, or (`None`) until the outbox is closed and empty.
    async fn send(&self, link: &Link, under_way: &mut UnderWay) -> Option<Failure> {
        loop {
            while under_way.len() < WINDOW
                && let Some(announcement) = self.take()
            {
                let weight = announcement.weight();
                let publishing: Publishing = link.publish(announcement.channel, announcement.payload).await;
                under_way.push(Box::pin(async move { (weight, publishing.await) }));
            }
            if under_way.is_empty() && self.outbox.is_closed() && self.outbox.is_empty() {
                return None;
            }
            tokio::select! {
                Some((weight, result)) = under_way.next() => {
                    if let Some(failure) = self.settle(weight, result) {
                        return Some(failure);
                    }
                }
                () = self.outbox.wait(), if under_way.len() < WINDOW => {}
                () = tokio::time::sleep(ASKED_AGAIN), if under_way.is_empty() && self.is_refused() => {
                    let asking: Publishing = link.publish(self.question.clone(), Bytes::new()).await;
                    under_way.push(Box::pin(async move { (QUESTION, asking.await) }));
                }
            }
        }
    }

    fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Announcement> {
        let (announcement, stale) = self.outbox.take(Instant::now());
        self.metrics.failed(PublishFault::Stale, stale);
        announcement
    }

    /// Books one result; a failure when the connection is not to be trusted any more.
    fn settle(&self, weight: usize, result: Result<(), PublishError>) -> Option<Failure> {
        if weight != QUESTION {
            self.outbox.done(weight);
            self.metrics.settled(&result);
        }
        match result {
            Ok(()) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                if self.is_refused() {
                    self.is_refused.store(false, Ordering::Relaxed);
                    self.health.up();
                }
                None
            }
            Err(PublishError::Refused(detail)) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                self.is_refused.store(true, Ordering::Relaxed);
                self.health.refused(&detail, self.carries.without());
                None
            }
            Err(PublishError::Lost(failure)) => Some(failure),
        }
    }

    /// The link is gone: everything under way resolves at once.
    async fn give_up(&self, mut under_way: UnderWay) {
        while let Some((weight, result)) = under_way.next().await {
            self.settle(weight, result);
        }
    }

    /// Lets time pass while nothing can be sent, and throws away what gets too old meanwhile.
    async fn wait(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
        self.metrics.failed(PublishFault::Stale, self.outbox.drop_old(Instant::now()));
    }
}
