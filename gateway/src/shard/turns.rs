//! Which session of a connection goes on next?
//!
//! Those that are behind share one socket: each writes a part in its turn, and the next one goes on from there. A page of the log
//! that comes when the socket takes nothing is let go; so that others do not fill it up again and again before the page has come once
//! more, its session alone goes on until then.

/// Whose turn it is, by the number of the session. A byte, so that a connection does not grow by it: sessions are few.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turns(u8);

/// Set while only the session whose turn it is goes on.
const ALONE: u8 = 0x80;

impl Turns {
    /// Of so many sessions, the one whose turn it is.
    pub(super) fn next(self, sessions: usize) -> usize {
        usize::from(self.0 & !ALONE) % sessions.max(1)
    }

    /// Whether only that one goes on.
    pub(super) fn is_alone(self) -> bool {
        self.0 & ALONE != 0
    }

    /// A session has had its turn.
    pub(super) fn pass(&mut self, session: usize) {
        *self = Self((session as u8).wrapping_add(1) & !ALONE);
    }

    /// A session could not take a page that it had asked for.
    pub(super) fn keep(&mut self, session: usize) {
        *self = Self(session as u8 | ALONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_whoever_lost_a_page_keeps_its_own() {
        let mut turns = Turns::default();
        let mut had = Vec::new();
        for _ in 0..7 {
            let next = turns.next(3);
            had.push(next);
            turns.pass(next);
        }
        assert_eq!(had, [0, 1, 2, 0, 1, 2, 0]);
        turns.keep(2);
        assert!(turns.is_alone() && turns.next(3) == 2);
        assert_eq!(turns.next(2), 0, "one is gone");
        turns.pass(2);
        assert!(!turns.is_alone() && turns.next(3) == 0 && turns.next(0) == 0);
    }
}
