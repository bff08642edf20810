//! How is one webhook sent to for a while?
//!
//! A turn opens the webhook, reads a page of the log after its cursor, sends what is wanted, and keeps the cursor; again until nothing
//! is left, it fails, or the turn's time is up. No connection of the database is held while a request is under way.

use super::attempt::{Attempt, Endpoint, Verdict};
use super::batch::{Batch, Item, Next};
use super::lease::Leases;
use super::message;
use super::metrics;
use super::missed::{self, Missed};
use super::notice;
use super::wanted::Wanted;
use carillon_backplane::log::{Log, LogError, LogPage, LoggedEvent, OpenWebhook, Slot};
use carillon_platform::outbound::{Outbound, Wanted as Bodies};
use carillon_platform::share::{FairPermits, Holder};
use carillon_protocol::{Seq, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Messages to one endpoint that are under way at a time, unless it wants them in order.
pub(super) const WINDOW: usize = 32;
/// Failed deliveries that are kept of one webhook.
const KEPT: u32 = 1_000;
/// How long a webhook with so many waits before the log is looked at again.
const FULL: SignedDuration = SignedDuration::from_secs(5);
/// How long a turn lasts while others may wait.
const TURN: Duration = Duration::from_secs(2);
/// What was delivered is kept at least so often.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// How long a stopping process waits for answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// An endpoint that takes longer is slow: it takes its turns beside those that are not.
const SLOW: Duration = Duration::from_secs(1);

/// What turns share.
pub(super) struct Shared {
    pub(super) log: Log,
    pub(super) outbound: Outbound,
    pub(super) leases: Leases,
    /// As many as the log has connections for this: the others wait here, in order.
    pub(super) database: Semaphore,
    /// Messages under way, by pace.
    pub(super) requests: [FairPermits<TenantId, ()>; 2],
    pub(super) stopping: CancellationToken,
}

/// Whose turn it is.
pub(super) struct Turn {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: TenantId,
    pub(super) id: String,
    pub(super) slot: Slot,
}

/// How an endpoint has done: what the next turn begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Whether the last message failed or took long.
    pub(super) is_slow: bool,
    /// Messages that may be under way at a time: doubled by each delivery, one after a failure.
    pub(super) window: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { is_slow: false, window: 1 }
    }
}

impl Pace {
    fn after(self, verdict: Verdict, took: Duration) -> Self {
        match verdict {
            Verdict::Delivered => Self { is_slow: took > SLOW, window: (self.window * 2).min(WINDOW) },
            _ => Self { is_slow: true, window: 1 },
        }
    }
}

/// What an attempt came to, and how long it took.
type Sent = (Verdict, Attempt, Duration);

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// More is to be sent now.
    More,
    /// Nothing is to be sent now.
    Idle,
}

impl Turn {
    /// Sends until nothing is left, or the turn is over.
    pub(super) async fn take(self: &Arc<Self>, pace: &mut Pace) -> Result<Ended, LogError> {
        let began = Instant::now();
        while self.may_go_on() {
            if began.elapsed() > TURN {
                return Ok(Ended::More);
            }
            let log = &self.shared.log;
            let Some(open) = self.asked(log.open_webhook(&self.tenant, &self.id)).await? else {
                return Ok(Ended::Idle);
            };
            let is_full = open.kept >= KEPT;
            let page = match open.cursor < open.head && !is_full {
                true => self.asked(log.read(&self.tenant, open.cursor, open.head)).await?,
                false => LogPage { events: Vec::new(), complete: true },
            };
            if page.events.is_empty() && open.cursor == open.head && open.pending.is_empty() {
                return Ok(Ended::Idle);
            }
            if !self.send(open, page, is_full, pace).await? {
                return Ok(Ended::Idle);
            }
        }
        Ok(Ended::Idle)
    }

    /// Sends a page and what is tried again. False: nothing more is to be sent now.
    async fn send(
        self: &Arc<Self>,
        open: OpenWebhook,
        page: LogPage,
        is_full: bool,
        pace: &mut Pace,
    ) -> Result<bool, LogError> {
        let endpoint = Arc::new(Endpoint::new(&self.tenant, &open, &self.shared.outbound));
        let (items, end) = self.items(&open, page, is_full).await?;
        let mut batch = Batch::new(open, items, end);
        if is_full {
            let until = Timestamp::now().checked_add(FULL).unwrap_or(Timestamp::MAX);
            batch.is_full(until, KEPT);
        }
        let epoch = batch.epoch().clone();
        // Tasks of their own: nothing here would poll them while what has been heard is kept, and one that asks the log would hold its
        // place there, which this turn waits for.
        let (mut under_way, mut saved) = (JoinSet::new(), Instant::now());
        let mut stop_at: Option<tokio::time::Instant> = None;
        loop {
            let window = if batch.is_ordered() { 1 } else { pace.window };
            while under_way.len() < window && self.may_go_on() {
                let Some(next) = batch.next() else { break };
                let id = message::id(&self.tenant, &epoch, next.seq);
                let (turn, endpoint, is_slow) = (self.clone(), endpoint.clone(), pace.is_slow);
                under_way.spawn(async move { turn.attempt(&endpoint, next, id, is_slow).await });
            }
            if under_way.is_empty() {
                break;
            }
            let next_save = tokio::time::sleep(SAVE_EVERY.saturating_sub(saved.elapsed()));
            let stop = tokio::time::sleep_until(stop_at.unwrap_or_else(tokio::time::Instant::now));
            tokio::select! {
                Some(ended) = under_way.join_next() => {
                    let (index, sent) = ended.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
                    match sent? {
                        Some((verdict, attempt, took)) => {
                            *pace = pace.after(verdict, took);
                            batch.heard(index, verdict, &attempt, Timestamp::now(), fraction());
                        }
                        None => batch.is_needless(index),
                    }
                }
                () = next_save, if batch.is_unsaved() => {}
                () = self.shared.stopping.cancelled(), if stop_at.is_none() => {
                    stop_at = Some(tokio::time::Instant::now() + LAST_ANSWERS);
                }
                () = stop, if stop_at.is_some() => break,
            }
            if saved.elapsed() >= SAVE_EVERY && batch.is_unsaved() {
                if !self.save(&mut batch).await? {
                    return Ok(false);
                }
                saved = Instant::now();
            }
        }
        Ok(self.save(&mut batch).await? && !batch.is_halted())
    }

    /// What is sent: what is tried again, and of the page what is wanted; and where the page ends.
    async fn items(
        &self,
        open: &OpenWebhook,
        page: LogPage,
        is_full: bool,
    ) -> Result<(Vec<Item>, Seq), LogError> {
        let body = |event: &LoggedEvent| message::body(&event.body, &self.tenant, &open.epoch, event.seq);
        // A pattern that cannot be read is for nothing: no event is sent to whom it is not for.
        let wanted = Wanted::stored(&open.types, &open.channels);
        let is_wanted =
            |event: &&LoggedEvent| wanted.as_ref().is_some_and(|wanted| wanted.is(&self.id, event));
        let mut items = Vec::new();
        // What failed before the webhook was changed is sent again only if it is still wanted.
        for pending in open.pending.iter().filter(|pending| pending.seq <= open.cursor) {
            let event = self.asked(self.shared.log.event_at(&self.tenant, pending.seq)).await?;
            let event = event.as_ref().filter(is_wanted);
            items.push(Item::again(pending, event.map(body)).naming(event.and_then(Missed::of)));
        }
        let end = match page.events.last() {
            _ if is_full => open.cursor,
            Some(last) if !page.complete => last.seq,
            _ => open.head,
        };
        for event in page.events.iter().filter(is_wanted) {
            let before = open.pending.iter().find(|pending| pending.seq == event.seq);
            items.push(Item::of_page(event.seq, Some(body(event)), before).naming(Missed::of(event)));
        }
        Ok((items, end))
    }

    /// Sends a message, unless it names nobody any more.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        Next { index, body, missed, .. }: Next,
        id: String,
        is_slow: bool,
    ) -> (usize, Result<Option<Sent>, LogError>) {
        let permits = &self.shared.requests[usize::from(is_slow)];
        // Refused only where more wait than can be under way in all turns.
        let _permit = permits.acquire(Holder::group(self.tenant.clone())).await.ok();
        let body = match self.still(body, missed).await {
            Ok(Some(body)) => body,
            Ok(None) => return (index, Ok(None)),
            Err(error) => return (index, Err(error)),
        };
        let began = Instant::now();
        let (verdict, attempt) = endpoint.send(&self.shared.outbound, &id, body, Bodies::OfFailures).await;
        (index, Ok(Some((verdict, attempt, began.elapsed()))))
    }

    /// The message without whoever took note since it was stored; none: it names nobody, or its notice stands in no inbox any more.
    async fn still(&self, body: Vec<u8>, missed: Option<Missed>) -> Result<Option<Vec<u8>>, LogError> {
        let Some(Missed { notice: (id, seq), people }) = missed else { return Ok(Some(body)) };
        let acked = self.asked(self.shared.log.acked_since(&self.tenant, (&id, seq), &people)).await?;
        Ok(acked.and_then(|acked| missed::without(body, &acked)))
    }

    /// Keeps what has become of the batch. False: an administrator has changed the webhook.
    async fn save(&self, batch: &mut Batch) -> Result<bool, LogError> {
        if !batch.is_unsaved() {
            return Ok(true);
        }
        let save = self.shared.log.save_webhook(&self.tenant, &self.id, batch.progress());
        if !self.asked(save).await? {
            return Ok(false);
        }
        let (parked, disabled) = batch.saved();
        metrics::parked(parked);
        if let Some(reason) = disabled {
            metrics::disabled(reason);
            tracing::warn!(tenant = %self.tenant, webhook = self.id, reason, "a webhook was disabled");
            if let Err(error) = notice::disabled(&self.shared.log, &self.tenant, &self.id, reason).await {
                tracing::warn!(%error, tenant = %self.tenant, webhook = self.id, "the tenant was not told");
            }
        }
        Ok(true)
    }

    fn may_go_on(&self) -> bool {
        !self.shared.stopping.is_cancelled() && self.shared.leases.holds(self.slot)
    }

    /// Asks the log when it is this one's turn.
    async fn asked<T>(&self, question: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        let _turn = self.shared.database.acquire().await;
        question.await
    }
}

/// A number of 0 to 1 that nobody can foresee.
fn fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0u8) % 1_024) as f64 / 1_023.0
}
