//! What did a tenant's application say about all that somebody wants?

use carillon_platform::ask::{Granted, Question, Verdict};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_protocol::Channel;
use std::collections::HashMap;

/// Verdicts on one person's questions, by one setting of the application.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    generation: u64,
    of: HashMap<Channel, [Option<Verdict>; Action::ALL.len()]>,
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
        let mut of: HashMap<Channel, [Option<Verdict>; Action::ALL.len()]> =
            HashMap::with_capacity(said.len());
        for (question, verdict) in said {
            let actions = of.entry(question.channel).or_default();
            if let Some(place) = actions.get_mut(question.action as usize) {
                *place = Some(verdict);
            }
        }
        Self { generation, of }
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
                    rules.endpoint().is_some_and(|endpoint| endpoint.generation() == self.generation);
                let actions = self.of.get(channel).filter(|_| is_current);
                match actions.and_then(|actions| *actions.get(action as usize)?) {
                    Some(Verdict::Allowed(granted)) => May::ByVerdict(granted),
                    Some(Verdict::Refused) => May::No,
                    Some(Verdict::Unavailable) => May::Unavailable,
                    None => May::Ask,
                }
            }
        }
    }
}
