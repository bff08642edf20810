//! What is each event of a batch told, when some of them may not be stored?
//!
//! Pure: the database tells what it did and why ([`super::statement`]), here it becomes one answer for each event.

use super::statement::{Counters, Groups, Known, Reasons, broken};
use super::{Append, Appended};
use crate::log::error::LogError;
use carillon_protocol::Seq;
use std::collections::{BTreeMap, BTreeSet};

/// The answers so far.
pub(super) struct Answers<'a> {
    batch: &'a [Append],
    given: Vec<Option<Appended>>,
    open: Vec<usize>,
}

impl<'a> Answers<'a> {
    pub(super) fn of(batch: &'a [Append]) -> Self {
        Self { batch, given: vec![None; batch.len()], open: (0..batch.len()).collect() }
    }

    /// The places of the events without an answer, in the batch's order.
    pub(super) fn open(&self) -> &[usize] {
        &self.open
    }

    /// All open events were stored.
    pub(super) fn stored(&mut self, groups: &Groups<'_>, counters: &Counters) {
        let ends = counters.heads.iter().zip(&counters.epochs).zip(&counters.tags);
        for (places, ((head, epoch), tag)) in groups.places.iter().zip(ends) {
            let mut before = *tag;
            for (&place, seq) in places.iter().zip(*head as u64 + 1..) {
                let (epoch, at_micros) = (epoch.clone(), counters.at_micros);
                let before = before.take();
                self.given[place] = Some(Appended::Stored { seq: Seq(seq), epoch, at_micros, before });
            }
        }
        self.close();
    }

    /// Nothing was stored. Answers those that are the reason and the rest of their requests; an error when none is.
    pub(super) fn nothing(&mut self, groups: &Groups<'_>, reasons: Reasons) -> Result<(), LogError> {
        let exists: BTreeSet<&str> = reasons.tenants.iter().map(|tenant| tenant.as_str()).collect();
        let mut known = BTreeMap::new();
        for found in reasons.known {
            let members = groups.places.get(found.group).ok_or_else(|| broken("tenant"))?;
            known.insert(*members.get(found.member).ok_or_else(|| broken("event"))?, found);
        }
        let unknown_tenant = |place: usize| !exists.contains(self.batch[place].tenant.as_str());
        let refuses =
            |place: usize| unknown_tenant(place) || known.get(&place).is_some_and(|found| !found.same);
        let refused: BTreeSet<u32> =
            self.open.iter().filter(|&&at| refuses(at)).map(|&at| self.batch[at].request).collect();
        for &place in &self.open {
            self.given[place] = if unknown_tenant(place) {
                Some(Appended::UnknownTenant)
            } else if let Some(found) = known.remove(&place) {
                Some(before(found))
            } else {
                refused.contains(&self.batch[place].request).then_some(Appended::Refused)
            };
        }
        let open = self.open.len();
        self.close();
        if self.open.len() < open { Ok(()) } else { Err(broken("refusal")) }
    }

    /// One answer for each event, in the batch's order.
    pub(super) fn finish(self) -> Result<Vec<Appended>, LogError> {
        let all: Option<Vec<Appended>> = self.given.into_iter().collect();
        all.ok_or_else(|| broken("silence"))
    }

    fn close(&mut self) {
        let given = &self.given;
        self.open.retain(|&place| given[place].is_none());
    }
}

fn before(Known { same, id, seq, epoch, .. }: Known) -> Appended {
    if same { Appended::Replayed { id, seq, epoch } } else { Appended::Conflict }
}
