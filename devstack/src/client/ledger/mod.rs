//! Did every acknowledged event reach every follower it is for, ascending and once, and nothing else?
//!
//! The judge of the invariants I1 to I5. Publishers report what they tried and what was acknowledged, followers hand
//! in a [`Witness`]; [`Ledger::verify`] compares the two. Pure: no clock, no I/O, times are passed in.

mod verdict;
mod witness;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

pub use verdict::{Fault, FaultKind, Verdict};
pub use witness::{Mark, Received, Witness};

use super::post::Post;

/// What a publisher was told about its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The event's name.
    pub id: String,
    /// Its place in the log.
    pub seq: u64,
    /// The life of the log.
    pub epoch: String,
    /// Whether the answer repeats an earlier one.
    pub replayed: bool,
}

/// An acknowledged event, as its publisher knows it.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged<'a> {
    /// The event's name.
    pub id: &'a str,
    /// Its place in the log.
    pub seq: u64,
    /// The life of the log.
    pub epoch: &'a str,
    /// [`digest`](super::post::digest) of its type and data.
    pub digest: u64,
    /// Whom it is for.
    pub channels: &'a BTreeSet<String>,
    /// When somebody first tried to publish it.
    pub sent: Instant,
}

/// An event somebody tried to publish.
#[derive(Debug, Clone)]
struct Attempt {
    channels: BTreeSet<String>,
    digest: u64,
    sent: Instant,
    place: Option<Place>,
}

/// Where an acknowledged event stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    epoch: String,
    seq: u64,
}

/// One tenant's side of the ledger.
#[derive(Debug, Clone, Default)]
struct Account {
    attempts: HashMap<String, Attempt>,
    /// The acknowledged events in the order of the log: their names.
    log: BTreeMap<Place, String>,
}

/// Every event that was tried and every acknowledgement, by tenant.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    accounts: HashMap<String, Account>,
    contradictions: Vec<Fault>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `post` is about to be sent under the name `id`; a second attempt of the same event changes nothing.
    pub fn attempted(&mut self, id: &str, post: &Post, sent: Instant) {
        let account = self.accounts.entry(post.tenant.clone()).or_default();
        account.attempts.entry(id.to_owned()).or_insert_with(|| Attempt {
            channels: post.addressed(),
            digest: post.digest(),
            sent,
            place: None,
        });
    }

    /// Notes an acknowledgement. One that contradicts another is a fault of the next [`verify`](Self::verify).
    pub fn acknowledged(&mut self, tenant: &str, ack: &Ack) {
        let account = self.accounts.entry(tenant.to_owned()).or_default();
        let place = Place { epoch: ack.epoch.clone(), seq: ack.seq };
        let fault = |kind| Fault { follower: "publisher".into(), tenant: tenant.into(), seq: ack.seq, kind };
        let Some(attempt) = account.attempts.get_mut(&ack.id) else {
            self.contradictions.push(fault(FaultKind::Unknown { id: ack.id.clone() }));
            return;
        };
        if attempt.place.as_ref().is_some_and(|known| *known != place) {
            self.contradictions.push(fault(FaultKind::AcknowledgedTwice { id: ack.id.clone() }));
            return;
        }
        attempt.place = Some(place.clone());
        if let Some(other) = account.log.insert(place, ack.id.clone()).filter(|other| *other != ack.id) {
            self.contradictions.push(fault(FaultKind::SeqUsedTwice { ids: [other, ack.id.clone()] }));
        }
    }

    /// How many events of a tenant are acknowledged.
    pub fn acknowledged_count(&self, tenant: &str) -> usize {
        self.accounts.get(tenant).map_or(0, |account| account.log.len())
    }

    /// The acknowledged events of a tenant, in the order of its log.
    pub fn acknowledged_events(&self, tenant: &str) -> impl Iterator<Item = Acknowledged<'_>> {
        let account = self.accounts.get(tenant);
        account.into_iter().flat_map(|account| {
            account.log.iter().filter_map(|(place, id)| {
                let attempt = account.attempts.get(id)?;
                let (digest, channels, sent) = (attempt.digest, &attempt.channels, attempt.sent);
                Some(Acknowledged { id, seq: place.seq, epoch: &place.epoch, digest, channels, sent })
            })
        })
    }

    /// Whether somebody tried to publish this event of the tenant.
    pub fn was_attempted(&self, tenant: &str, id: &str) -> bool {
        self.accounts.get(tenant).is_some_and(|account| account.attempts.contains_key(id))
    }

    /// Whoever published, or tried to.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.accounts.keys().map(String::as_str)
    }

    /// The newest acknowledged seq of a tenant in one life of its log; 0 when there is none.
    pub fn last_seq(&self, tenant: &str, epoch: &str) -> u64 {
        let account = self.accounts.get(tenant);
        account.and_then(|a| a.log.keys().filter(|p| p.epoch == epoch).map(|p| p.seq).max()).unwrap_or(0)
    }

    /// The newest acknowledged seq that is for someone in `channels`; 0 when there is none.
    pub fn last_seq_for(&self, tenant: &str, epoch: &str, channels: &BTreeSet<String>) -> u64 {
        let Some(account) = self.accounts.get(tenant) else { return 0 };
        let mut newest_first = account.log.iter().rev().filter(|(place, _)| place.epoch == epoch);
        newest_first.find(|(_, id)| account.is_for(id, channels)).map_or(0, |(place, _)| place.seq)
    }

    /// How long each event a follower received was under way: from the first attempt to publish it.
    pub fn delays(&self, witness: &Witness) -> Vec<Duration> {
        let Some(account) = self.accounts.get(&witness.tenant) else { return Vec::new() };
        let events = witness.events();
        events
            .filter_map(|e| Some(e.at.saturating_duration_since(account.attempts.get(&e.id)?.sent)))
            .collect()
    }

    /// Compares the ledger with what the followers saw.
    ///
    /// Besides I1 to I5 for each follower, the acknowledged seqs of a tenant may not have more holes than there are events whose
    /// publisher never got an answer (I2: gapless).
    pub fn verify(&self, witnesses: &[Witness]) -> Verdict {
        let mut verdict = Verdict { faults: self.contradictions.clone(), ..Verdict::default() };
        for (tenant, account) in &self.accounts {
            account.check_gapless(tenant, &mut verdict);
        }
        for witness in witnesses {
            verdict.followers += 1;
            self.check(witness, &mut verdict);
        }
        verdict
    }

    /// Walks through what one follower saw, one stretch of continuity after the other.
    fn check(&self, witness: &Witness, verdict: &mut Verdict) {
        let empty = Account::default();
        let account = self.accounts.get(&witness.tenant).unwrap_or(&empty);
        let mut stretch: Option<Stretch> = None;
        for mark in &witness.marks {
            match mark {
                Mark::Welcome { epoch, seq, channels, reset_follows } => match &stretch {
                    None => stretch = Some(Stretch::new(epoch, *seq, channels)),
                    Some(open) if *reset_follows => {
                        account.check_whole(open, open.last, witness, verdict);
                        stretch = Some(Stretch::new(epoch, *seq, channels));
                    }
                    Some(open) if open.epoch != *epoch => {
                        account.check_renewed(open, epoch, *seq, witness, verdict);
                        stretch = Some(Stretch::new(epoch, *seq, channels));
                    }
                    Some(open) if open.channels != *channels => {
                        account.check_whole(open, open.last, witness, verdict);
                        stretch = Some(Stretch::new(epoch, open.last, channels));
                    }
                    Some(_) => {}
                },
                Mark::Renewed { epoch, seq } => {
                    if let Some(open) = &stretch {
                        account.check_renewed(open, epoch, *seq, witness, verdict);
                        stretch = Some(Stretch::new(epoch, *seq, &open.channels.clone()));
                    }
                }
                Mark::Reset { epoch, seq } => {
                    verdict.resets += 1;
                    let channels = stretch.as_ref().map(|open| open.channels.clone()).unwrap_or_default();
                    if let Some(open) = stretch.take() {
                        account.check_whole(&open, open.last, witness, verdict);
                    }
                    stretch = Some(Stretch::new(epoch, *seq, &channels));
                }
                Mark::Event(event) => {
                    verdict.deliveries += 1;
                    match &mut stretch {
                        Some(open) => {
                            self.check_event(event, open, witness, verdict);
                            open.took(event.seq);
                        }
                        None => verdict.add(witness, event.seq, FaultKind::BeforeWelcome),
                    }
                }
            }
        }
        if let Some(open) = stretch {
            account.check_whole(&open, witness.left_at.unwrap_or(u64::MAX), witness, verdict);
        }
    }

    fn check_event(&self, event: &Received, open: &Stretch, witness: &Witness, verdict: &mut Verdict) {
        if open.seen.contains(&event.seq) {
            verdict.add(witness, event.seq, FaultKind::Duplicated);
        } else if event.seq <= open.last {
            verdict.add(witness, event.seq, FaultKind::OutOfOrder { after: open.last });
        }
        let place = Place { epoch: open.epoch.clone(), seq: event.seq };
        let account = self.accounts.get(&witness.tenant);
        let Some(attempt) = account.and_then(|account| account.attempts.get(&event.id)) else {
            let stranger = self.accounts.iter().find(|(_, other)| other.attempts.contains_key(&event.id));
            let kind = match stranger {
                Some((tenant, _)) => FaultKind::Foreign { of: tenant.clone() },
                None => FaultKind::Unknown { id: event.id.clone() },
            };
            return verdict.add(witness, event.seq, kind);
        };
        let expected_id = account.and_then(|account| account.log.get(&place));
        if expected_id.is_some_and(|id| *id != event.id) {
            verdict.add(witness, event.seq, FaultKind::WrongEvent { id: event.id.clone() });
            return;
        }
        if attempt.place.as_ref().is_some_and(|known| *known != place) {
            verdict.add(witness, event.seq, FaultKind::WrongEvent { id: event.id.clone() });
        }
        if attempt.digest != event.digest {
            verdict.add(witness, event.seq, FaultKind::Altered);
        }
        if attempt.channels.is_disjoint(&open.channels) {
            verdict.add(witness, event.seq, FaultKind::NotAddressed);
        }
    }
}

impl Account {
    fn is_for(&self, id: &str, channels: &BTreeSet<String>) -> bool {
        self.attempts.get(id).is_some_and(|attempt| !attempt.channels.is_disjoint(channels))
    }

    /// Every acknowledged event of the stretch up to `end` that is for this follower must have arrived.
    fn check_whole(&self, open: &Stretch, end: u64, witness: &Witness, verdict: &mut Verdict) {
        let first = Place { epoch: open.epoch.clone(), seq: open.from.saturating_add(1) };
        let last = Place { epoch: open.epoch.clone(), seq: end };
        if first > last {
            return;
        }
        for (place, id) in self.log.range(first..=last) {
            if !self.is_for(id, &open.channels) {
                continue;
            }
            verdict.expected += 1;
            if !open.seen.contains(&place.seq) {
                verdict.add(witness, place.seq, FaultKind::Missing { id: id.clone() });
            }
        }
    }

    /// Without a reset, everything up to `seq` is in the epoch before: none of it may have been given in the new one.
    fn check_renewed(&self, open: &Stretch, epoch: &str, seq: u64, witness: &Witness, verdict: &mut Verdict) {
        self.check_whole(open, seq, witness, verdict);
        if seq < open.last || self.log.keys().any(|place| place.epoch == epoch && place.seq <= seq) {
            verdict.add(witness, seq, FaultKind::EpochWithoutReset);
        }
    }

    fn check_gapless(&self, tenant: &str, verdict: &mut Verdict) {
        let unanswered = self.attempts.values().filter(|attempt| attempt.place.is_none()).count() as u64;
        let mut previous: Option<&Place> = None;
        let (mut holes, mut at) = (0, 0);
        for place in self.log.keys() {
            let before = previous.filter(|p| p.epoch == place.epoch).map_or(place.seq, |p| p.seq + 1);
            if place.seq > before {
                holes += place.seq - before;
                at = before;
            }
            previous = Some(place);
        }
        if holes > unanswered {
            let kind = FaultKind::Gap { holes, unanswered };
            verdict.faults.push(Fault { follower: "log".into(), tenant: tenant.into(), seq: at, kind });
        }
    }
}

/// A part of what a follower saw within which nothing may be missing.
struct Stretch {
    epoch: String,
    from: u64,
    last: u64,
    channels: BTreeSet<String>,
    seen: BTreeSet<u64>,
}

impl Stretch {
    fn new(epoch: &str, from: u64, channels: &BTreeSet<String>) -> Self {
        Self { epoch: epoch.into(), from, last: from, channels: channels.clone(), seen: BTreeSet::new() }
    }

    fn took(&mut self, seq: u64) {
        self.seen.insert(seq);
        self.last = self.last.max(seq);
    }
}
