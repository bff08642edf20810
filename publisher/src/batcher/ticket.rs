//! Who gets the answer, and who decides whether a request that waited too long was stored?
//!
//! A caller that gives up and a runner that begins the batch may meet at the same instant. One atomic step settles
//! it, so a caller that is told "not stored" is told the truth.

use super::shares::Share;
use super::{NotAppended, PATIENCE};
use crate::limits::NoticesTaken;
use carillon_backplane::log::Appended;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a caller is told.
pub(super) type Answer = Result<Vec<Appended>, NotAppended>;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The runner's half: it begins the request, and answers it. Until then it holds the request's share of the intake, and its notices count
/// as under way: a caller that went away does not end that, for what has begun is stored all the same.
pub(super) struct Ticket {
    state: Arc<AtomicU8>,
    answer: oneshot::Sender<Answer>,
    since: Instant,
    _share: Share,
    notices: NoticesTaken,
}

/// The caller's half.
pub(super) struct Waiter {
    state: Arc<AtomicU8>,
    answer: oneshot::Receiver<Answer>,
}

/// Both halves.
pub(super) fn ticket(share: Share, notices: NoticesTaken) -> (Ticket, Waiter) {
    let state = Arc::new(AtomicU8::new(WAITING));
    let (sender, receiver) = oneshot::channel();
    let ticket =
        Ticket { state: state.clone(), answer: sender, since: Instant::now(), _share: share, notices };
    (ticket, Waiter { state, answer: receiver })
}

fn settle(state: &AtomicU8, from: u8, to: u8) -> bool {
    state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

impl Ticket {
    /// Whether the caller still wants it; from here on the caller waits for the outcome.
    pub(super) fn begin(&self) -> bool {
        !self.answer.is_closed() && settle(&self.state, WAITING, BEGUN)
    }

    /// It has to wait again, and nothing of it was stored. False: the caller went away.
    pub(super) fn put_back(&self) -> bool {
        !self.answer.is_closed() && settle(&self.state, BEGUN, WAITING)
    }

    /// Whether the caller has waited as long as it does for a batch to begin.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= PATIENCE
    }

    /// Tells the caller; one who went away meanwhile does not mind.
    pub(super) fn answer(self, answer: Answer) {
        // First: whoever has the answer and sends more would find them counted twice, as stored and as under way.
        drop(self.notices);
        let _ = self.answer.send(answer);
    }
}

impl Waiter {
    /// The answer; `Overloaded` when the request has not begun within `patience`.
    pub(super) async fn wait(mut self, patience: Duration) -> Answer {
        if let Ok(answer) = tokio::time::timeout(patience, &mut self.answer).await {
            return answer.unwrap_or(Err(NotAppended::Unavailable));
        }
        if settle(&self.state, WAITING, GIVEN_UP) {
            return Err(NotAppended::Overloaded);
        }
        self.answer.await.unwrap_or(Err(NotAppended::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::append;
    use super::super::shares::{Publisher, Shares};
    use super::*;
    use crate::metrics::Metrics;

    fn pair() -> (Ticket, Waiter) {
        let shares = Shares::new(Arc::new(Metrics::new()));
        let share = shares
            .take(&[append("a", None, 1)], &Publisher { name: "user:anna".into(), several_tenants: false });
        ticket(share.unwrap_or_else(|refused| panic!("{refused}")), NoticesTaken::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_begins_is_given_up_and_then_cannot_begin() {
        let (ticket, waiter) = pair();
        assert_eq!(waiter.wait(PATIENCE).await, Err(NotAppended::Overloaded));
        assert!(!ticket.begin());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_began_is_waited_for() {
        let (ticket, waiter) = pair();
        assert!(ticket.begin());
        let waiting = tokio::spawn(waiter.wait(PATIENCE));
        tokio::time::sleep(PATIENCE * 2).await;
        ticket.answer(Ok(Vec::new()));
        assert_eq!(waiting.await.unwrap(), Ok(Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_put_back_is_given_up_like_one_that_never_began() {
        let (ticket, waiter) = pair();
        assert!(ticket.begin() && ticket.put_back());
        assert!(!ticket.is_over(Instant::now()));
        assert_eq!(waiter.wait(PATIENCE).await, Err(NotAppended::Overloaded));
        assert!(ticket.is_over(Instant::now()) && !ticket.begin());
    }

    #[tokio::test]
    async fn a_caller_that_went_away_takes_its_request_along() {
        let (ticket, waiter) = pair();
        drop(waiter);
        assert!(!ticket.begin());
    }
}
