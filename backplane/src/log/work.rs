//! Which connections may this piece of work use?
//!
//! Each kind of work has connections of its own, a bounded queue for them and a longest wait. So thirty-two searches that
//! take two seconds each delay the thirty-third search and nothing else: neither an append, nor a key that is looked up,
//! nor the watch over the heads, which never stands behind another question at all.
//!
//! A publisher uses `append`, `ask`, `search`, `watch`, `upkeep`, `deliver`, `outbox` and `archive` and one connection that only listens, a gateway `ask`, `repair`, `resume`, `search`,
//! `upkeep` and `watch`: at most 22 and 18 connections. They are made when they are wanted, the one used last is used next, and those
//! that nothing wanted for a minute are closed. The numbers stand in docs/OPERATIONS.md, "Shares".

use std::time::Duration;

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Appending batches.
    Append,
    /// The gateway's look at all heads, the publisher's proof that it can write.
    Watch,
    /// Small questions somebody waits for: whose is this key, where does that log end.
    Ask,
    /// What a stream missed.
    Repair,
    /// What a connection missed.
    Resume,
    /// The past of channels, and a back office's questions.
    Search,
    /// What nobody waits for: partitions, what readers of the log keep, what gateways store of clients.
    Upkeep,
    /// What webhooks send, and how far they are.
    Deliver,
    /// Moving events from applications' transactions into the log.
    Outbox,
    /// Copying what retention drops.
    Archive,
}

/// What a kind of work may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Most connections.
    pub(super) connections: usize,
    /// Most callers that wait for one; the next is refused at once.
    pub(super) waiting: usize,
    /// Longest wait.
    pub(super) wait: Duration,
}

impl Work {
    /// All kinds, in the order of their numbers.
    pub(super) const ALL: [Self; 10] = [
        Self::Append,
        Self::Watch,
        Self::Ask,
        Self::Repair,
        Self::Resume,
        Self::Search,
        Self::Upkeep,
        Self::Deliver,
        Self::Outbox,
        Self::Archive,
    ];

    /// The stable name, for metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Watch => "watch",
            Self::Ask => "ask",
            Self::Repair => "repair",
            Self::Resume => "resume",
            Self::Search => "search",
            Self::Upkeep => "upkeep",
            Self::Deliver => "deliver",
            Self::Outbox => "outbox",
            Self::Archive => "archive",
        }
    }

    /// What it may have. Questions that a request waits for wait half a second, for whoever asked gives up after one and
    /// a half: a connection that was waited for longer would be thrown away with the answer.
    pub(super) fn share(self) -> Share {
        let (connections, waiting, wait_ms) = match self {
            Self::Append => (4, 64, 1_000),
            Self::Watch => (1, 4, 1_000),
            Self::Ask => (6, 512, 500),
            Self::Repair => (2, 64, 1_000),
            Self::Resume => (3, 64, 1_000),
            Self::Search => (4, 64, 1_000),
            // All background tasks of a publisher begin at once.
            Self::Upkeep => (2, 32, 1_000),
            // Few endpoints at a time ask (publisher/src/webhooks); the others wait before this.
            Self::Deliver => (2, 64, 1_000),
            // One move at a time.
            Self::Outbox => (1, 4, 1_000),
            // Some tenants at a time, in turns.
            Self::Archive => (1, 16, 10_000),
        };
        Share { connections, waiting, wait: Duration::from_millis(wait_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_as_many_connections_as_the_handbook_says() {
        let most = |kinds: &[Work]| kinds.iter().map(|work| work.share().connections).sum::<usize>();
        let publisher = [
            Work::Append,
            Work::Ask,
            Work::Search,
            Work::Watch,
            Work::Upkeep,
            Work::Deliver,
            Work::Outbox,
            Work::Archive,
        ];
        // And one on which it hears of the outbox, `log/outbox/wake.rs`.
        assert_eq!(most(&publisher) + 1, 22);
        let gateway = [Work::Ask, Work::Repair, Work::Resume, Work::Search, Work::Upkeep, Work::Watch];
        assert_eq!(most(&gateway), 18);
    }

    #[test]
    fn every_kind_stands_at_its_number() {
        for (number, work) in Work::ALL.into_iter().enumerate() {
            assert_eq!(work as usize, number, "{}", work.name());
        }
    }
}
