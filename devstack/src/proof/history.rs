//! What happened in one run, as everyone outside saw it?
//!
//! Values only: who collected them is [`super::collect`]'s affair, what they mean [`super::oracle`]'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::ledger::{Ledger, Witness};

/// One run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every attempt to publish and every answer.
    pub ledger: Ledger,
    /// Every frame at every client, over all its connections.
    pub clients: Vec<Witness>,
    /// Every tenant's log, read over REST when it was quiet.
    pub logs: Vec<TenantLog>,
    /// Every message at every webhook's endpoint.
    pub endpoints: Vec<Endpoint>,
    /// Every inbox, when it was quiet.
    pub inboxes: Vec<Inbox>,
    /// Who was said to be in a channel, when it was quiet.
    pub presence: Vec<Presence>,
    /// What projectors have worked out, when it was quiet.
    pub counts: Vec<Counted>,
    /// The largest that each process was.
    pub memory: Vec<Memory>,
    /// What may happen in this run.
    pub allowed: Allowed,
}

/// What is no fault in a run because of what was done in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Clients may be told `reset`: the log has lost its end.
    pub resets: bool,
    /// Connections may end without a word: a gateway or a link was killed.
    pub abrupt_ends: bool,
}

/// A tenant's log from its beginning.
#[derive(Debug, Clone, Default)]
pub struct TenantLog {
    /// Whose.
    pub tenant: String,
    /// Oldest first.
    pub events: Vec<Logged>,
}

/// One event of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub seq: u64,
    /// The life of the log that it is of.
    pub epoch: String,
    /// Its name.
    pub id: String,
    /// [`digest`](crate::client::post::digest) of its type and data.
    pub digest: u64,
    /// Whom it is for.
    pub channels: BTreeSet<String>,
}

/// What came to the endpoint of an ordered webhook for all events.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    /// Whose webhook.
    pub tenant: String,
    /// It began after this event.
    pub after: u64,
    /// What it took (answered with success), in the order in which it came.
    pub messages: Vec<Delivered>,
}

/// One message of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Whose event it says it is.
    pub tenant: String,
    /// Its place.
    pub seq: u64,
    /// Its name.
    pub id: String,
}

/// How an entry of an inbox is marked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// It was read.
    pub read: bool,
    /// It was archived.
    pub archived: bool,
}

/// One person's inbox.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    /// Whose tenant.
    pub tenant: String,
    /// Whose.
    pub user: String,
    /// Every entry that the list has, archived ones too: its number, name and flags.
    pub listed: BTreeMap<u64, (String, Flags)>,
    /// The names of entries whose number the list has more than once.
    pub listed_again: Vec<String>,
    /// How many are unread, as the list says.
    pub unread: u64,
    /// How many are unread, as the summary says.
    pub summary_unread: u64,
    /// What the person has done, as far as it was answered with success; what is not named is as it came.
    pub marked: BTreeMap<u64, Flags>,
    /// The notices of the log that are for this person: number and name.
    pub expected: BTreeMap<u64, String>,
}

/// Who is in a channel.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// Whose tenant.
    pub tenant: String,
    /// Which channel.
    pub channel: String,
    /// Whom the answer lists.
    pub listed: BTreeSet<String>,
    /// Who is connected and in the channel.
    pub truth: BTreeSet<String>,
}

/// What a projector made of a log.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Whose tenant.
    pub tenant: String,
    /// What was asked: `analytics`, or the name of a channel.
    pub what: String,
    /// Its answer: how many events there are.
    pub counted: u64,
    /// How many the log has.
    pub in_log: u64,
}

/// How large a process became.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Which.
    pub process: String,
    /// The most bytes it had in memory.
    pub most: u64,
    /// How many it may have.
    pub bound: u64,
}
