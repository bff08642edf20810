//! What did a tenant's application say about all that somebody wants?

use carillon_platform::ask::{Granted, Question, Verdict};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_protocol::Channel;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What was said about each action in each channel.
type Of = HashMap<Channel, [Option<Verdict>; Action::ALL.len()]>;

/// Verdicts on one person's questions, by one setting of the application. All of them were asked with the same roles.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    generation: u64,
    roles: Arc<[String]>,
    of: Of,
}

/// Whether somebody may do something, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// Yes, by the token or a rule.
    Yes,
    /// Yes, the application says, for a while.
    ByVerdict(Granted),
    /// The application has not said.
    Ask,
    /// The application was asked and gave no verdict.
    Unavailable,
    /// No.
    No,
}

impl Verdicts {
    pub(crate) fn new(generation: u64, said: Vec<(Question, Verdict)>) -> Self {
        let mut of: Of = HashMap::with_capacity(said.len());
        let roles = said.first().map(|(question, _)| question.roles.clone()).unwrap_or_default();
        for (question, verdict) in said {
            let actions = of.entry(question.channel).or_default();
            if let Some(place) = actions.get_mut(question.action as usize) {
                *place = Some(verdict);
            }
        }
        Self { generation, roles, of }
    }

    /// These, and what was said so long before them by the same setting about somebody with the same roles, unless its time is
    /// over.
    pub(crate) fn after(mut self, earlier: Self, elapsed: Duration) -> Self {
        if earlier.generation != self.generation || earlier.roles != self.roles {
            return self;
        }
        let still = |verdict: Verdict| match verdict {
            Verdict::Allowed(granted) => {
                let left = granted.left.checked_sub(elapsed).filter(|left| !left.is_zero())?;
                Some(Verdict::Allowed(Granted { left, ..granted }))
            }
            verdict => Some(verdict),
        };
        for (channel, actions) in earlier.of {
            let known = self.of.entry(channel).or_default();
            for (place, before) in known.iter_mut().zip(actions) {
                *place = place.or_else(|| before.and_then(still));
            }
        }
        self
    }

    /// Whether they were asked about somebody with these roles.
    pub(crate) fn are_about(&self, roles: &[String]) -> bool {
        *self.roles == *roles
    }

    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Of which setting of the application they are.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// All of them on this action.
    pub(crate) fn on(&self, action: Action) -> impl Iterator<Item = (&Channel, Verdict)> {
        self.of
            .iter()
            .filter_map(move |(channel, actions)| Some((channel, (*actions.get(action as usize)?)?)))
    }

    /// Whether these rules let somebody do this; where they leave it to the application, what that said by their setting.
    pub(crate) fn may(&self, rules: &RuleSet, action: Action, identity: &Identity, channel: &Channel) -> May {
        match rules.decide(action, identity, channel) {
            Decision::Allowed(_) => May::Yes,
            Decision::Forbidden => May::No,
            Decision::Ask => {
                let is_current =
                    rules.endpoint().is_some_and(|endpoint| endpoint.generation() == self.generation)
                        && self.are_about(&identity.roles);
                let actions = self.of.get(channel).filter(|_| is_current);
                match actions.and_then(|actions| *actions.get(action as usize)?) {
                    Some(Verdict::Allowed(granted)) => May::ByVerdict(granted),
                    Some(Verdict::Refused) => May::No,
                    Some(Verdict::Unavailable | Verdict::Busy) => May::Unavailable,
                    None => May::Ask,
                }
            }
        }
    }
}
