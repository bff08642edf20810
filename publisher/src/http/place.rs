//! Where in a tenant's log does a page begin that reads forward?
//!
//! A back end that reads everything keeps one number or one cursor. Whatever it comes back with, it gets each later event
//! once, or is told that it cannot: nothing is skipped without a word.

use super::cursor;
use super::problem::{Code, Problem};
use crate::event::{Fault, FaultCode};
use carillon_backplane::log::Opened;
use carillon_protocol::Seq;

/// After which event the page begins: a seq counts in the log as it is now, `next` of a page in the epoch it was given in.
pub(super) fn forward(after: Option<&str>, opened: &Opened) -> Result<Seq, Problem> {
    let Some(text) = after else { return Ok(Seq::ZERO) };
    let (head, epochs) = (&opened.head, &opened.epochs);
    let seq = match text.parse() {
        Ok(number) => Some(Seq(number)),
        Err(_) => epochs.names().find_map(|epoch| {
            cursor::decode(text, &head.tenant, epoch).filter(|seq| epochs.honours(epoch, *seq))
        }),
    };
    let detail = "is neither the seq of an event nor next of a page of this log as it is now";
    let seq = seq.ok_or_else(|| invalid("after", detail))?;
    if seq > head.seq {
        return Err(invalid(
            "after",
            "lies beyond the end of the log: the log has lost its end, or was never so long",
        ));
    }
    Ok(seq)
}

/// Refuses a page whose first events are gone: what is left of the log begins after `oldest`.
pub(super) fn unbroken(after: Seq, oldest: Seq) -> Result<(), Problem> {
    if after == Seq::ZERO || after >= oldest {
        return Ok(());
    }
    Err(invalid(
        "after",
        "is followed by events that retention has dropped; leave it out to begin with the oldest there is",
    ))
}

/// The 400 for a cursor that cannot be honoured.
pub(super) fn invalid(name: &'static str, detail: &str) -> Problem {
    let fault = Fault::in_parameter(name, FaultCode::InvalidCursor, detail);
    Problem::new(Code::InvalidCursor, format!("the parameter {name} {detail}")).at(vec![fault])
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::Head;
    use carillon_protocol::{Began, Epoch, Epochs, TenantId};

    fn epoch(name: &str) -> Epoch {
        Epoch::new(name).unwrap()
    }

    #[test]
    fn a_place_is_a_seq_or_a_cursor_of_any_epoch_that_is_good_up_to_there() {
        let tenant = TenantId::new("acme").unwrap();
        let began = |name: &str, after| Began { epoch: epoch(name), after: Seq(after) };
        let epochs = Epochs::new(&epoch("e2"), vec![began("e2", 40), began("e1", 0)]);
        let head = Head { tenant: tenant.clone(), epoch: epoch("e2"), seq: Seq(50), tag: None };
        let opened = Opened { head, epochs, writable: true };
        let at = |text: &str| forward(Some(text), &opened).map(|seq| seq.0).map_err(|problem| problem.code);
        let cursor = |name: &str, seq| cursor::encode(&tenant, &epoch(name), Seq(seq));
        assert_eq!(forward(None, &opened).ok(), Some(Seq::ZERO));
        for (text, seq) in [("0", 0), ("41", 41), ("50", 50)] {
            assert_eq!(at(text), Ok(seq));
        }
        assert_eq!(at(&cursor("e2", 41)), Ok(41));
        assert_eq!(at(&cursor("e1", 40)), Ok(40), "up to there it is the same log");
        for bad in ["51", "-1", "1.0", "x", "", "18446744073709551616"] {
            assert_eq!(at(bad), Err(Code::InvalidCursor), "{bad}");
        }
        for bad in [cursor("e1", 41), cursor("e0", 1), cursor("e2", 51)] {
            assert_eq!(at(&bad), Err(Code::InvalidCursor), "{bad}");
        }
    }

    #[test]
    fn a_gap_is_told_and_a_beginning_is_none() {
        assert!(unbroken(Seq::ZERO, Seq(10)).is_ok() && unbroken(Seq(10), Seq(10)).is_ok());
        assert_eq!(unbroken(Seq(9), Seq(10)).err().map(|problem| problem.code), Some(Code::InvalidCursor));
    }
}
