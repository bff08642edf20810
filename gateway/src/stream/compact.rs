//! How is an event written for those who asked for the compact form?
//!
//! Made for the first of them and shared by the others, in two ways: alone, for readers who know the names that it uses, and with these
//! names in front, for those who do not yet (docs/adr/0023).

use super::Stream;
use super::entry::{Message, Named};
use crate::budget::Charge;
use crate::ws::encode::payload;
use carillon_protocol::compact::{self, Names};
use carillon_protocol::{Channel, Epoch, Seq};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The compact forms of an event.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// The names that a reader of the first form must know, a bit for each.
    needs: u16,
    /// What they are.
    names: Box<str>,
    alone: Forms,
    telling: OnceLock<Box<Forms>>,
}

/// One text, as all kinds of clients read it.
#[derive(Debug)]
pub(crate) struct Forms {
    message: Named,
    event_stream: OnceLock<Box<Message>>,
}

impl Forms {
    fn new(json: &[u8], charge: &Charge) -> Self {
        let message = Named::of(json);
        charge.add(message.weight());
        Self { message, event_stream: OnceLock::new() }
    }

    /// The text.
    pub(crate) fn json(&self) -> &[u8] {
        payload(self.message.frame())
    }

    /// As a WebSocket message.
    pub(crate) fn message(&self) -> &Named {
        &self.message
    }

    /// As a message of an event stream.
    pub(super) fn event_stream(&self, seq: Seq, epoch: &Epoch, charge: &Charge) -> &Message {
        self.event_stream.get_or_init(|| {
            let message = Message::at(epoch, seq, self.json());
            charge.add(message.weight());
            Box::new(message)
        })
    }
}

impl Compacted {
    /// None if the event has no other than the plain form.
    pub(super) fn of(
        seq: Seq,
        channels: &[Channel],
        body: &[u8],
        stream: &Stream,
        charge: &Charge,
    ) -> Option<Box<Self>> {
        let event = compact::compact(seq, channels, body, &mut names(stream))?;
        charge.add(size_of::<Self>() - size_of::<Named>() + event.names.len());
        let (alone, names) = (Forms::new(&event.json, charge), event.names.into());
        Some(Box::new(Self { needs: event.needs, names, alone, telling: OnceLock::new() }))
    }

    /// The forms for a reader who was told these names, and those that it knows with them.
    pub(super) fn for_who_knows(&self, told: u16, charge: &Charge) -> (&Forms, u16) {
        if self.needs & !told == 0 {
            return (&self.alone, told);
        }
        let forms = self.telling.get_or_init(|| {
            charge.add(size_of::<Forms>() - size_of::<Named>());
            Box::new(Forms::new(&compact::telling(self.alone.json(), &self.names), charge))
        });
        (forms, told | self.needs)
    }
}

fn names(stream: &Stream) -> MutexGuard<'_, Names> {
    let names: &Mutex<Names> = stream.names();
    // Whoever panicked meanwhile left whole names: one is counted before its text is kept, and nothing in between can fail.
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entry;
    use super::super::ring::RingLimits;
    use super::*;
    use crate::budget::Budget;
    use crate::ws::deflate::Deflater;
    use carillon_protocol::TenantId;
    use carillon_protocol::event::event_frame;

    fn entry(seq: u64, kind: &str, budget: &std::sync::Arc<Budget>) -> Entry {
        let (time, pad) = ("2026-11-30T10:00:00Z", "x".repeat(400));
        let body = format!(
            r#"{{"specversion":"1.0","id":"{seq}","source":"s","type":"{kind}","time":"{time}","data":"{pad}"}}"#
        );
        let channels: Box<[Channel]> = Box::new([Channel::tenant()]);
        let json = event_frame(Seq(seq), &channels, body.as_bytes(), None);
        Entry::new(Seq(seq), channels, &json, 0, |bytes| budget.charge(bytes))
    }

    #[test]
    fn i10_compact_forms_are_made_once_for_all_and_charged_until_the_event_is_gone() {
        let (tenant, epoch) = (TenantId::new("acme").unwrap(), Epoch::new("e1").unwrap());
        let limits = RingLimits { events: 9, bytes: 9_000 };
        let stream = Stream::new(tenant, epoch.clone(), Seq(0), Seq(1), limits);
        let budget = Budget::new(usize::MAX);
        let (first, second) = (entry(1, "a", &budget), entry(2, "b", &budget));
        let plain = budget.used();
        let (told, knows) = first.compact(&stream, 0).unwrap();
        assert!(told.json().starts_with(br#"{"n":{"0":["a","s"],"1":"tenant"},"s":1,"k":[0,1]"#));
        assert_eq!(knows, 0b11);
        let (again, knows) = first.compact(&stream, 0b101).unwrap();
        assert_eq!((again.json().as_ptr(), knows), (told.json().as_ptr(), 0b111), "made once");
        let (alone, knows) = first.compact(&stream, 0b11).unwrap();
        assert!(alone.json().starts_with(br#"{"s":1,"k":[0,1]"#));
        assert_eq!(knows, 0b11);
        let (told_second, knows) = second.compact(&stream, 0b11).unwrap();
        assert!(told_second.json().starts_with(br#"{"n":{"2":["b","s"],"1":"tenant"},"s":2,"k":[2,1]"#));
        assert_eq!(knows, 0b111);
        let before = budget.used();
        assert!(before > plain + told.json().len() + alone.json().len());
        let lines = first.compact_event_stream(alone, &epoch, false);
        assert!(lines.starts_with(b"id: e1:1\ndata: {\"s\":1,"));
        let compressed = first.compact_deflate(alone, &mut Deflater::new()).unwrap();
        assert!(compressed.len() < alone.json().len() && budget.used() > before + compressed.len());
        let other = Entry::new(Seq(3), Box::new([]), br#"{"type":"event","event":{}}"#, 0, |bytes| {
            budget.charge(bytes)
        });
        assert!(other.compact(&stream, 0).is_none(), "it has the plain form alone");
        drop((first, second, other));
        assert_eq!(budget.used(), 0);
    }
}
