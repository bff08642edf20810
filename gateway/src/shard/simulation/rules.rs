//! Which channels may a client be in, and read back, in truth?
//!
//! The token of one client in three opens every channel that can be joined, another's opens two; all else is by the tenant's rules.

use carillon_platform::rules::{Compiled, RuleSet};
use carillon_protocol::SettingsVersion;
use std::sync::Arc;

/// A tenant's rules. Bits are channels: `x:0` and on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Channels with a rule of their own.
    pub(super) named: u8,
    /// Of those, the ones that may be subscribed to, and whose past may be read.
    pub(super) subscribe: u8,
    pub(super) history: u8,
    /// What the installation's rule says of all others.
    pub(super) others_subscribe: bool,
    pub(super) others_history: bool,
}

/// Whoever may hear, and may read back.
pub(super) const OPEN: Rules =
    Rules { named: 0, subscribe: 0, history: 0, others_subscribe: true, others_history: true };

/// What is done in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Present,
    Past,
}

impl Rules {
    /// Whether those who can be let in by rules are.
    pub(super) fn allow(&self, reading: Reading, channel: &str) -> bool {
        let number = channel.strip_prefix("x:").and_then(|number| number.parse::<u8>().ok());
        let (named, others) = match reading {
            Reading::Present => (self.subscribe, self.others_subscribe),
            Reading::Past => (self.history, self.others_history),
        };
        match number.filter(|number| self.named >> number & 1 == 1) {
            Some(number) => named >> number & 1 == 1,
            None => others,
        }
    }

    /// As a gateway has them.
    pub(super) fn compiled(&self, version: u64) -> RuleSet {
        let rule = |number: u8| {
            // Everybody here has the role `r`.
            let some = if number.is_multiple_of(2) { "anyone" } else { "role:r" };
            let who = |bits: u8| if bits >> number & 1 == 1 { some } else { "role:nobody" };
            document(who(self.subscribe), who(self.history), who(self.history ^ self.subscribe << 1))
        };
        let own: Vec<(String, String)> = (0..6)
            .filter(|number| self.named >> number & 1 == 1)
            .map(|number| (format!("x:{number}"), rule(number)))
            .collect();
        let (own, unreadable) = Compiled::of(own.iter().map(|(pattern, rule)| (&**pattern, &**rule)));
        let who = |all: bool| if all { "anyone" } else { "role:nobody" };
        let others = document(who(self.others_subscribe), who(self.others_history), who(self.others_history));
        let (others, more) = Compiled::of([("x:*", &*others), ("log:*", KEPT)]);
        assert_eq!(unreadable + more, 0);
        RuleSet::new(SettingsVersion { tenant: version, defaults: 0 }, Arc::new(own), Arc::new(others))
    }
}

/// What clients publish there goes into the log, and nobody listens.
const KEPT: &str = r#"{"publish":["anyone"],"client_types":["*"],"durable":true}"#;

fn document(subscribe: &str, history: &str, presence: &str) -> String {
    format!(r#"{{"subscribe":["{subscribe}"],"history":["{history}"],"presence":["{presence}"]}}"#)
}

/// What a client's token opens; nothing when it is a narrow one.
pub(super) fn opened_by_token(number: usize, narrow: bool) -> &'static [&'static str] {
    match number % 8 {
        _ if narrow => &[],
        0 => &["x:*"],
        1 => &["x:0", "x:1"],
        _ => &[],
    }
}

/// Whether that opens a channel.
pub(super) fn token_opens(number: usize, narrow: bool, channel: &str) -> bool {
    opened_by_token(number, narrow).iter().any(|opened| *opened == "x:*" || *opened == channel)
}
