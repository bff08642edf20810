//! What makes an event a notice?
//!
//! A notice stands in the inboxes of all who are in one of its event's channels, until they take it out. What its publisher wrote travels
//! in the event as the attribute `notify`, a text that is JSON, for CloudEvents' attributes have no members of their own.

use crate::escalation::Escalation;
use crate::event::Priority;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The attribute of an event that says what its notice says.
pub const NOTIFY: &str = "notify";
/// Longest title, in characters.
pub const TITLE_CHARS: usize = 256;
/// Longest body, in characters.
pub const BODY_CHARS: usize = 4_096;
/// Longest action (a URL or a path), in bytes.
pub const ACTION_BYTES: usize = 2_048;
/// Longest name of a group, in bytes.
pub const GROUP_BYTES: usize = 128;
/// Largest data of a notice, in bytes of JSON.
pub const DATA_BYTES: usize = 8 * 1024;

/// What a notice says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One line.
    pub title: String,
    /// More of it.
    pub body: Option<String>,
    /// Where a click leads: a URL or a path.
    pub action: Option<String>,
    /// Notices of one group are one entry of an inbox, the newest.
    pub group: Option<String>,
    /// How urgent it is, where that is another urgency than its event's.
    pub priority: Option<Priority>,
    /// Whether people are asked to say that they have taken note.
    pub requires_ack: bool,
    /// From when on it is in no inbox any more: RFC 3339 in UTC.
    pub expires_at: Option<String>,
    /// What the application wants to find with it, JSON.
    pub data: Option<String>,
    /// Who is told when people do not take note of it, and when.
    pub escalate: Vec<Escalation>,
    /// What it says in other languages, by language tag.
    pub locales: BTreeMap<String, NoticeTexts>,
}

/// What a notice says in one language. What is left out is as it is without a language.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeTexts {
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// More of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Notice {
    /// The attribute's JSON: what was given or filled, in one order, so that the same notice is the same text.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Members<'a> {
            title: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            body: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            action: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            group: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            priority: Option<Priority>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            requires_ack: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            expires_at: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "<[Escalation]>::is_empty")]
            escalate: &'a [Escalation],
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            locales: &'a BTreeMap<String, NoticeTexts>,
        }
        let members = Members {
            title: &self.title,
            body: self.body.as_deref(),
            action: self.action.as_deref(),
            group: self.group.as_deref(),
            priority: self.priority,
            requires_ack: self.requires_ack,
            expires_at: self.expires_at.as_deref(),
            // It was read as JSON.
            data: self.data.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            escalate: &self.escalate,
            locales: &self.locales,
        };
        serde_json::to_string(&members).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_names_what_was_given_and_nothing_else() {
        let bare = Notice {
            title: "Shift \"A\" moved".into(),
            body: None,
            action: None,
            group: None,
            priority: None,
            requires_ack: false,
            expires_at: None,
            data: None,
            escalate: Vec::new(),
            locales: BTreeMap::new(),
        };
        assert_eq!(bare.json(), r#"{"title":"Shift \"A\" moved"}"#);
        let full = Notice {
            body: Some("from 9 to 10".into()),
            action: Some("/shifts/7".into()),
            group: Some("shift:7".into()),
            priority: Some(Priority::High),
            requires_ack: true,
            expires_at: Some("2027-01-01T00:00:00Z".into()),
            data: Some(r#"{"n":1.10}"#.into()),
            locales: BTreeMap::from([(
                "de".into(),
                NoticeTexts { title: Some("Schicht".into()), body: None },
            )]),
            ..bare
        };
        assert_eq!(
            full.json(),
            r#"{"title":"Shift \"A\" moved","body":"from 9 to 10","action":"/shifts/7","group":"shift:7","priority":"high","requires_ack":true,"expires_at":"2027-01-01T00:00:00Z","data":{"n":1.10},"locales":{"de":{"title":"Schicht"}}}"#
        );
    }
}
