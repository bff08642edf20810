//! Which of the event's channels are the person's, and what says so?

use carillon_backplane::log::{PersonTrace, TracedNotice};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Because, Decision, RuleSet, Source};
use carillon_protocol::{Channel, Seq};
use std::collections::BTreeSet;

/// What a channel is to the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// It is everybody's.
    Anyone,
    /// It is their own.
    Own,
    /// They have this role.
    Role,
    /// A device or connection of theirs is in it.
    Member,
    /// They follow it in their inbox.
    Follows,
    /// They may subscribe to it, by their token.
    Token,
    /// They may subscribe to it, by a rule.
    Rule,
    /// The tenant's application would say whether they may.
    Ask,
    /// A rule is for it that names neither them nor a role of theirs.
    Refused,
    /// No rule is for it.
    NoRule,
    /// It is somebody else's.
    OtherPerson,
    /// They are not known to have this role.
    OtherRole,
}

/// One channel of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Which.
    pub channel: Channel,
    /// What it is to the person.
    pub by: By,
    /// The pattern of the rule that is for it.
    pub pattern: Option<String>,
    /// Whose rule that is: `tenant` or `defaults`.
    pub source: Option<&'static str>,
}

impl By {
    /// Whether what is sent there is sent to them.
    pub fn meets(&self) -> bool {
        matches!(self, Self::Anyone | Self::Own | Self::Role | Self::Member | Self::Follows)
    }

    /// Whether they could be in it.
    pub fn may_be_in(&self) -> bool {
        matches!(self, Self::Token | Self::Rule | Self::Ask)
    }

    /// The word in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Own => "own",
            Self::Role => "role",
            Self::Member => "member",
            Self::Follows => "follows",
            Self::Token => "token",
            Self::Rule => "rule",
            Self::Ask => "ask",
            Self::Refused => "refused",
            Self::NoRule => "no_rule",
            Self::OtherPerson => "other_person",
            Self::OtherRole => "other_role",
        }
    }
}

/// The channels in which devices and connections of the person are, as far as that is stored.
pub fn memberships(trace: &PersonTrace) -> BTreeSet<String> {
    let of_devices = trace.devices.iter().filter_map(|device| device.channels.as_ref()).flatten();
    let of_connections = trace.connections.iter().flat_map(|connection| &connection.channels);
    of_devices.chain(of_connections).cloned().collect()
}

/// The roles that these channels say somebody has.
pub fn roles(memberships: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    memberships.iter().filter_map(|name| name.strip_prefix("role:"))
}

/// What each channel of an event is to a person. `identity` has the roles that are known.
pub fn met(
    (channels, seq): (&[Channel], Seq),
    (identity, rules): (&Identity, &RuleSet),
    memberships: &BTreeSet<String>,
    notice: Option<&TracedNotice>,
) -> Vec<Met> {
    let follows = |channel: &Channel| {
        let of_notice = notice.map(|notice| notice.follows.as_slice()).unwrap_or_default();
        of_notice.iter().any(|(followed, since)| followed == channel.as_str() && *since < seq)
    };
    channels
        .iter()
        .map(|channel| {
            let found = rules.find(channel);
            let by = match channel.as_str().split_once(':') {
                None if channel.as_str() == "tenant" => By::Anyone,
                Some(("user", user)) if user == identity.user.as_str() => By::Own,
                Some(("role", role)) if identity.roles.iter().any(|own| own == role) => By::Role,
                _ if memberships.contains(channel.as_str()) => By::Member,
                _ if follows(channel) => By::Follows,
                Some(("user", _)) => By::OtherPerson,
                Some(("role", _)) => By::OtherRole,
                _ => match rules.decide(Action::Subscribe, identity, channel) {
                    Decision::Allowed(Because::Token) => By::Token,
                    Decision::Allowed(_) => By::Rule,
                    Decision::Ask => By::Ask,
                    Decision::Forbidden if found.is_some() => By::Refused,
                    Decision::Forbidden => By::NoRule,
                },
            };
            let is_by_rule = matches!(by, By::Rule | By::Ask | By::Refused);
            let rule = found.filter(|_| is_by_rule);
            Met {
                channel: channel.clone(),
                by,
                pattern: rule.map(|found| found.rule.pattern.as_str().to_owned()),
                source: rule.map(|found| match found.source {
                    Source::Tenant => "tenant",
                    Source::Defaults => "defaults",
                }),
            }
        })
        .collect()
}
