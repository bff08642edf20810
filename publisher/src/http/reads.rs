//! Who may read the log now, and how much of the answers may be in memory?
//!
//! Reading has turns: whoever asks the database for a piece of the log takes one for that piece and gives it back, and
//! turns go round among tenants, then among a tenant's users and keys. An answer has a share of the memory that all
//! unread answers may take, and keeps it until its last byte is handed to the kernel: a reader who does not read holds
//! its own share and nothing else. How long an answer may stand still is the socket's business
//! ([`carillon_platform::sockets`]).

use super::problem::{Code, Problem};
use crate::metrics::Metrics;
use bytes::Bytes;
use carillon_platform::share::{
    FairPermit, FairPermits, Holder, Holding, HoldingLimits, Holdings, PermitLimits, Refused,
};
use std::sync::Arc;
use std::time::Duration;

/// Pieces of the log that are read at a time: fewer than the connections for it, so that none waits for a connection.
const TURNS: PermitLimits = PermitLimits {
    total: 3,
    per_group: 2,
    per_member: 1,
    waiting: 512,
    waiting_per_group: 64,
    waiting_per_member: 16,
};
/// Longest wait for a turn.
const TURN: Duration = Duration::from_secs(5);
/// Memory of all answers that are made or wait for their readers.
const MEMORY: HoldingLimits =
    HoldingLimits { total: 32 * 1024 * 1024, per_group: 16 * 1024 * 1024, per_member: 4 * 1024 * 1024 };
/// Bytes of events that are read at once; one event more may exceed it.
pub(super) const PIECE: usize = 64 * 1024;
/// What an answer may take while it is made: a piece as rows, as text, and the one before it on the socket.
const ANSWER: usize = 4 * PIECE;

/// The turns and the memory, shared by all requests.
#[derive(Clone)]
pub struct Reads {
    turns: FairPermits,
    memory: Holdings,
    metrics: Arc<Metrics>,
}

/// Somebody who reads.
#[derive(Clone)]
pub(super) struct Reader {
    reads: Reads,
    holder: Holder,
}

/// An answer's part of the memory; given back when the answer and all pieces of it are gone.
#[derive(Clone)]
pub(super) struct Held {
    _holding: Arc<Holding>,
}

impl Reads {
    /// Nobody reads yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { turns: FairPermits::new(TURNS), memory: Holdings::new(MEMORY), metrics }
    }

    /// A reader of a tenant's log: a user or an API key.
    pub(super) fn reader(&self, tenant: &str, who: &str) -> Reader {
        Reader { reads: self.clone(), holder: Holder::new(tenant, who) }
    }

    fn refuse(&self, what: &'static str, refused: Refused) -> Problem {
        self.metrics.read_refused(what, refused);
        match refused {
            Refused::Total => Problem::new(Code::Overloaded, "too much of the log is being read; try again"),
            Refused::Group => {
                Problem::new(Code::TooManyRequests, "the tenant reads as much at a time as it may; try again")
            }
            Refused::Member => Problem::new(
                Code::TooManyRequests,
                "this key or user reads as much at a time as it may, or leaves answers unread; try again",
            ),
        }
    }
}

impl Reader {
    /// Waits for a turn to ask the database.
    pub(super) async fn turn(&self) -> Result<FairPermit, Problem> {
        let waited = tokio::time::timeout(TURN, self.reads.turns.acquire(self.holder.clone())).await;
        waited.unwrap_or(Err(Refused::Total)).map_err(|refused| self.reads.refuse("turn", refused))
    }

    /// Memory for an answer.
    pub(super) fn hold(&self) -> Result<Held, Problem> {
        let held = self.reads.memory.try_take(self.holder.clone(), ANSWER);
        held.map(|held| Held { _holding: Arc::new(held) })
            .map_err(|refused| self.reads.refuse("memory", refused))
    }
}

impl Held {
    /// A piece of the answer, which holds the memory as long as anybody has it.
    pub(super) fn piece(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Piece { bytes, _held: self.clone() })
    }
}

struct Piece {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads() -> Reads {
        Reads::new(Arc::new(Metrics::new()))
    }

    #[test]
    fn unread_answers_hold_their_readers_share_and_nobody_elses() {
        let reads = reads();
        let reader = reads.reader("a", "anna");
        let mut unread = Vec::new();
        let refused = loop {
            match reader.hold() {
                Ok(held) => unread.push(held.piece(vec![b'x'; 10])),
                Err(problem) => break problem,
            }
        };
        assert_eq!((unread.len(), refused.code), (MEMORY.per_member / ANSWER, Code::TooManyRequests));
        assert!(reads.reader("a", "ben").hold().is_ok() && reads.reader("b", "anna").hold().is_ok());
        let part = unread[0].slice(5..);
        drop(unread.swap_remove(0));
        assert!(reader.hold().is_err(), "a part of it is still there");
        drop(part);
        assert!(reader.hold().is_ok());
        drop(unread);
        assert_eq!(reads.memory.used(), 0);
    }

    #[tokio::test]
    async fn a_tenant_with_many_readers_has_no_more_turns_than_another_with_one() {
        let reads = reads();
        let turn = |tenant, who: usize| {
            let reader = reads.reader(tenant, &format!("user-{who}"));
            Box::pin(async move { reader.turn().await.map_err(|problem| problem.code) })
        };
        let mut held = vec![turn("many", 0).await.unwrap(), turn("many", 1).await.unwrap()];
        let mut waiting: Vec<_> = (2..12).map(|who| turn("many", who)).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending(), "a turn is left for other tenants");
        }
        let others = turn("other", 0).await.unwrap();
        let mut late = turn("late", 0);
        assert!(futures_util::poll!(&mut late).is_pending());
        // One more of the tenant that came first, and then whoever came last of all: tenants take turns.
        held.remove(0);
        held.push(waiting.remove(0).await.unwrap());
        assert!(futures_util::poll!(&mut late).is_pending());
        held.remove(0);
        let late = futures_util::poll!(&mut late);
        assert!(matches!(late, std::task::Poll::Ready(Ok(_))));
        assert!(futures_util::poll!(&mut waiting[0]).is_pending());
        drop((late, others));
    }

    #[tokio::test(start_paused = true)]
    async fn one_reader_waits_for_its_own_turn_and_nobody_for_it() {
        let reads = reads();
        let anna = reads.reader("a", "anna");
        let turn = anna.turn().await.map_err(|problem| problem.code).unwrap();
        assert!(
            reads.reader("a", "ben").turn().await.is_ok() && reads.reader("b", "anna").turn().await.is_ok()
        );
        let waited = tokio::time::timeout(TURN / 2, anna.turn()).await;
        assert!(waited.is_err(), "she waits");
        assert_eq!(anna.turn().await.err().map(|problem| problem.code), Some(Code::Overloaded));
        drop(turn);
        assert!(anna.turn().await.is_ok());
    }
}
