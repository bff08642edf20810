//! Who gets the answer, and who decides whether a request that waited too long was stored?
//!
//! A caller that gives up and a runner that begins the batch may meet at the same instant. One atomic step settles
//! it, so a caller that is told "not stored" is told the truth.

use super::NotAppended;
use carillon_backplane::log::Appended;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// What a caller is told.
pub(super) type Answer = Result<Vec<Appended>, NotAppended>;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The runner's half: it begins the request, and answers it.
#[derive(Debug)]
pub(super) struct Ticket {
    state: Arc<AtomicU8>,
    answer: oneshot::Sender<Answer>,
}

/// The caller's half.
#[derive(Debug)]
pub(super) struct Waiter {
    state: Arc<AtomicU8>,
    answer: oneshot::Receiver<Answer>,
}

/// Both halves.
pub(super) fn ticket() -> (Ticket, Waiter) {
    let state = Arc::new(AtomicU8::new(WAITING));
    let (sender, receiver) = oneshot::channel();
    (Ticket { state: state.clone(), answer: sender }, Waiter { state, answer: receiver })
}

fn settle(state: &AtomicU8, to: u8) -> bool {
    state.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

impl Ticket {
    /// Whether the caller still wants it; from here on the caller waits for the outcome.
    pub(super) fn begin(&self) -> bool {
        !self.answer.is_closed() && settle(&self.state, BEGUN)
    }

    /// Tells the caller; one who went away meanwhile does not mind.
    pub(super) fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

impl Waiter {
    /// The answer; `Overloaded` when the request has not begun within `patience`.
    pub(super) async fn wait(mut self, patience: Duration) -> Answer {
        if let Ok(answer) = tokio::time::timeout(patience, &mut self.answer).await {
            return answer.unwrap_or(Err(NotAppended::Unavailable));
        }
        if settle(&self.state, GIVEN_UP) {
            return Err(NotAppended::Overloaded);
        }
        self.answer.await.unwrap_or(Err(NotAppended::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_begins_is_given_up_and_then_cannot_begin() {
        let (ticket, waiter) = ticket();
        assert_eq!(waiter.wait(PATIENCE).await, Err(NotAppended::Overloaded));
        assert!(!ticket.begin());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_began_is_waited_for() {
        let (ticket, waiter) = ticket();
        assert!(ticket.begin());
        let waiting = tokio::spawn(waiter.wait(PATIENCE));
        tokio::time::sleep(PATIENCE * 2).await;
        ticket.answer(Ok(Vec::new()));
        assert_eq!(waiting.await.unwrap(), Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_caller_that_went_away_takes_its_request_along() {
        let (ticket, waiter) = ticket();
        drop(waiter);
        assert!(!ticket.begin());
    }
}
