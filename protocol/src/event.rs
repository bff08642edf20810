//! How does an event look in the log and on the wire?
//!
//! The log stores an event's CloudEvents JSON as the very bytes clients get. Gateways put a frame around those
//! bytes and never parse them.

use crate::channel::Channel;
use crate::ident::{EventId, LatestKey, Seq, UserId};
use crate::notice::Notice;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write;

/// How urgent an event is to the person it reaches. `critical` passes quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Can wait.
    Low,
    /// The default when none is given.
    Normal,
    /// Worth a look soon.
    High,
    /// Worth an interruption.
    Urgent,
    /// Passes every quiet hour.
    Critical,
}

impl Priority {
    /// All priorities, least urgent first.
    pub const ALL: [Priority; 5] = [Self::Low, Self::Normal, Self::High, Self::Urgent, Self::Critical];

    /// The word used in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
            Self::Critical => "critical",
        }
    }
}

/// A validated event that has no seq yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name within the tenant.
    pub id: EventId,
    /// CloudEvents `type`, for example `appointment.created`.
    pub kind: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// Who did it.
    pub actor: Option<UserId>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// Where it goes; never empty.
    pub channels: Vec<Channel>,
    /// When it happened, RFC 3339 in UTC, as it stands in `body`.
    pub time: String,
    /// The compact CloudEvents JSON object: the bytes every client gets.
    pub body: String,
    /// W3C trace context of the publish request.
    pub traceparent: Option<String>,
    /// What it is the latest value of.
    pub latest: Option<Latest>,
    /// What it says in people's inboxes.
    pub notice: Option<Box<Notice>>,
}

/// What an event does with a key, in each of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// Which.
    pub key: LatestKey,
    /// Whether the key has no value any more.
    pub deletes: bool,
}

/// The attribute of an event that names its key.
pub const LATEST_KEY: &str = "latestkey";

/// The JSON of an `event` frame around an event's stored bytes.
///
/// `replay` is the raw JSON of the `id` of the `subscribe` that asked for this piece of history; live events carry none.
pub fn event_frame(seq: Seq, channels: &[Channel], body: &[u8], replay: Option<&str>) -> Vec<u8> {
    let names: usize = channels.iter().map(|c| c.as_str().len() + 3).sum();
    let mut out = Vec::with_capacity(body.len() + names + replay.map_or(0, |r| r.len() + 10) + 64);
    let written = (|| {
        write!(out, "{{\"type\":\"event\",\"seq\":{seq},\"channels\":")?;
        serde_json::to_writer(&mut out, channels).map_err(std::io::Error::from)?;
        if let Some(id) = replay {
            write!(out, ",\"replay\":{id}")?;
        }
        out.write_all(b",\"event\":")?;
        out.write_all(body)?;
        out.write_all(b"}")
    })();
    debug_assert!(written.is_ok(), "writing JSON to memory cannot fail");
    out
}

/// The type of an event, from its stored bytes; none if they are no event. Nothing behind it is read, and it stands in front.
pub fn event_type(body: &[u8]) -> Option<String> {
    let mut found = None;
    // Whoever stops in the middle of an object is told that it goes on.
    let _ = FindType(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(body));
    found
}

/// Looks for the member `type` of an object and stops there.
struct FindType<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for FindType<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FindType<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == "type" {
                *self.0 = Some(map.next_value()?);
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::TenantId;
    use crate::limits;
    use crate::server::naming;

    #[test]
    fn the_frame_keeps_the_stored_bytes() {
        let channels = [Channel::tenant(), Channel::new("user:Jan \"X\"").unwrap()];
        let body = br#"{"specversion":"1.0","data":{"price":1.10}}"#;
        let frame = String::from_utf8(event_frame(Seq(7), &channels, body, Some("\"h1\""))).unwrap();
        assert_eq!(
            frame,
            r#"{"type":"event","seq":7,"channels":["tenant","user:Jan \"X\""],"replay":"h1","event":{"specversion":"1.0","data":{"price":1.10}}}"#
        );
    }

    #[test]
    fn the_largest_frame_is_within_the_contracts_bound() {
        let role = format!("role:{}", "\"".repeat(limits::USER_BYTES));
        let channels = vec![Channel::new(role).unwrap(); limits::CHANNELS_PER_EVENT];
        let body = vec![b'x'; limits::EVENT_BYTES];
        let id = format!("\"{}\"", "i".repeat(crate::client::FRAME_ID_BYTES - 2));
        let tenant = TenantId::new("t".repeat(limits::TENANT_BYTES)).unwrap();
        let length = naming(&event_frame(Seq(u64::MAX), &channels, &body, Some(&id)), &tenant).len();
        assert!((limits::EVENT_BYTES..=limits::SERVER_FRAME_BYTES).contains(&length), "{length}");
    }

    #[test]
    fn the_type_of_an_event_is_found_in_its_bytes() {
        let kind = |body: &str| event_type(body.as_bytes());
        assert_eq!(
            kind(r#"{"id":"type","x":{"type":"no"},"type":"a\"b","data":{"type":"c"}}"#),
            Some("a\"b".into())
        );
        assert_eq!(kind(r#"{"type":"a","data":"#).as_deref(), Some("a"), "what follows is not read");
        for none in ["{}", "[]", "", r#"{"data":{"type":"a"}}"#, r#"{"type":7}"#] {
            assert_eq!(kind(none), None, "{none}");
        }
    }

    #[test]
    fn priorities_have_one_spelling() {
        for priority in Priority::ALL {
            assert_eq!(serde_json::to_value(priority).unwrap(), priority.as_str());
        }
    }
}
