//! What does a connection do right now?
//!
//! Written by the connection's own task, read by whoever looks for a socket to give up. So all of it is atomic, and a reader
//! may be a moment late.

use crate::share::AddressGroup;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// How much a socket is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing was authenticated yet.
    Unproven,
    /// A request was authenticated.
    Proven,
    /// It is not counted any more.
    Gone,
}

/// What a connection waits for between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The rest, or the first byte, of a head.
    Head,
    /// The next request, after an answer.
    Next,
}

/// What is known of one socket. Times are in milliseconds of [`super::Places`]' clock.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) group: AddressGroup,
    /// Whether it comes from a balancer that is trusted to speak for others.
    pub(super) trusted: bool,
    /// Changed under the table's lock only.
    standing: AtomicU8,
    /// A request is being answered.
    answering: AtomicBool,
    /// An answer waits until the client reads.
    blocked: AtomicBool,
    /// It waits for the next request, not for a head.
    between: AtomicBool,
    /// Since when it does what it does.
    since_ms: AtomicU64,
    /// It was told to go while it waited for its client.
    evicted_waiting: AtomicBool,
    pub(super) evicted: Notify,
}

impl Slot {
    pub(super) fn new(group: AddressGroup, trusted: bool, now_ms: u64) -> Self {
        Self {
            group,
            trusted,
            standing: AtomicU8::new(0),
            answering: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            between: AtomicBool::new(false),
            since_ms: AtomicU64::new(now_ms),
            evicted_waiting: AtomicBool::new(false),
            evicted: Notify::new(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self.standing.load(Relaxed) {
            0 => Standing::Unproven,
            1 => Standing::Proven,
            _ => Standing::Gone,
        }
    }

    pub(super) fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Relaxed);
    }

    pub(super) fn since_ms(&self) -> u64 {
        self.since_ms.load(Relaxed)
    }

    /// A request's head is complete.
    pub(super) fn begin_answer(&self, now_ms: u64) {
        self.since_ms.store(now_ms, Relaxed);
        self.answering.store(true, Relaxed);
    }

    /// The last of an answer's body was made.
    pub(super) fn end_answer(&self, now_ms: u64) {
        self.since_ms.store(now_ms, Relaxed);
        self.between.store(true, Relaxed);
        self.answering.store(false, Relaxed);
    }

    /// Bytes came; between two requests they begin the next head.
    pub(super) fn heard(&self, now_ms: impl FnOnce() -> u64) {
        if self.between.load(Relaxed) && !self.answering.load(Relaxed) {
            self.since_ms.store(now_ms(), Relaxed);
            self.between.store(false, Relaxed);
        }
    }

    /// The client does not read; or everything was written.
    pub(super) fn set_blocked(&self, blocked: bool, now_ms: impl FnOnce() -> u64) {
        if self.blocked.load(Relaxed) != blocked {
            self.blocked.store(blocked, Relaxed);
            self.since_ms.store(now_ms(), Relaxed);
        }
    }

    /// What it waits for, if it waits for its client's next bytes.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let busy = self.answering.load(Relaxed) || self.blocked.load(Relaxed);
        (!busy).then(|| if self.between.load(Relaxed) { Waiting::Next } else { Waiting::Head })
    }

    /// Tells the connection to go.
    pub(super) fn evict(&self) {
        self.evicted_waiting.store(self.waiting().is_some(), Relaxed);
        self.evicted.notify_one();
    }

    /// Whether a request arrived between being told to go and hearing of it.
    pub(super) fn was_quicker(&self) -> bool {
        self.evicted_waiting.load(Relaxed) && self.waiting().is_none()
    }
}
