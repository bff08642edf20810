//! What did one follower see, in order?

use std::collections::BTreeSet;
use std::time::Instant;

/// The most marks one witness keeps; a follower that sees more stops recording and its verdict says so.
pub(super) const MARKS: usize = 2_000_000;

/// One event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its place in the log.
    pub seq: u64,
    /// Its name.
    pub id: String,
    /// [`digest`](crate::client::post::digest) of its type and data.
    pub digest: u64,
    /// When it arrived.
    pub at: Instant,
}

/// One thing that happened to a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A connection was made: the first one, or one that resumes.
    Welcome {
        /// The life of the log.
        epoch: String,
        /// The connection's cursor.
        seq: u64,
        /// What the connection is subscribed to.
        channels: BTreeSet<String>,
        /// Whether it announced (`resumed: reset`) that a reset follows.
        reset_follows: bool,
    },
    /// An event arrived.
    Event(Received),
    /// The log goes on in another epoch, and the gateway said that nothing was missed.
    Renewed {
        /// The epoch from here on.
        epoch: String,
        /// The connection's cursor.
        seq: u64,
    },
    /// Continuity was lost, and the gateway said so.
    Reset {
        /// The life of the log from here on.
        epoch: String,
        /// Where it goes on.
        seq: u64,
    },
}

/// Everything one follower saw.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    /// The follower's name in faults.
    pub follower: String,
    /// Whose log it follows.
    pub tenant: String,
    /// What happened, oldest first.
    pub marks: Vec<Mark>,
    /// For a follower that left before the end: it must have every event up to this seq, not the later ones.
    pub left_at: Option<u64>,
    /// When each of its connections was let in, in the order of its welcomes; empty where nobody looked.
    pub connected: Vec<Instant>,
    /// What ended each of its connections, and each attempt that failed; empty where nobody looked.
    pub losses: Vec<String>,
    /// Why it will not come back.
    pub over: Option<String>,
}

impl Witness {
    /// A follower of this tenant that has seen nothing.
    pub fn new(follower: impl Into<String>, tenant: impl Into<String>) -> Self {
        Self { follower: follower.into(), tenant: tenant.into(), ..Self::default() }
    }

    /// Adds a mark; false when there is no room.
    pub fn note(&mut self, mark: Mark) -> bool {
        let room = self.marks.len() < MARKS;
        if room {
            self.marks.push(mark);
        }
        room
    }

    /// The events that arrived, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Received> {
        self.marks.iter().filter_map(|mark| if let Mark::Event(event) = mark { Some(event) } else { None })
    }

    /// How many connections it had.
    pub fn connections(&self) -> usize {
        self.marks.iter().filter(|mark| matches!(mark, Mark::Welcome { .. })).count()
    }

    /// How often it was told `reset`.
    pub fn resets(&self) -> usize {
        self.marks.iter().filter(|mark| matches!(mark, Mark::Reset { .. })).count()
    }
}
