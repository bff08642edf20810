//! What do the process that directs a crowd and the processes that are its clients say to each other?
//!
//! One JSON value a line: a [`Plan`] and then [`Order`]s down the pipe, [`Word`]s up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spread::Buckets;
use crate::ledger::Account;

/// The clients of one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// `authority` and `path` of each gateway or load balancer.
    pub(crate) addresses: Vec<(String, String)>,
    /// How many tenants there are.
    pub(crate) tenants: usize,
    /// The clients.
    pub(crate) clients: Vec<ClientPlan>,
    /// How a client whose connection was lost comes back.
    pub(crate) comeback: Comeback,
    /// Seconds until every client must have been welcomed.
    pub(crate) connect_seconds: u64,
}

/// One client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientPlan {
    /// Counted from 0 over all processes.
    pub(crate) number: u64,
    /// Index of its tenant.
    pub(crate) tenant: usize,
    /// Its user token.
    pub(crate) token: String,
    /// Index of the address it connects to first.
    pub(crate) home: usize,
    /// Connect from 127.0.0.x; none lets the kernel choose.
    pub(crate) source: Option<u8>,
    /// How it behaves once the crowd is marked.
    pub(crate) habit: Habit,
}

/// How a client behaves between [`Order::Mark`] and [`Order::Recover`]; before and after it just reads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Habit {
    /// It reads.
    Steady,
    /// It leaves again and again.
    Jitter {
        /// Milliseconds from one leaving to the next.
        every_ms: u64,
        /// Milliseconds it stays away.
        away_ms: u64,
        /// Milliseconds from the mark to its first leaving.
        offset_ms: u64,
    },
    /// It stays connected and reads nothing.
    Stalled,
    /// It reads slowly.
    Trickle {
        /// This fast.
        bytes_per_second: u64,
    },
    /// It leaves once.
    Away {
        /// For so many milliseconds.
        away_ms: u64,
    },
}

impl Habit {
    /// Names the group of clients that share it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Jitter { .. } => "jitter",
            Self::Stalled => "stalled",
            Self::Trickle { .. } => "trickle",
            Self::Away { .. } => "away",
        }
    }

    /// Bytes of the receive buffer. Those who read too little have a small one, or the kernel would read for them.
    pub(crate) fn receive_buffer(self) -> Option<u32> {
        matches!(self, Self::Stalled | Self::Trickle { .. }).then_some(16 * 1024)
    }
}

/// Exponential backoff with full jitter: before attempt `n` a random time up to `first_ms · 2ⁿ`, at most `cap_ms`. Each
/// attempt goes to the next address.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Comeback {
    /// Upper bound before the first attempt.
    pub(crate) first_ms: u64,
    /// Upper bound before any attempt.
    pub(crate) cap_ms: u64,
}

impl Comeback {
    /// The bound before attempt `n`, counted from 0.
    pub(crate) fn bound_ms(self, attempt: u32) -> u64 {
        self.first_ms.saturating_mul(1 << attempt.min(20)).min(self.cap_ms)
    }
}

/// From the directing process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// This event was acknowledged, and everything before it.
    Head {
        /// Index of the tenant.
        tenant: usize,
        /// Its number.
        seq: u64,
    },
    /// Habits begin. The monotonic clock.
    Mark(u64),
    /// Habits end. The monotonic clock.
    Recover(u64),
    /// Nothing more is published: get what is missing within so many seconds, and leave.
    Finish {
        /// How long that may take.
        seconds: u64,
    },
}

/// To the directing process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Every client was welcomed.
    Ready,
    /// There is no report, and why.
    Failed(String),
    /// The end.
    Report(Box<PartReport>),
}

/// What the clients of one process saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartReport {
    /// For each habit's name.
    pub(crate) groups: BTreeMap<String, Group>,
    /// Publishing to reading, at clients that had caught up and have the habit `Steady` or `Jitter`: of events published before
    /// the mark, between mark and recovery, after recovery.
    pub(crate) latency: [Buckets; 3],
    /// Begin of a further connection until everything known to be acknowledged at its welcome was there.
    pub(crate) replay: Buckets,
    /// Mark until the same, for the first such connection after a connection was lost.
    pub(crate) live_again: Buckets,
    /// The first faults in words.
    pub(crate) told: Vec<String>,
}

/// What clients of one habit saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// How many there are.
    pub(crate) clients: u64,
    /// What they got.
    pub(crate) account: Account,
    /// Connections that were welcomed, the first of each client included.
    pub(crate) connects: u64,
    /// Attempts to come back that were refused or led to nothing.
    pub(crate) failed_attempts: u64,
    /// Connections lost without the client's doing.
    pub(crate) lost: u64,
    /// Of these: closed by the server, by code.
    pub(crate) closed: BTreeMap<u16, u64>,
    /// Frames nobody expects, and events with a wrong number.
    pub(crate) faults: u64,
}

impl Group {
    /// Adds those of another process.
    pub(crate) fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.account.add(other.account);
        self.connects += other.connects;
        self.failed_attempts += other.failed_attempts;
        self.lost += other.lost;
        self.faults += other.faults;
        for (code, count) in &other.closed {
            *self.closed.entry(*code).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_a_comeback_doubles_up_to_the_cap() {
        let comeback = Comeback { first_ms: 1_000, cap_ms: 5_000 };
        assert_eq!([0, 1, 2, 3, 60].map(|n| comeback.bound_ms(n)), [1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(Comeback { first_ms: 0, cap_ms: 9 }.bound_ms(3), 0);
    }

    #[test]
    fn groups_add_up() {
        let account = Account { expected: 3, delivered: 2, ..Account::default() };
        let one = Group { clients: 1, account, lost: 1, closed: [(4508, 1)].into(), ..Group::default() };
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.clients, sum.account.missed(), sum.lost, sum.closed[&4508]), (2, 2, 2, 2));
    }

    #[test]
    fn orders_survive_the_pipe() {
        for order in [Order::Head { tenant: 3, seq: 7 }, Order::Mark(1), Order::Finish { seconds: 9 }] {
            let line = serde_json::to_string(&order).unwrap();
            let read: Order = serde_json::from_str(&line).unwrap();
            assert_eq!(format!("{read:?}"), format!("{order:?}"));
            assert!(!line.contains('\n'));
        }
    }
}
