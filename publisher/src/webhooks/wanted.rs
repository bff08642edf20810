//! Which events does a webhook send? (pure)
//!
//! An escalation names its webhook, which sends it whatever else it sends. The others send it if their types are for it: whoever wants
//! everything means what the application publishes. What is told of connections and channels is for those that name its type in full;
//! their channels are then compared with the one that it is about.

use carillon_backplane::log::LoggedEvent;
use carillon_protocol::connection_events;
use carillon_protocol::escalation::{self, CHANNEL, UNACKNOWLEDGED};
use carillon_protocol::event::event_type;
use carillon_protocol::{Channel, ChannelPattern, TypePattern};
use serde::Deserialize;

/// Patterns of types and of channels. Of each kind none means all.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    types: Vec<TypePattern>,
    /// Those of connections and channels that are named.
    of_connections: Vec<String>,
    channels: Vec<ChannelPattern>,
}

/// Whether the webhook of this name, with these patterns, sends an event.
pub(crate) fn wants(webhook: &str, types: &[String], channels: &[String], event: &LoggedEvent) -> bool {
    Wanted::stored(types, channels).is_some_and(|wanted| wanted.is(webhook, event))
}

impl Wanted {
    /// Those that are stored: they were checked when they were set, and one that this version does not know matches nothing.
    pub(super) fn stored(types: &[String], channels: &[String]) -> Option<Self> {
        let wanted = Self {
            types: types.iter().filter_map(|text| TypePattern::new(text).ok()).collect(),
            of_connections: types.iter().filter(|name| connection_events::is_type(name)).cloned().collect(),
            channels: channels.iter().filter_map(|text| ChannelPattern::new(text).ok()).collect(),
        };
        let is_readable =
            wanted.types.is_empty() == types.is_empty() && wanted.channels.is_empty() == channels.is_empty();
        is_readable.then_some(wanted)
    }

    /// Whether this event is sent by the webhook of this name.
    pub(super) fn is(&self, webhook: &str, event: &LoggedEvent) -> bool {
        if let Some(told) = OfConnections::of(event) {
            return self.of_connections.contains(&told.kind) && self.is_about(&told);
        }
        match Escalated::of(event) {
            Some(escalated) if escalated.is_for(webhook) => true,
            Some(_) => !self.types.is_empty() && self.matches(event),
            None => self.matches(event),
        }
    }

    fn is_about(&self, told: &OfConnections) -> bool {
        let about = Channel::new(connection_events::about(&told.kind, &told.subject));
        self.channels.is_empty()
            || about.is_ok_and(|about| self.channels.iter().any(|wanted| wanted.allows(&about)))
    }

    fn matches(&self, event: &LoggedEvent) -> bool {
        let of_channel = self.channels.is_empty()
            || event.channels.iter().any(|channel| self.channels.iter().any(|wanted| wanted.allows(channel)));
        of_channel
            && (self.types.is_empty()
                || event_type(event.body.as_bytes())
                    .is_some_and(|kind| self.types.iter().any(|wanted| wanted.matches(&kind))))
    }
}

/// Of an event that tells of an escalation: whom.
#[derive(Deserialize)]
struct Escalated {
    data: To,
}

#[derive(Deserialize)]
struct To {
    to: String,
}

impl Escalated {
    fn of(event: &LoggedEvent) -> Option<Self> {
        let is_one = event.channels.len() == 1
            && event.channels.iter().all(|channel| channel.as_str() == CHANNEL)
            && event_type(event.body.as_bytes()).is_some_and(|kind| kind == UNACKNOWLEDGED);
        is_one.then(|| serde_json::from_str(&event.body).ok())?
    }

    fn is_for(&self, webhook: &str) -> bool {
        escalation::webhook(&self.data.to).is_some_and(|id| id.as_str() == webhook)
    }
}

/// Of an event that tells of a connection or a channel: which.
#[derive(Deserialize)]
struct OfConnections {
    #[serde(rename = "type")]
    kind: String,
    subject: String,
}

impl OfConnections {
    fn of(event: &LoggedEvent) -> Option<Self> {
        let is_one = event.channels.len() == 1
            && event.channels.iter().all(|channel| channel.as_str() == connection_events::CHANNEL)
            && event_type(event.body.as_bytes()).is_some_and(|kind| connection_events::is_type(&kind));
        is_one.then(|| serde_json::from_str(&event.body).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::{Channel, Seq};

    #[test]
    fn an_escalation_is_sent_by_the_webhook_that_it_names_and_by_those_that_ask_for_its_type() {
        let body = r#"{"type":"notice.unacknowledged","data":{"to":"webhook:push"}}"#;
        let event = |channel: &str| LoggedEvent {
            seq: Seq(1),
            channels: vec![Channel::new(channel).unwrap()],
            body: body.to_owned(),
        };
        let escalated = event("role:escalations");
        for (types, channels, push, other) in [
            (&[][..], &[][..], true, false),
            (&["order.*"], &["order:*"], true, false),
            (&["notice.unacknowledged"], &[], true, true),
            (&["notice.unacknowledged"], &["order:*"], true, false),
        ] {
            let wanted = wanted(types, channels);
            assert_eq!(
                (wanted.is("push", &escalated), wanted.is("main", &escalated)),
                (push, other),
                "{types:?}"
            );
        }
        assert!(wanted(&[], &[]).is("main", &event("order:7")), "an event of the application like any other");
    }

    #[test]
    fn connections_and_channels_are_sent_to_whom_names_the_type_and_filtered_by_what_they_are_about() {
        let told = |kind: &str, subject: &str| LoggedEvent {
            seq: Seq(1),
            channels: vec![Channel::new("role:connections").unwrap()],
            body: format!(r#"{{"type":"{kind}","subject":"{subject}"}}"#),
        };
        let (occupied, opened) = (told("channel.occupied", "order:7"), told("connection.opened", "mila"));
        for (types, channels, of_channel, of_connection) in [
            (&[][..], &[][..], false, false),
            (&["channel.*", "connection.*"], &[], false, false),
            (&["channel.occupied"], &[], true, false),
            (&["channel.occupied", "connection.opened"], &["order:*"], true, false),
            (&["channel.occupied", "connection.opened"], &["user:mila"], false, true),
            (&["channel.occupied", "connection.opened"], &["contact:*"], false, false),
        ] {
            let wanted = wanted(types, channels);
            assert_eq!(
                (wanted.is("main", &occupied), wanted.is("main", &opened)),
                (of_channel, of_connection),
                "{types:?} {channels:?}"
            );
        }
    }

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
            assert_eq!(wanted(types, channels).is("main", &paid), expected, "{types:?} {channels:?}");
        }
        assert!(
            !wanted(&[], &["*"]).is("main", &event("a", &["tenant"])),
            "a bare star is for no reserved channel"
        );
    }

    #[test]
    fn patterns_that_cannot_be_read_do_not_become_everything() {
        assert!(Wanted::stored(&["a b".to_owned()], &[]).is_none());
    }
}
