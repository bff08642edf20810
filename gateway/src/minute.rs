//! What happened on this node in the last minute, for those who look at the installation?
//!
//! Counters beside the metrics, which cannot be read back: adding to one is an atomic addition. Every beat of the node reads them and
//! keeps a reading for a minute.

use carillon_backplane::bus::{BUCKETS, Minute, latency_bucket};
use carillon_protocol::server::Resumed;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a reading is kept.
const SPAN: Duration = Duration::from_secs(60);

/// What is counted since the process began.
pub(crate) struct Tally {
    resumes: [AtomicU64; 3],
    closes: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) fell_behind: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) events_repaired: AtomicU64,
    pub(crate) handshakes_rejected: AtomicU64,
    latency: [AtomicU64; BUCKETS],
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            resumes: Default::default(),
            closes: Mutex::default(),
            fell_behind: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            events_repaired: AtomicU64::new(0),
            handshakes_rejected: AtomicU64::new(0),
            latency: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// A welcome.
    pub(crate) fn resumed(&self, resumed: Resumed) {
        let [live, replay, reset] = &self.resumes;
        let counter = match resumed {
            Resumed::Live => live,
            Resumed::Replay => replay,
            Resumed::Reset => reset,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection's end.
    pub(crate) fn closed(&self, reason: &'static str) {
        *self.closes.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// An event was written to the sockets of a shard so long after its commit.
    pub(crate) fn delivered(&self, took_us: u64) {
        if let Some(bucket) = self.latency.get(latency_bucket(took_us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of it.
    fn read(&self) -> Minute {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let closes = self.closes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Minute {
            resumes: self.resumes.each_ref().map(read),
            closes: closes.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
            fell_behind: read(&self.fell_behind),
            gaps: read(&self.gaps),
            events_repaired: read(&self.events_repaired),
            handshakes_rejected: read(&self.handshakes_rejected),
            latency: self.latency.iter().map(read).collect(),
        }
    }
}

/// Readings of the last minute, oldest first.
#[derive(Default)]
pub(crate) struct Window(VecDeque<(Instant, Minute)>);

impl Window {
    /// What happened in the last minute, or since the process began.
    pub(crate) fn last_minute(&mut self, tally: &Tally, now: Instant) -> Minute {
        let read = tally.read();
        self.0.push_back((now, read.clone()));
        // One that is a minute old stays: the difference to it is the answer.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPAN) {
            self.0.pop_front();
        }
        let whole = self.0.front().filter(|(at, _)| now.duration_since(*at) >= SPAN);
        match whole {
            Some((_, earlier)) => read.since(earlier),
            None => read.since(&Minute::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_what_happened_in_it_and_no_reading_is_kept_longer() {
        let (tally, mut window, began) = (Tally::new(), Window::default(), Instant::now());
        tally.closed("left");
        tally.resumed(Resumed::Replay);
        tally.delivered(900);
        for beat in 0..200_u64 {
            let now = began + Duration::from_secs(2 * beat);
            let minute = window.last_minute(&tally, now);
            let is_there = beat < 30;
            assert_eq!(minute.closes.get("left").copied(), is_there.then_some(1), "{beat}");
            assert_eq!(
                (minute.resumes[1], minute.delivered()),
                if is_there { (1, 1) } else { (0, 0) },
                "{beat}"
            );
        }
        assert!(window.0.len() <= 32, "{}", window.0.len());
        tally.gaps.fetch_add(2, Ordering::Relaxed);
        assert_eq!(window.last_minute(&tally, began + Duration::from_secs(401)).gaps, 2);
    }
}
