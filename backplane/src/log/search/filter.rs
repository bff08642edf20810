//! What may be asked for?

use carillon_protocol::{Channel, TypePattern};

/// What to look for; an absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// By type: one of these; any when there is none.
    pub types: Vec<TypePattern>,
    /// By source, exactly.
    pub source: Option<String>,
    /// By actor, exactly.
    pub actor: Option<String>,
    /// By subject, exactly.
    pub subject: Option<String>,
    /// By one channel.
    pub channel: Option<String>,
    /// Text found anywhere in the event's JSON as a person reads it: whatever its case, and however it was escaped.
    pub q: Option<String>,
    /// Happened at this time (RFC 3339, UTC) or later.
    pub from: Option<String>,
    /// Happened before this time.
    pub to: Option<String>,
    /// Only events in one of these channels: what the asking person may see.
    pub audience: Option<Vec<Channel>>,
}

impl EventFilter {
    /// Everything in one of these channels.
    pub fn channels(channels: &[Channel]) -> Self {
        Self { audience: Some(channels.to_vec()), ..Self::default() }
    }

    /// Whether the channel index knows candidates for it.
    pub(super) fn names_channels(&self) -> bool {
        self.channel.is_some() || self.audience.is_some()
    }

    /// How many channels the index is asked for.
    pub(super) fn channels_named(&self) -> usize {
        self.audience.as_ref().filter(|_| self.channel.is_none()).map_or(1, Vec::len)
    }

    /// Whether an event of the right channels may still not match.
    pub(super) fn asks_more_than_channels(&self) -> bool {
        let both = self.channel.is_some() && self.audience.is_some();
        let attributes = [&self.source, &self.actor, &self.subject, &self.q];
        let times = [&self.from, &self.to];
        both || !self.types.is_empty()
            || attributes.into_iter().any(Option::is_some)
            || times.into_iter().any(Option::is_some)
    }
}

/// Types as a statement takes them: those that are named, and patterns for how others begin. Both or neither.
pub(in crate::log) fn type_params(types: &[TypePattern]) -> (Option<Vec<&str>>, Option<Vec<String>>) {
    let exact = types.iter().filter(|pattern| pattern.prefix().is_none()).map(TypePattern::as_str);
    let begins = types.iter().filter_map(|pattern| pattern.prefix()).map(beginning);
    (!types.is_empty()).then(|| (exact.collect(), begins.collect())).unzip()
}

/// A LIKE pattern that finds `text` literally, anywhere.
pub(super) fn like(text: &str) -> String {
    format!("%{}", beginning(text))
}

/// A LIKE pattern for what begins with `text`.
fn beginning(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_text_is_taken_literally() {
        assert_eq!(like(r"50%_\"), r"%50\%\_\\%");
        assert_eq!(beginning("a_b."), r"a\_b.%");
    }

    #[test]
    fn channels_alone_are_answered_by_the_index_alone() {
        let channels = EventFilter::channels(&[Channel::tenant()]);
        assert!(channels.names_channels() && !channels.asks_more_than_channels());
        let both = EventFilter { channel: Some("c".into()), ..channels.clone() };
        assert!(both.asks_more_than_channels());
        let typed = EventFilter { types: vec![TypePattern::new("t").unwrap()], ..channels };
        assert!(typed.asks_more_than_channels());
        assert!(!EventFilter::default().names_channels());
    }
}
