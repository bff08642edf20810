//! Who reads older events from the log, once for all who need them?
//!
//! A thousand connections that come back after a node's death ask for nearly the same range. Pages are aligned to
//! fixed borders, so their questions are the same question: it is asked once, and the answer is kept for a while.

use super::entry::Entry;
use crate::budget::{Budget, Charge};
use crate::metrics::metrics;
use carillon_backplane::log::{Log, LogError, LoggedEvent};
use carillon_protocol::event::event_frame;
use carillon_protocol::{Channel, Seq, TenantId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore};

/// Events between two page borders.
const PAGE: u64 = 256;
/// Reads of the log at a time, so that a storm of returning clients leaves connections for repairs.
const READS: usize = 4;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(5);
/// Most pages kept.
const PAGES: usize = 128;
/// Most of the replay budget that pages may take which are only kept: large events make pages of half a megabyte, and
/// clients that lag a little ask for pages that overlap.
const KEPT_SHARE: usize = 8;
/// What a page may weigh before it is known: its rows, and what entries cost beside them.
pub(crate) const PAGE_WEIGHT: usize = 1024 * 1024;

/// Events of the log after a cursor, ready to be written.
#[derive(Debug)]
pub(crate) struct BacklogPage {
    /// Consecutive; empty when the log no longer has the first one.
    entries: Vec<Arc<Entry>>,
    /// What they weigh.
    weight: usize,
    /// The end of the range that was asked for.
    upto: Seq,
}

impl BacklogPage {
    /// The events after `cursor`; none when the log no longer has the next one.
    pub(crate) fn after(&self, cursor: Seq) -> &[Arc<Entry>] {
        let from = self.entries.partition_point(|entry| entry.seq <= cursor);
        match self.entries.get(from) {
            Some(entry) if entry.seq == cursor.next() => &self.entries[from..],
            _ => &[],
        }
    }
}

type Key = (TenantId, u32, Seq);
type Answer = Arc<OnceCell<Arc<BacklogPage>>>;

/// Reads pages of the log for connections that are behind their ring.
#[derive(Clone)]
pub(crate) struct Backlog {
    log: Log,
    shared: Arc<Shared>,
    /// What replays hold between the log and the sockets.
    budget: Arc<Budget>,
}

type Pages = HashMap<Key, (Instant, Answer)>;

struct Shared {
    reads: Semaphore,
    /// Reads that wait for room: while there are any, nothing is kept in case somebody else wants it.
    waiting: AtomicUsize,
    pages: Mutex<Pages>,
}

impl Backlog {
    pub(crate) fn new(log: Log, budget: Arc<Budget>) -> Self {
        let shared = Shared {
            reads: Semaphore::new(READS),
            waiting: AtomicUsize::new(0),
            pages: Mutex::new(HashMap::new()),
        };
        Self { log, shared: Arc::new(shared), budget }
    }

    /// The page that has the event after `cursor`, up to `head` at most. `life` keeps the answers of different lives
    /// of a stream apart.
    pub(crate) async fn page(
        &self,
        tenant: &TenantId,
        life: u32,
        cursor: Seq,
        head: Seq,
    ) -> Result<Arc<BacklogPage>, LogError> {
        let border = Seq(cursor.0 - cursor.0 % PAGE);
        let page = self.read_once(tenant, life, border, head).await?;
        // The log may begin within this page, or its bytes may have ended it early: then ask exactly.
        if page.after(cursor).is_empty() && border != cursor {
            // Whoever waits for room must not hold any.
            drop(page);
            return self.read_once(tenant, life, cursor, head).await;
        }
        Ok(page)
    }

    async fn read_once(
        &self,
        tenant: &TenantId,
        life: u32,
        after: Seq,
        head: Seq,
    ) -> Result<Arc<BacklogPage>, LogError> {
        let upto = Seq(after.0 - after.0 % PAGE + PAGE).min(head);
        let key = (tenant.clone(), life, after);
        let answer = self.answer(&key, upto);
        let page = answer
            .get_or_try_init(|| async {
                let _turn = self.shared.reads.acquire().await;
                let reserved = self.room().await;
                metrics().backlog_reads.increment(1);
                let page = self.log.read(tenant, after, upto, None).await?;
                let entries = contiguous(after, page.events, &reserved);
                metrics().backlog_events.increment(entries.len() as u64);
                let weight = entries.iter().map(|entry| entry.weight()).sum();
                Ok::<_, LogError>(Arc::new(BacklogPage { entries, weight, upto }))
            })
            .await?;
        if self.shared.waiting.load(Ordering::SeqCst) > 0 {
            self.shared.lock().remove(&key);
        }
        Ok(page.clone())
    }

    /// Room for one more page. What is kept in case somebody else wants it goes first; then reads wait for the sockets
    /// to take what was read before.
    async fn room(&self) -> Charge {
        if let Some(charge) = self.budget.try_reserve(PAGE_WEIGHT) {
            return charge;
        }
        metrics().replay_waits.increment(1);
        let _waiting = Waiting::new(&self.shared.waiting);
        // What is under way sees when it is there that somebody waits.
        self.shared.lock().retain(|_, (_, answer)| answer.get().is_none());
        self.budget.reserve(PAGE_WEIGHT).await
    }

    /// The shared answer to a question, a new one when the kept one is too old or asked for less.
    fn answer(&self, key: &Key, upto: Seq) -> Answer {
        let mut pages = self.shared.lock();
        let now = Instant::now();
        make_room(&mut pages, self.budget.limit() / KEPT_SHARE, now);
        let fresh = |(_, answer): &&(Instant, Answer)| answer.get().is_none_or(|page| page.upto >= upto);
        if let Some((_, answer)) = pages.get(key).filter(fresh) {
            return answer.clone();
        }
        let answer = Answer::default();
        pages.insert(key.clone(), (now, answer.clone()));
        answer
    }

    /// Where a piece of history of `channels` begins: the cursor before its first event, and whether older ones were
    /// left out.
    pub(crate) async fn history_start(
        &self,
        tenant: &TenantId,
        channels: &[Channel],
        upto: Seq,
        newest: u64,
    ) -> Result<(Seq, bool), LogError> {
        let _turn = self.shared.reads.acquire().await;
        self.log.newest(tenant, channels, upto, newest).await
    }

    /// A page of history: `after < seq <= upto` in `channels`, whether it is the last, and what it weighs.
    pub(crate) async fn history(
        &self,
        tenant: &TenantId,
        channels: &[Channel],
        after: Seq,
        upto: Seq,
    ) -> Result<(Vec<LoggedEvent>, bool, Charge), LogError> {
        let _turn = self.shared.reads.acquire().await;
        let charge = self.room().await;
        metrics().history_reads.increment(1);
        let page = self.log.read(tenant, after, upto, Some(channels)).await?;
        let weight =
            |event: &LoggedEvent| size_of::<LoggedEvent>() + event.body.len() + 32 * event.channels.len();
        charge.shrink_to(page.events.iter().map(weight).sum::<usize>().min(charge.bytes()));
        Ok((page.events, page.complete, charge))
    }
}

/// Counts one more waiting read while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets old pages go every time, and the oldest of the others while there are too many. A question under way that goes
/// is answered all the same, only not shared any further.
fn make_room(pages: &mut Pages, most: usize, now: Instant) {
    pages.retain(|_, (asked, _)| now.duration_since(*asked) < KEPT);
    let weight = |answer: &Answer| answer.get().map_or(0, |page| page.weight);
    let mut kept: usize = pages.values().map(|(_, answer)| weight(answer)).sum();
    while pages.len() >= PAGES || kept > most {
        let oldest = pages.iter().min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| key.clone());
        let Some((_, answer)) = oldest.and_then(|key| pages.remove(&key)) else { return };
        kept -= weight(&answer);
    }
}

/// The events that continue `after` without a hole, encoded for sockets.
fn contiguous(after: Seq, events: Vec<LoggedEvent>, reserved: &Charge) -> Vec<Arc<Entry>> {
    let consecutive = events.into_iter().zip(after.0 + 1..).take_while(|(event, seq)| event.seq.0 == *seq);
    let encoded = consecutive.map(|(event, _)| {
        let json = event_frame(event.seq, &event.channels, event.body.as_bytes(), None);
        Arc::new(Entry::new(event.seq, event.channels.into(), &json, 0, |bytes| reserved.split(bytes)))
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1_000;

    fn kept(pages: &mut Pages, seq: u64, weight: usize, asked: Instant) {
        let page = BacklogPage { entries: Vec::new(), weight, upto: Seq(seq) };
        let answer = Arc::new(OnceCell::new_with(Some(Arc::new(page))));
        pages.insert((TenantId::new("acme").unwrap(), 1, Seq(seq)), (asked, answer));
    }

    fn left(pages: &Pages) -> Vec<u64> {
        let mut left: Vec<u64> = pages.keys().map(|(_, _, after)| after.0).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn i10_pages_are_kept_within_time_number_and_bytes() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut pages = Pages::new();
        (0..4).for_each(|seq| kept(&mut pages, seq, MOST / 3, at(seq)));
        make_room(&mut pages, MOST, at(4));
        assert_eq!(left(&pages), [1, 2, 3], "the oldest goes");
        make_room(&mut pages, MOST, at(2) + KEPT);
        assert_eq!(left(&pages), [3], "nothing is kept for ever");
        (0..PAGES as u64 * 2).for_each(|seq| kept(&mut pages, seq, 1, at(10 + seq)));
        make_room(&mut pages, MOST, at(500));
        assert_eq!((pages.len(), left(&pages)[0]), (PAGES - 1, PAGES as u64 + 1), "room for one more");
        pages.insert((TenantId::new("acme").unwrap(), 1, Seq(0)), (at(0), Answer::default()));
        make_room(&mut pages, MOST, at(500));
        assert_eq!(pages.len(), PAGES - 1, "a question under way can go, too");
    }
}
