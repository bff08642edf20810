//! By which id does a client of Socket.IO come back, and are its channels kept for it?
//!
//! Beside the connections: one that does not recover is not in it and costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

/// How long channels that are kept are not written again, in milliseconds: a fraction of how long they are kept.
const KEPT_MS: u64 = 6 * 3_600_000;

/// The connections that recover.
#[derive(Default)]
pub(super) struct Recoveries {
    of: HashMap<u32, Recovering>,
}

struct Recovering {
    id: Arc<str>,
    rooms: Rooms,
    /// Whether an answer is awaited: one at a time, so that what is kept last is the newest.
    is_under_way: bool,
    /// Counts the changes.
    number: u32,
}

/// What is known of the channels of a connection that recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rooms {
    /// It is not in its channels yet.
    Entering,
    /// They are those that the client names when it connects.
    Said,
    /// They are others now, which nobody has been told.
    Changed,
    /// They are being kept.
    Asked,
    /// They are not kept: tried again with the next heartbeat.
    Failed,
    /// They are kept since then.
    Kept(u64),
}

impl Recoveries {
    /// A connection recovers, as this session if it was connected before.
    pub(super) fn begin(&mut self, key: u32, id: Option<Box<str>>) {
        let id = id.map_or_else(Arc::default, Arc::from);
        self.of.insert(key, Recovering { id, rooms: Rooms::Entering, is_under_way: false, number: 0 });
    }

    /// A connection is in its channels. Goes on as the session it was where `goes_on`; else it is a new one. Answers its id.
    pub(super) fn entered(
        &mut self,
        key: u32,
        goes_on: bool,
        kept_ms: Option<u64>,
        new_id: impl FnOnce() -> String,
    ) -> Option<Arc<str>> {
        let own = self.of.get_mut(&key)?;
        if !goes_on || own.id.is_empty() {
            own.id = new_id().into();
        }
        own.rooms = kept_ms.map_or(Rooms::Said, Rooms::Kept);
        Some(own.id.clone())
    }

    /// A connection has joined or left a channel. True if its client is to be told that it cannot come back to them now.
    pub(super) fn changed(&mut self, key: u32) -> bool {
        if self.of.is_empty() {
            return false;
        }
        let Some(own) = self.of.get_mut(&key) else { return false };
        match std::mem::replace(&mut own.rooms, Rooms::Changed) {
            Rooms::Entering => {
                own.rooms = Rooms::Entering;
                false
            }
            Rooms::Said | Rooms::Kept(_) => true,
            Rooms::Changed | Rooms::Asked | Rooms::Failed => false,
        }
    }

    /// The id and the number of a change that is to be kept now; after this it is under way.
    pub(super) fn take_change(&mut self, key: u32) -> Option<(Arc<str>, u32)> {
        if self.of.is_empty() {
            return None;
        }
        let own = self.of.get_mut(&key).filter(|own| own.rooms == Rooms::Changed && !own.is_under_way)?;
        own.rooms = Rooms::Asked;
        own.is_under_way = true;
        own.number = own.number.wrapping_add(1);
        Some((own.id.clone(), own.number))
    }

    /// Nothing is kept of a change that was taken: it cannot be.
    pub(super) fn cannot_be_kept(&mut self, key: u32) {
        if let Some(own) = self.of.get_mut(&key) {
            own.is_under_way = false;
        }
    }

    /// Whether the channels are kept as they were at this number. True if they are still the same.
    pub(super) fn kept(&mut self, key: u32, number: u32, is_kept: bool, now_ms: u64) -> bool {
        let Some(own) = self.of.get_mut(&key).filter(|own| own.number == number) else { return false };
        own.is_under_way = false;
        if own.rooms != Rooms::Asked {
            // There are others now: they are next.
            return false;
        }
        own.rooms = if is_kept { Rooms::Kept(now_ms) } else { Rooms::Failed };
        is_kept
    }

    /// A heartbeat: what was not kept is tried again, and what was kept long ago is written anew.
    pub(super) fn look_after(&mut self, key: u32, now_ms: u64) {
        let Some(own) = self.of.get_mut(&key) else { return };
        let is_due = match own.rooms {
            Rooms::Failed => true,
            Rooms::Kept(kept_ms) => now_ms >= kept_ms + KEPT_MS,
            Rooms::Entering | Rooms::Said | Rooms::Changed | Rooms::Asked => false,
        };
        if is_due {
            own.rooms = Rooms::Changed;
        }
    }

    /// A connection is gone.
    pub(super) fn gone(&mut self, key: u32) {
        self.of.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_kept_for_the_last_change_alone_and_tried_again() {
        let mut recoveries = Recoveries::default();
        assert!(!recoveries.changed(1));
        assert_eq!(recoveries.take_change(1), None, "who does not recover has nothing kept");
        recoveries.begin(1, None);
        assert!(!recoveries.changed(1), "what it joins while it comes in");
        let id = recoveries.entered(1, false, None, || "new".to_owned()).unwrap();
        assert_eq!((&*id, recoveries.take_change(1)), ("new", None), "what it says itself is not kept");
        assert!(recoveries.changed(1), "it is told once");
        let (_, first) = recoveries.take_change(1).unwrap();
        assert!(!recoveries.changed(1));
        assert_eq!(recoveries.take_change(1), None, "one at a time");
        assert!(!recoveries.kept(1, first, true, 0), "there are others now");
        let (_, second) = recoveries.take_change(1).unwrap();
        assert!(!recoveries.kept(1, first, true, 0), "an answer of before");
        assert!(!recoveries.kept(1, second, false, 0));
        recoveries.look_after(1, 0);
        let (_, third) = recoveries.take_change(1).unwrap();
        assert!(recoveries.kept(1, third, true, 5));
        recoveries.look_after(1, KEPT_MS);
        assert_eq!(recoveries.take_change(1), None);
        recoveries.look_after(1, KEPT_MS + 5);
        assert!(recoveries.take_change(1).is_some(), "before they are forgotten they are written anew");
        recoveries.gone(1);
        recoveries.changed(1);
        assert_eq!(recoveries.take_change(1), None);
    }

    #[test]
    fn who_goes_on_has_the_id_it_had_and_who_does_not_has_another() {
        let mut recoveries = Recoveries::default();
        let mut enter = |id: Option<&str>, goes_on: bool| {
            recoveries.begin(1, id.map(Box::from));
            recoveries.entered(1, goes_on, None, || "new".to_owned()).unwrap().to_string()
        };
        assert_eq!(enter(Some("old"), true), "old");
        assert_eq!(enter(Some("old"), false), "new");
        assert_eq!(enter(None, true), "new");
    }
}
