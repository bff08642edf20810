//! Was every promise kept in a history?
//!
//! Each promise of docs/ARCHITECTURE.md that can be seen from outside has an [`Oracle`]. Pure: the same history gives
//! the same report.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::history::{Endpoint, Flags, History, Inbox, TenantLog};
use crate::client::ledger::{FaultKind, Verdict, Witness};

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oracle {
    /// I1: what was acknowledged stands in the log, where and as it was acknowledged.
    Durable,
    /// I2: a log's numbers have no gap and each stands once; every client sees them ascending.
    Order,
    /// I3: nobody gets an event twice, and an event stands once in the log.
    Once,
    /// I4: everyone gets all that is for them, or is told `reset` where something was lost.
    Whole,
    /// I5: nobody gets what is another tenant's, or not for them.
    Isolation,
    /// I8: connections that the service ends, end with a word that says come back.
    Gentle,
    /// I10: no process grows past its bound.
    Bounded,
    /// The list, the counts and the flags of an inbox say the same, and what the person did.
    Inbox,
    /// A webhook's endpoint gets each event at least once, and first in order.
    Webhook,
    /// Who is said to be in a channel is who is in it, once it is quiet.
    Presence,
    /// What is worked out from the log counts each event once.
    Projector,
}

impl Oracle {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Durable,
        Self::Order,
        Self::Once,
        Self::Whole,
        Self::Isolation,
        Self::Gentle,
        Self::Bounded,
        Self::Inbox,
        Self::Webhook,
        Self::Presence,
        Self::Projector,
    ];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Order => "order",
            Self::Once => "once",
            Self::Whole => "whole",
            Self::Isolation => "isolation",
            Self::Gentle => "gentle",
            Self::Bounded => "bounded",
            Self::Inbox => "inbox",
            Self::Webhook => "webhook",
            Self::Presence => "presence",
            Self::Projector => "projector",
        }
    }

    /// Which promise a fault of the ledger is against.
    fn of(kind: &FaultKind) -> Self {
        match kind {
            FaultKind::Duplicated | FaultKind::AcknowledgedTwice { .. } => Self::Once,
            FaultKind::OutOfOrder { .. }
            | FaultKind::SeqUsedTwice { .. }
            | FaultKind::WrongEvent { .. }
            | FaultKind::Gap { .. } => Self::Order,
            FaultKind::Foreign { .. } | FaultKind::NotAddressed => Self::Isolation,
            FaultKind::Missing { .. }
            | FaultKind::Unknown { .. }
            | FaultKind::Altered
            | FaultKind::BeforeWelcome
            | FaultKind::EpochWithoutReset => Self::Whole,
        }
    }
}

/// One promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub oracle: Oracle,
    /// What is wrong, and where.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle.name(), self.text)
    }
}

/// What a history shows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Every promise that was not kept.
    pub findings: Vec<Finding>,
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// Events that clients got.
    pub delivered: u64,
    /// Events that clients had to get; a run that expects nothing shows nothing.
    pub expected: u64,
    /// Of those they got: published before the connection was there on which they came.
    pub replayed: u64,
    /// Events that came again.
    pub doubled: u64,
    /// Acknowledged events that a client never got, or the log has not.
    pub lost: u64,
    /// Times a client was told `reset`.
    pub resets: u64,
    /// Connections that clients had.
    pub connections: u64,
    /// Messages at endpoints of webhooks.
    pub messages: u64,
}

impl Report {
    /// Which promises were not kept.
    pub fn broken(&self) -> BTreeSet<Oracle> {
        self.findings.iter().map(|finding| finding.oracle).collect()
    }

    fn add(&mut self, oracle: Oracle, text: String) {
        self.findings.push(Finding { oracle, text });
    }
}

/// Looks at everything.
pub fn check(history: &History) -> Report {
    let verdict = history.ledger.verify(&history.clients);
    let mut report = figures(history, &verdict);
    for fault in &verdict.faults {
        report.add(Oracle::of(&fault.kind), fault.to_string());
    }
    if verdict.resets > 0 && !history.allowed.resets {
        report.add(Oracle::Whole, format!("{} resets although no log has lost its end", verdict.resets));
    }
    for tenant in history.ledger.tenants() {
        if !history.logs.iter().any(|log| log.tenant == tenant) {
            report.add(Oracle::Durable, format!("the log of {tenant} was not read"));
        }
    }
    for log in &history.logs {
        check_log(history, log, &mut report);
    }
    for client in &history.clients {
        check_ends(client, history.allowed.abrupt_ends, &mut report);
    }
    for process in history.memory.iter().filter(|process| process.most > process.bound) {
        let text = format!("{} had {} bytes, its bound is {}", process.process, process.most, process.bound);
        report.add(Oracle::Bounded, text);
    }
    for inbox in &history.inboxes {
        check_inbox(inbox, &mut report);
    }
    for endpoint in &history.endpoints {
        check_endpoint(history, endpoint, &mut report);
    }
    for seen in &history.presence {
        if seen.listed != seen.truth {
            let ghosts: Vec<_> = seen.listed.difference(&seen.truth).collect();
            let missing: Vec<_> = seen.truth.difference(&seen.listed).collect();
            let text = format!(
                "{} of {}: listed without being there: {ghosts:?}; there without being listed: {missing:?}",
                seen.channel, seen.tenant
            );
            report.add(Oracle::Presence, text);
        }
    }
    for count in history.counts.iter().filter(|count| count.counted != count.in_log) {
        let text = format!(
            "{} of {}: {} counted, {} in the log",
            count.what, count.tenant, count.counted, count.in_log
        );
        report.add(Oracle::Projector, text);
    }
    report
}

fn figures(history: &History, verdict: &Verdict) -> Report {
    let of_kind = |wanted: fn(&FaultKind) -> bool| {
        verdict.faults.iter().filter(|fault| wanted(&fault.kind)).count() as u64
    };
    let tenants: Vec<&str> = history.ledger.tenants().collect();
    let acknowledged = tenants.iter().map(|tenant| history.ledger.acknowledged_count(tenant) as u64).sum();
    let sent: HashMap<&str, _> = tenants
        .iter()
        .flat_map(|tenant| history.ledger.acknowledged_events(tenant))
        .map(|event| (event.id, event.sent))
        .collect();
    Report {
        acknowledged,
        delivered: verdict.deliveries as u64,
        expected: verdict.expected as u64,
        replayed: history.clients.iter().map(|client| replayed(client, &sent)).sum(),
        doubled: of_kind(|kind| *kind == FaultKind::Duplicated),
        lost: of_kind(|kind| matches!(kind, FaultKind::Missing { .. })),
        resets: verdict.resets as u64,
        connections: history.clients.iter().map(|client| client.connections() as u64).sum(),
        messages: history.endpoints.iter().map(|endpoint| endpoint.messages.len() as u64).sum(),
        findings: Vec::new(),
    }
}

/// Events that were published before the connection came on which they arrived.
fn replayed(client: &Witness, sent: &HashMap<&str, std::time::Instant>) -> u64 {
    use crate::client::ledger::Mark;
    let mut connected = client.connected.iter();
    let (mut since, mut replayed) = (None, 0);
    for mark in &client.marks {
        match mark {
            Mark::Welcome { .. } => since = connected.next(),
            Mark::Event(event) => {
                let before = since.zip(sent.get(event.id.as_str())).is_some_and(|(since, sent)| sent < since);
                replayed += u64::from(before);
            }
            Mark::Renewed { .. } | Mark::Reset { .. } => {}
        }
    }
    replayed
}

fn check_log(history: &History, log: &TenantLog, report: &mut Report) {
    let tenant = &log.tenant;
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    let mut before = 0;
    for (index, event) in log.events.iter().enumerate() {
        if event.seq != before + 1 {
            report.add(Oracle::Order, format!("the log of {tenant} has {} after {before}", event.seq));
        }
        before = event.seq;
        places.insert(event.seq, index);
        if let Some(other) = names.insert(&event.id, event.seq) {
            let text = format!("{} stands at {other} and {} in the log of {tenant}", event.id, event.seq);
            report.add(Oracle::Once, text);
        }
        if !history.ledger.was_attempted(tenant, &event.id) {
            let text = format!("{} in the log of {tenant} was published by nobody there", event.id);
            report.add(Oracle::Isolation, text);
        }
    }
    for known in history.ledger.acknowledged_events(tenant) {
        let found = places.get(&known.seq).and_then(|index| log.events.get(*index));
        let fault = match found {
            None => "is not in the log".to_owned(),
            Some(event) if event.id != known.id => format!("gave its place to {}", event.id),
            Some(event) if event.digest != known.digest => "is not as it was published".to_owned(),
            Some(event) if event.channels != *known.channels => "is for others than it was".to_owned(),
            Some(_) => continue,
        };
        // A failover to a standby that was behind loses what nobody else had; the run says so.
        if !history.allowed.resets {
            report.lost += u64::from(found.is_none());
            report.add(Oracle::Durable, format!("{} at {} of {tenant} {fault}", known.id, known.seq));
        }
    }
}

/// What a client hears when a gateway ends its connection as the contract says.
const RESUMABLE: [&str; 5] = [
    "the gateway asked to reconnect",
    "closed with 1012",
    "closed with 1001",
    "refused with HTTP 503",
    "closed with 4503",
];

fn check_ends(client: &Witness, abrupt: bool, report: &mut Report) {
    let name = format!("{} of {}", client.follower, client.tenant);
    if let Some(over) = &client.over {
        report.add(Oracle::Gentle, format!("{name} was told not to come back: {over}"));
    }
    if abrupt {
        return;
    }
    // A gateway that has ended refuses connections until it is back; that ends no connection.
    let resumable = |why: &&String| {
        RESUMABLE.iter().any(|known| why.contains(known)) || why.contains("Connection refused")
    };
    for why in client.losses.iter().filter(|why| !resumable(why)) {
        report.add(Oracle::Gentle, format!("{name} lost a connection without a word: {why}"));
    }
}

fn check_inbox(inbox: &Inbox, report: &mut Report) {
    let whose = format!("{} of {}", inbox.user, inbox.tenant);
    let unread = inbox.listed.values().filter(|(_, flags)| !flags.read && !flags.archived).count() as u64;
    if inbox.unread != unread || inbox.summary_unread != unread {
        let text = format!(
            "{whose}: {unread} unread in the list, which counts {}, and the summary {}",
            inbox.unread, inbox.summary_unread
        );
        report.add(Oracle::Inbox, text);
    }
    for id in &inbox.listed_again {
        report.add(Oracle::Inbox, format!("{whose}: {id} is listed twice"));
    }
    for (seq, (id, _)) in inbox.listed.iter().filter(|(seq, _)| !inbox.expected.contains_key(seq)) {
        report.add(Oracle::Isolation, format!("{whose} has {id} at {seq}, which is not for them"));
    }
    for (seq, id) in &inbox.expected {
        match inbox.listed.get(seq) {
            None => report.add(Oracle::Inbox, format!("{whose}: {id} at {seq} is not listed")),
            Some((other, _)) if other != id => {
                report.add(Oracle::Inbox, format!("{whose}: {other} is listed at {seq} instead of {id}"));
            }
            Some((_, flags)) => {
                let wanted: Flags = inbox.marked.get(seq).copied().unwrap_or_default();
                if *flags != wanted {
                    report.add(Oracle::Inbox, format!("{whose}: {id} is {flags:?}, not {wanted:?}"));
                }
            }
        }
    }
}

fn check_endpoint(history: &History, endpoint: &Endpoint, report: &mut Report) {
    let tenant = &endpoint.tenant;
    let mut known: BTreeSet<u64> = BTreeSet::new();
    let mut newest = 0;
    for message in &endpoint.messages {
        if message.tenant != *tenant {
            let text = format!("the endpoint of {tenant} got {} of {}", message.id, message.tenant);
            report.add(Oracle::Isolation, text);
            continue;
        }
        if !known.insert(message.seq) {
            continue;
        }
        if message.seq < newest {
            let text =
                format!("the endpoint of {tenant} got {} for the first time after {newest}", message.seq);
            report.add(Oracle::Webhook, text);
        }
        newest = newest.max(message.seq);
    }
    let Some(log) = history.logs.iter().find(|log| log.tenant == *tenant) else { return };
    let stored: BTreeMap<u64, &str> = log.events.iter().map(|event| (event.seq, event.id.as_str())).collect();
    for (seq, id) in stored.range(endpoint.after + 1..) {
        if !known.contains(seq) {
            report.add(Oracle::Webhook, format!("the endpoint of {tenant} never got {id} at {seq}"));
        }
    }
    for message in endpoint.messages.iter().filter(|message| message.tenant == *tenant) {
        let (seq, id) = (message.seq, message.id.as_str());
        match stored.get(&seq) {
            Some(wanted) if *wanted != id => {
                report.add(
                    Oracle::Webhook,
                    format!("the endpoint of {tenant} got {id} as {seq}, which is {wanted}"),
                );
            }
            Some(_) => {}
            None => report.add(
                Oracle::Webhook,
                format!("the endpoint of {tenant} got {id} as {seq}, which the log has not"),
            ),
        }
    }
}
