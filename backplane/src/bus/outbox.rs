//! How does a publisher announce without ever waiting for Redis?
//!
//! A queue bounded in messages and bytes, counting those already under way. Whoever puts something in never waits. What
//! waited longer than it is worth is thrown away before newer things are refused: by then gateways have asked the log.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// An announcement that waits.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) channel: String,
    pub(super) payload: Bytes,
    born: Instant,
}

impl Announcement {
    pub(super) fn new(channel: String, payload: Bytes, born: Instant) -> Self {
        Self { channel, payload, born }
    }

    /// What it takes of the byte limit, from `put` to `done`.
    pub(super) fn weight(&self) -> usize {
        self.payload.len() + self.channel.len() + 128
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// What became of a `put`, besides the announcement itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    Queued,
    Full,
    Closed,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Announcement>,
    under_way: usize,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    closing: Notify,
    limits: Limits,
}

impl Outbox {
    pub(super) fn new(limits: Limits) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), closing: Notify::new(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues it if there is room. Returns also how many old ones were thrown away for it.
    pub(super) fn put(&self, announcement: Announcement, now: Instant) -> (Put, usize) {
        let mut waiting = self.lock();
        if waiting.closed {
            return (Put::Closed, 0);
        }
        let stale = self.drop_stale(&mut waiting, now);
        let bytes = waiting.bytes + announcement.weight();
        if waiting.queue.len() + waiting.under_way >= self.limits.messages || bytes > self.limits.bytes {
            return (Put::Full, stale);
        }
        waiting.bytes = bytes;
        waiting.queue.push_back(announcement);
        drop(waiting);
        self.wake.notify_one();
        (Put::Queued, stale)
    }

    /// The oldest one still worth sending, now under way until [`Outbox::done`]; and how many were not worth it.
    pub(super) fn take(&self, now: Instant) -> (Option<Announcement>, usize) {
        let mut waiting = self.lock();
        let stale = self.drop_stale(&mut waiting, now);
        let next = waiting.queue.pop_front();
        waiting.under_way += usize::from(next.is_some());
        (next, stale)
    }

    /// Throws away what is not worth sending any more and says how much.
    pub(super) fn drop_old(&self, now: Instant) -> usize {
        self.drop_stale(&mut self.lock(), now)
    }

    /// One that was taken, of this weight, is sent or lost.
    pub(super) fn done(&self, weight: usize) {
        let mut waiting = self.lock();
        waiting.under_way -= 1;
        waiting.bytes -= weight;
    }

    /// Resolves when something may wait or the outbox was closed.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// From now on nothing is taken in; what waits can still be taken out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
        self.closing.notify_one();
    }

    /// Resolves when the outbox is closed. For one waiter.
    pub(super) async fn closed(&self) {
        self.closing.notified().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Gives up everything that waits or is under way and says how much that was.
    pub(super) fn clear(&self) -> usize {
        let mut waiting = self.lock();
        let given_up = waiting.queue.len() + waiting.under_way;
        *waiting = Waiting { closed: waiting.closed, ..Waiting::default() };
        given_up
    }

    fn drop_stale(&self, waiting: &mut Waiting, now: Instant) -> usize {
        let mut stale = 0;
        while let Some(oldest) = waiting.queue.front()
            && now.saturating_duration_since(oldest.born) > self.limits.age
        {
            waiting.bytes -= oldest.weight();
            waiting.queue.pop_front();
            stale += 1;
        }
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: usize, bytes: usize) -> Outbox {
        Outbox::new(Limits { messages, bytes, age: Duration::from_secs(1) })
    }

    fn one(born: Instant) -> Announcement {
        Announcement::new("c".into(), Bytes::from_static(&[0; 100]), born)
    }

    #[test]
    fn i10_messages_under_way_count_until_they_are_done() {
        let (outbox, now) = (outbox(2, 100_000), Instant::now());
        assert_eq!(outbox.put(one(now), now), (Put::Queued, 0));
        let weight = outbox.take(now).0.unwrap().weight();
        assert_eq!(outbox.put(one(now), now), (Put::Queued, 0));
        assert_eq!(outbox.put(one(now), now), (Put::Full, 0));
        outbox.done(weight);
        assert_eq!(outbox.put(one(now), now), (Put::Queued, 0));
    }

    #[test]
    fn i10_bytes_are_bounded_and_come_back() {
        let (outbox, now) = (outbox(100, 500), Instant::now());
        assert_eq!(outbox.put(one(now), now), (Put::Queued, 0));
        assert_eq!(outbox.put(one(now), now), (Put::Queued, 0));
        assert_eq!(outbox.put(one(now), now), (Put::Full, 0));
        assert_eq!(outbox.clear(), 2);
        assert_eq!(outbox.put(one(now), now), (Put::Queued, 0));
        assert_eq!(outbox.lock().bytes, one(now).weight());
        assert!(outbox.take(now).0.is_some());
        assert_eq!(outbox.clear(), 1);
    }

    #[test]
    fn old_news_makes_room_for_new() {
        let (outbox, start) = (outbox(2, 100_000), Instant::now());
        let later = start + Duration::from_millis(1_001);
        outbox.put(one(start), start);
        outbox.put(one(start), start);
        assert_eq!(outbox.put(one(later), later), (Put::Queued, 2));
        assert!(outbox.take(later).0.is_some());
        assert_eq!(outbox.take(later).0.map(|a| a.weight()), None);
    }

    #[test]
    fn a_closed_outbox_gives_out_but_takes_nothing_in() {
        let (outbox, now) = (outbox(2, 100_000), Instant::now());
        outbox.put(one(now), now);
        outbox.close();
        assert_eq!(outbox.put(one(now), now), (Put::Closed, 0));
        assert!(!outbox.is_empty() && outbox.take(now).0.is_some() && outbox.is_empty());
    }
}
