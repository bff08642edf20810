//! What does a rule say?

use super::pattern::Pattern;
use crate::auth::Identity;

/// What somebody does in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Get its events as they happen.
    Subscribe,
    /// Publish an event.
    Publish,
    /// Send a signal.
    Signal,
    /// See who is in it, and be seen.
    Presence,
    /// Read its past.
    History,
}

impl Action {
    /// All of them, as a rule lists them.
    pub const ALL: [Self; 5] = [Self::Subscribe, Self::Publish, Self::Signal, Self::Presence, Self::History];

    /// Its field in a rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Signal => "signal",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }
}

/// Who may do something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Everyone of the tenant.
    pub anyone: bool,
    /// Whoever's id stands at `{user}`.
    pub myself: bool,
    /// Whoever has one of these roles.
    pub roles: Box<[String]>,
    /// Whoever the tenant's application says.
    pub ask: bool,
}

/// A rule that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// For which channels.
    pub pattern: Pattern,
    /// Who may do each [`Action`], in their order.
    pub grants: [Grant; Action::ALL.len()],
    /// Types of events that clients may publish: exact, or a beginning and a `*`.
    pub client_types: Box<[String]>,
    /// Whether what clients publish goes into the log.
    pub durable: bool,
    /// Whether `typing` is passed on.
    pub typing: bool,
    /// How long somebody who went is still here, in milliseconds.
    pub presence_grace_ms: u32,
    /// What a person may send into a channel, a second.
    pub rate: u32,
    /// It stands for one that cannot be read, and gives nobody anything.
    pub unreadable: bool,
}

impl Rule {
    /// Who may do this.
    pub fn grant(&self, action: Action) -> &Grant {
        &self.grants[action as usize]
    }

    /// Whether clients may publish events of this type.
    pub fn takes(&self, kind: &str) -> bool {
        self.client_types.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => kind.starts_with(beginning),
            None => kind == pattern,
        })
    }

    /// A rule that gives nobody anything: what stands for one that cannot be read.
    pub(super) fn closed(pattern: Pattern) -> Self {
        Self {
            pattern,
            grants: Default::default(),
            client_types: Box::default(),
            durable: false,
            typing: false,
            presence_grace_ms: 0,
            rate: 0,
            unreadable: true,
        }
    }
}

impl Grant {
    /// Whether there is anybody who may, or whom the application is asked about.
    pub(super) fn is_any(&self) -> bool {
        self.anyone || self.myself || self.ask || !self.roles.is_empty()
    }

    /// The role that lets somebody in, if one does.
    pub(super) fn role_of<'a>(&'a self, identity: &Identity) -> Option<&'a str> {
        self.roles.iter().find(|role| identity.roles.contains(role)).map(String::as_str)
    }
}
