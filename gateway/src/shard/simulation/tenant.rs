//! A tenant's log as it is in truth, and the stream that follows it.

use super::feed::{Fate, Feed, Head};
use super::rules::{OPEN, Reading, Rules};
use super::scenario::Outcome;
use crate::budget::Budget;
use crate::stream::entry::{Entry, Excepted};
use crate::stream::ring::RingLimits;
use crate::stream::sequencer::Sequenced;
use crate::stream::{ShardSet, Stream};
use carillon_protocol::connection::Incarnation;
use carillon_protocol::envelope::{Batch, EnvelopeEvent};
use carillon_protocol::event::event_frame;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Began, Channel, Epoch, Epochs, Except, Seq, Tag, TenantId};
use std::sync::Arc;
use std::time::Instant;

/// What a ring holds, small enough that clients fall out of it.
const RING: RingLimits = RingLimits { events: 12, bytes: 16 * 1024 };

/// The run of the node that is simulated.
pub(super) fn incarnation() -> Incarnation {
    Incarnation { node: "sim".into(), number: 7 }
}

/// An event of the log.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) seq: u64,
    pub(super) channels: Vec<Channel>,
    pub(super) body: String,
    /// Who need not get it.
    pub(super) except: Option<Except>,
}

/// The types of events, one after the other.
const KINDS: [&str; 5] = ["a.x", "a.y", "b.x", "b", "c"];

/// One continuous stretch of a log.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    pub(super) epoch: Epoch,
    pub(super) events: Vec<Logged>,
}

impl Logged {
    pub(super) fn kind(&self) -> String {
        serde_json::from_str::<serde_json::Value>(&self.body).unwrap()["type"].as_str().unwrap().into()
    }

    /// The key whose latest value it is, until another event has it: of four three have one.
    pub(super) fn key(&self) -> Option<u64> {
        let body = serde_json::from_str::<serde_json::Value>(&self.body).unwrap();
        body["made"].as_u64().filter(|made| made % 4 > 0).map(|made| made % 3)
    }

    fn envelope(&self) -> EnvelopeEvent {
        let except = self.except.clone().map(Box::new);
        EnvelopeEvent { channels: self.channels.clone(), body: self.body.clone().into(), except }
    }

    /// As the log has it: it does not know who is excepted.
    fn stored(&self) -> EnvelopeEvent {
        EnvelopeEvent { except: None, ..self.envelope() }
    }
}

impl Generation {
    /// The tag of an event.
    fn tag(&self, seq: u64) -> Option<Tag> {
        let event = seq.checked_sub(1).and_then(|at| self.events.get(at as usize));
        event.and_then(|event| Tag::of(event.body.as_bytes()))
    }
}

/// A tenant of the simulation.
pub(super) struct Tenant {
    pub(super) name: TenantId,
    pub(super) stream: Arc<Stream>,
    /// All it ever had, the last one now.
    pub(super) generations: Vec<Generation>,
    /// Events up to here were dropped by retention.
    pub(super) dropped: u64,
    /// The epochs it has had, newest first.
    began: Vec<Began>,
    /// All rules it ever had, the last ones now; those of version 1 stand first.
    rules: Vec<Rules>,
    budget: Arc<Budget>,
    feed: Feed,
    /// Tells events of one seq in several generations apart.
    made: u64,
}

impl Tenant {
    pub(super) fn new(number: usize) -> Self {
        let name = TenantId::new(format!("tenant-{number}")).unwrap();
        let epoch = Epoch::new(format!("t{number}e1")).unwrap();
        let stream = Stream::new(name.clone(), epoch.clone(), Seq::ZERO, Seq(1), RING);
        stream.set_rules(Arc::new(OPEN.compiled(1)));
        Self {
            name,
            stream: Arc::new(stream),
            generations: vec![Generation { epoch, events: Vec::new() }],
            dropped: 0,
            began: vec![Began { epoch: Epoch::new(format!("t{number}e1")).unwrap(), after: Seq::ZERO }],
            rules: vec![OPEN],
            budget: Budget::new(usize::MAX),
            feed: Feed::new(Epoch::new(format!("t{number}e1")).unwrap()),
            made: 0,
        }
    }

    pub(super) fn now(&self) -> &Generation {
        self.generations.last().unwrap()
    }

    pub(super) fn epochs(&self) -> Epochs {
        Epochs::new(&self.now().epoch, self.began.clone())
    }

    /// Whether who saw everything up to `seq` in an epoch has seen just that now.
    pub(super) fn honours(&self, epoch: &str, seq: u64) -> bool {
        self.epochs().honours(&Epoch::new(epoch).unwrap(), Seq(seq))
    }

    /// Whether it was so when a later epoch was the present one.
    pub(super) fn honoured_in(&self, later: &str, epoch: &str, seq: u64) -> bool {
        let known = self.began.iter().position(|began| began.epoch.as_str() == later);
        known.is_some_and(|at| {
            let then = Epochs::new(&self.began[at].epoch, self.began[at..].to_vec());
            then.honours(&Epoch::new(epoch).unwrap(), Seq(seq))
        })
    }

    pub(super) fn head(&self) -> u64 {
        self.now().events.len() as u64
    }

    /// Other rules are in force. Answers who must be told.
    pub(super) fn set_rules(&mut self, rules: Rules) -> ShardSet {
        self.rules.push(rules);
        self.stream.set_rules(Arc::new(rules.compiled(self.version())))
    }

    /// Of which version the present rules are.
    pub(super) fn version(&self) -> u64 {
        self.rules.len() as u64
    }

    /// The rules of a version.
    pub(super) fn rules_at(&self, version: u64) -> Rules {
        self.rules[version as usize - 1]
    }

    /// Whether some rules since a version did not allow this.
    pub(super) fn forbade_since(&self, version: u64, reading: Reading, channel: &str) -> bool {
        self.rules[version as usize - 1..].iter().any(|rules| !rules.allow(reading, channel))
    }

    /// Whether they allowed it at some time since a version.
    pub(super) fn allowed_since(&self, version: u64, reading: Reading, channel: &str) -> bool {
        self.rules[version as usize - 1..].iter().any(|rules| rules.allow(reading, channel))
    }

    pub(super) fn of_epoch(&self, epoch: &str) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.epoch.as_str() == epoch)
    }

    /// Appends an event to the log.
    pub(super) fn publish(&mut self, channels: Vec<Channel>, size: usize, except: Option<Except>) {
        self.made += 1;
        let seq = self.head() + 1;
        let (kind, pad) = (KINDS[self.made as usize % KINDS.len()], "p".repeat(size));
        let (name, made) = (&self.name, self.made);
        let body = format!(
            r#"{{"specversion":"1.0","id":"{made}","source":"s","type":"{kind}","time":"2026-11-30T10:00:00Z","tenant":"{name}","made":{made},"pad":"{pad}"}}"#
        );
        let events = &mut self.generations.last_mut().unwrap().events;
        events.push(Logged { seq, channels, body, except });
    }

    /// The events after `seq` are committed together, and announced.
    pub(super) fn announce(&mut self, after: u64) {
        let now = self.now();
        let events: Vec<_> = now.events[after as usize..].iter().map(Logged::envelope).collect();
        if events.is_empty() {
            return;
        }
        let (epoch, before) = (now.epoch.clone(), now.tag(after));
        let (tenant, first) = (self.name.clone(), Seq(after + 1));
        self.feed.announce(Batch { tenant, epoch, first, before, at_micros: 1, events });
    }

    /// Events of the present generation that the stream has heard of.
    pub(super) fn fed(&self) -> u64 {
        self.feed.head()
    }

    /// One of the announced batches arrives, or does not. Answers who must be told.
    pub(super) fn arrive(&mut self, which: usize, fate: Fate, now: Instant) -> Result<ShardSet, String> {
        let news = self.feed.arrive(which, fate, now)?;
        Ok(self.push(news))
    }

    /// The head of the log is read.
    pub(super) fn read_head(&mut self, later: bool, now: Instant) -> Result<(), String> {
        let head = self.end();
        self.feed.read_head(head, now, later)
    }

    /// What is missing is read from the log, in part or not at all. Answers who must be told.
    pub(super) fn repair(&mut self, outcome: Outcome, now: Instant) -> Result<ShardSet, String> {
        self.feed.look(now);
        let Some(missing) = self.feed.missing() else { return Ok(0) };
        let upto =
            if outcome == Outcome::Other { missing.upto.0.min(missing.after.0 + 2) } else { missing.upto.0 };
        let known = self.now().events.get(missing.after.0.saturating_sub(1) as usize..upto as usize);
        let events = known.unwrap_or_default().iter().map(|event| (Seq(event.seq), event.stored())).collect();
        let news = self.feed.repair((outcome != Outcome::Failed).then_some(events), now)?;
        Ok(self.push(news))
    }

    /// The stream takes what has its turn.
    fn push(&mut self, news: Vec<Sequenced>) -> ShardSet {
        let entries: Vec<Arc<Entry>> = news
            .into_iter()
            .map(|Sequenced { seq, event, .. }| {
                let body = String::from_utf8(event.body.to_vec()).unwrap();
                let except = event.except.map(|except| *except);
                self.entry(&Logged { seq: seq.0, channels: event.channels, body, except })
            })
            .collect();
        if entries.is_empty() { 0 } else { self.stream.push(entries) }
    }

    /// Where the log ends.
    fn end(&self) -> Head {
        let now = self.now();
        Head { epoch: now.epoch.clone(), seq: Seq(self.head()), tag: now.tag(self.head()) }
    }

    pub(super) fn entry(&self, event: &Logged) -> Arc<Entry> {
        let json = event_frame(Seq(event.seq), &event.channels, event.body.as_bytes(), None);
        let channels = event.channels.clone().into();
        let entry = Entry::new(Seq(event.seq), channels, &json, 1, |bytes| self.budget.charge(bytes));
        let except =
            event.except.as_ref().and_then(|except| Some((incarnation().finds(&except.connection)?, except)));
        Arc::new(match except {
            Some((at, except)) => entry.excepting(Excepted { at, of: except.of.clone() }),
            None => entry,
        })
    }

    /// The log loses its end, or is another one altogether: a new generation begins.
    pub(super) fn restart(&mut self, kept: u64) -> ShardSet {
        let number = self.generations.len() + 1;
        let kept = kept.min(self.head()).max(self.dropped);
        let epoch = format!("{}e{number}", self.name.as_str().replace("tenant-", "t"));
        let epoch = Epoch::new(epoch).unwrap();
        let events = self.now().events[..kept as usize].to_vec();
        self.generations.push(Generation { epoch: epoch.clone(), events });
        self.began.insert(0, Began { epoch, after: Seq(kept) });
        self.feed.restart(self.end());
        self.stream.restart(self.epochs(), Seq(kept), Seq(self.dropped + 1), ResetReason::EpochChanged, RING)
    }

    /// The events of a range that the log still has, none if it does not have the first.
    pub(super) fn read(&self, generation: usize, after: u64, upto: u64) -> Vec<Logged> {
        let Some(generation) = self.generations.get(generation) else { return Vec::new() };
        if after < self.dropped {
            return Vec::new();
        }
        let upto = upto.min(generation.events.len() as u64);
        let events = generation.events.get(after as usize..upto as usize).unwrap_or_default();
        events.iter().map(|event| Logged { except: None, ..event.clone() }).collect()
    }
}
