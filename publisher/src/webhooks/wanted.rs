//! Which events does a webhook send? (pure)

use carillon_backplane::log::LoggedEvent;
use carillon_protocol::event::event_type;
use carillon_protocol::{ChannelPattern, TypePattern};

/// Patterns of types and of channels. Of each kind none means all.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    types: Vec<TypePattern>,
    channels: Vec<ChannelPattern>,
}

impl Wanted {
    /// Those that are stored: they were checked when they were set, and one that this version does not know matches nothing.
    pub(super) fn stored(types: &[String], channels: &[String]) -> Option<Self> {
        let wanted = Self {
            types: types.iter().filter_map(|text| TypePattern::new(text).ok()).collect(),
            channels: channels.iter().filter_map(|text| ChannelPattern::new(text).ok()).collect(),
        };
        let is_readable =
            wanted.types.is_empty() == types.is_empty() && wanted.channels.is_empty() == channels.is_empty();
        is_readable.then_some(wanted)
    }

    /// Whether this event is sent.
    pub(super) fn is(&self, event: &LoggedEvent) -> bool {
        let of_channel = self.channels.is_empty()
            || event.channels.iter().any(|channel| self.channels.iter().any(|wanted| wanted.allows(channel)));
        of_channel
            && (self.types.is_empty()
                || event_type(event.body.as_bytes())
                    .is_some_and(|kind| self.types.iter().any(|wanted| wanted.matches(&kind))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::{Channel, Seq};

    fn event(kind: &str, channels: &[&str]) -> LoggedEvent {
        let channels = channels.iter().map(|name| Channel::new(name).unwrap()).collect();
        LoggedEvent { seq: Seq(1), channels, body: format!(r#"{{"type":"{kind}"}}"#) }
    }

    fn wanted(types: &[&str], channels: &[&str]) -> Wanted {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Wanted::stored(&owned(types), &owned(channels)).unwrap()
    }

    #[test]
    fn an_event_is_sent_if_one_pattern_of_each_kind_is_for_it() {
        let paid = event("order.paid", &["order:7", "user:mila"]);
        for (types, channels, expected) in [
            (&[][..], &[][..], true),
            (&["order.*"], &[], true),
            (&["a", "order.paid"], &[], true),
            (&["invoice.*"], &[], false),
            (&[], &["order:*"], true),
            (&[], &["user:mila"], true),
            (&[], &["*"], true),
            (&[], &["contact:*"], false),
            (&["order.*"], &["contact:*"], false),
        ] {
            assert_eq!(wanted(types, channels).is(&paid), expected, "{types:?} {channels:?}");
        }
        assert!(!wanted(&[], &["*"]).is(&event("a", &["tenant"])), "a bare star is for no reserved channel");
    }

    #[test]
    fn patterns_that_cannot_be_read_do_not_become_everything() {
        assert!(Wanted::stored(&["a b".to_owned()], &[]).is_none());
    }
}
