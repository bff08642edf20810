//! Who reads older events from the log, once for all who need them?
//!
//! A thousand connections that come back after a node's death ask for nearly the same range. Pages are aligned to
//! fixed borders, so their questions are the same question: it is asked once, and the answer is kept for a while.
//! Whoever asks first reads, with its own share of the log and of the replay budget; the others share what it read.
//!
//! | module | question it answers |
//! |---|---|
//! | [`history`] | where does a piece of history begin, and which events are in it? |
//! | [`pages`] | which pages are there already, for whoever asks the same? |
//! | [`shares`] | who may read the log next, and who may hold what was read? |

mod history;
mod pages;
mod shares;

pub(crate) use history::Selection;
pub(crate) use pages::BacklogPage;
pub(crate) use shares::{Reader, Room};

use crate::budget::{Budget, Charge};
use crate::metrics::metrics;
use carillon_backplane::log::{Log, LogError};
use carillon_protocol::Seq;
use pages::{Answer, Events, Key, Pages, make_room};
use shares::{Kind, Shares};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Events between two page borders.
const PAGE: u64 = 256;
/// Most of the replay budget that pages may take which are only kept: large events make pages of half a megabyte, and
/// clients that lag a little ask for pages that overlap.
const KEPT_SHARE: usize = 8;
/// What a page may weigh before it is known: its rows, and what entries cost beside them.
pub(crate) const PAGE_WEIGHT: usize = 1024 * 1024;

/// Reads pages of the log for connections that are behind their ring.
#[derive(Clone)]
pub(crate) struct Backlog {
    log: Log,
    shared: Arc<Shared>,
    /// What replays hold between the log and the sockets.
    budget: Arc<Budget>,
}

struct Shared {
    shares: Shares,
    /// Reads that wait for bytes of the budget: while there are any, nothing is kept in case somebody else wants it.
    waiting: AtomicUsize,
    pages: Mutex<Pages>,
}

/// What a page of history holds of the replay budget, until it is written or forgotten.
pub(crate) struct Held {
    _bytes: Charge,
    _room: Room,
}

impl Backlog {
    pub(crate) fn new(log: Log, budget: Arc<Budget>) -> Self {
        let shared = Shared {
            shares: Shares::new(budget.limit()),
            waiting: AtomicUsize::new(0),
            pages: Mutex::new(HashMap::new()),
        };
        Self { log, shared: Arc::new(shared), budget }
    }

    /// The page that has the event after `cursor`, up to `head` at most. `life` keeps the answers of different lives
    /// of a stream apart.
    pub(crate) async fn page(
        &self,
        reader: &Reader,
        life: u64,
        cursor: Seq,
        head: Seq,
    ) -> Result<Arc<BacklogPage>, LogError> {
        let border = Seq(cursor.0 - cursor.0 % PAGE);
        let page = self.read_once(reader, life, border, head).await?;
        // The log may begin within this page, or its bytes may have ended it early: then ask exactly.
        if page.after(cursor).is_empty() && border != cursor {
            // Release our room before waiting for some (deadlock).
            drop(page);
            return self.read_once(reader, life, cursor, head).await.map(Arc::new);
        }
        Ok(Arc::new(page))
    }

    async fn read_once(
        &self,
        reader: &Reader,
        life: u64,
        after: Seq,
        head: Seq,
    ) -> Result<BacklogPage, LogError> {
        let upto = Seq(after.0 - after.0 % PAGE + PAGE).min(head);
        let key = (reader.group.clone(), life, after);
        let answer = self.answer(&key, upto);
        let mut own_room = None;
        let events = answer
            .get_or_try_init(|| async {
                let room = self.shared.shares.room(Kind::Resume, reader).await?;
                let _permit = self.shared.shares.permit(Kind::Resume, reader).await?;
                let reserved = self.reserve().await;
                metrics().backlog_reads.increment(1);
                let page = self.log.read(&reader.group, after, upto).await?;
                let events = Events::new(after, upto, page.events, &reserved);
                metrics().backlog_events.increment(events.len() as u64);
                own_room = Some(room);
                Ok::<_, LogError>(Arc::new(events))
            })
            .await?
            .clone();
        if self.shared.waiting.load(Ordering::SeqCst) > 0 {
            self.shared.lock().remove(&key);
        }
        Ok(BacklogPage::new(events, own_room))
    }

    /// Bytes for one more page. What is kept in case somebody else wants it goes first; then reads wait for the sockets
    /// to take what was read before. Holders cannot use up the whole budget: their room is bounded.
    async fn reserve(&self) -> Charge {
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
