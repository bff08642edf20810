//! What is a channel, and which channels does a pattern allow?

use crate::ident::{InvalidName, UserId, plain_text};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A room within a tenant. The part before the first `:` is its namespace.
///
/// Reserved: `tenant` (everyone), `user:<id>`, `role:<name>`. A user id or role may hold any text a
/// [`UserId`] may, so those two namespaces are wider than the grammar of ordinary channels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Channel(Arc<str>);

const ALLOWED: &str = "1-128 characters of A-Z, a-z, 0-9, _, ., @, : and - (after user: and role: any name)";
const USER: &str = "user:";
const ROLE: &str = "role:";

impl Channel {
    /// The grammar in words.
    pub const ALLOWED: &'static str = ALLOWED;

    /// Takes a channel name that fits the grammar, refuses any other.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let valid = match text.strip_prefix(USER).or_else(|| text.strip_prefix(ROLE)) {
            Some(name) => plain_text(name, limits::USER_BYTES),
            None => ordinary(text),
        };
        if valid { Ok(Self(text.into())) } else { Err(InvalidName { what: "channel", allowed: ALLOWED }) }
    }

    /// The channel every connection of a tenant is in.
    pub fn tenant() -> Self {
        Self("tenant".into())
    }

    /// The channel of one person.
    pub fn user(user: &UserId) -> Self {
        Self(format!("{USER}{user}").into())
    }

    /// The channel of everyone who has a role; refuses what cannot be a role's name.
    pub fn role(role: &str) -> Result<Self, InvalidName> {
        if plain_text(role, limits::USER_BYTES) {
            Ok(Self(format!("{ROLE}{role}").into()))
        } else {
            Err(InvalidName { what: "role", allowed: UserId::ALLOWED })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the platform itself gives this channel its meaning (`tenant`, `user:…`, `role:…`).
    pub fn is_reserved(&self) -> bool {
        &*self.0 == "tenant" || self.0.starts_with(USER) || self.0.starts_with(ROLE)
    }
}

fn ordinary(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::CHANNEL_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b':' | b'-'))
}

impl TryFrom<String> for Channel {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<Channel> for String {
    fn from(channel: Channel) -> String {
        channel.as_str().into()
    }
}

impl std::borrow::Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", &*self.0)
    }
}

/// Which channels a token allows: an exact name, or a prefix followed by one `*` at the end (`contact:*`).
///
/// A bare `*` allows every channel but the reserved ones; those need a pattern that names them (`user:*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelPattern(Box<str>);

impl ChannelPattern {
    /// The grammar in words.
    pub const ALLOWED: &'static str = "a channel name, or the beginning of one followed by *";

    /// Takes a pattern that fits the grammar, refuses any other.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let valid = match text.strip_suffix('*') {
            Some("" | USER | ROLE) => true,
            Some(prefix) => Channel::new(prefix).is_ok(),
            None => Channel::new(text).is_ok(),
        };
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName { what: "channel pattern", allowed: Self::ALLOWED })
        }
    }

    /// Whether `channel` may be subscribed to under this pattern.
    pub fn allows(&self, channel: &Channel) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) if channel.is_reserved() => {
                (prefix.starts_with(USER) || prefix.starts_with(ROLE)) && channel.0.starts_with(prefix)
            }
            Some(prefix) => channel.0.starts_with(prefix),
            None => *self.0 == *channel.0,
        }
    }
}

impl TryFrom<String> for ChannelPattern {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<ChannelPattern> for String {
    fn from(pattern: ChannelPattern) -> String {
        pattern.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn channel_names_follow_the_grammar() {
        let longest = "a".repeat(128);
        for good in ["tenant", "contact:123", "order_X", "a.b@c-d:e", "user:Mila Kovač", longest.as_str()] {
            assert!(Channel::new(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(129);
        for bad in ["", "a b", "a*", "a,b", "contact:é", "user:", "role:", "user:\n", too_long.as_str()] {
            assert!(Channel::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_star_opens_no_reserved_channel() {
        let star = ChannelPattern::new("*").unwrap();
        assert!(star.allows(&Channel::new("contact:1").unwrap()));
        assert!(!star.allows(&Channel::new("user:2").unwrap()));
        assert!(!star.allows(&Channel::new("role:admin").unwrap()));
        assert!(!star.allows(&Channel::tenant()));
        assert!(!ChannelPattern::new("u*").unwrap().allows(&Channel::new("user:2").unwrap()));
        assert!(ChannelPattern::new("user:*").unwrap().allows(&Channel::new("user:2").unwrap()));
        assert!(ChannelPattern::new("role:admin").unwrap().allows(&Channel::new("role:admin").unwrap()));
    }

    #[test]
    fn a_star_stands_only_at_the_end() {
        for bad in ["*:1", "a*b", "**", "contact:*:x", ""] {
            assert!(ChannelPattern::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_either_a_channel_that_survives_serde_or_refused(text in "\\PC{0,140}|[a-z:*@._-]{0,140}") {
            if let Ok(channel) = Channel::new(&text) {
                let json = serde_json::to_string(&channel).unwrap();
                prop_assert_eq!(serde_json::from_str::<Channel>(&json).unwrap(), channel.clone());
                prop_assert_eq!(Channel::new(channel.as_str()).unwrap(), channel);
            }
        }

        #[test]
        fn a_prefix_pattern_allows_exactly_the_channels_that_begin_so(
            prefix in "[a-qs-tv-z]{1,8}:", name in "[a-zA-Z0-9_.@:-]{1,20}", other in "[a-zA-Z0-9_.@:-]{1,20}",
        ) {
            let pattern = ChannelPattern::new(format!("{prefix}*")).unwrap();
            let inside = format!("{prefix}{name}");
            prop_assert!(pattern.allows(&Channel::new(&inside).unwrap()));
            if !other.starts_with(&prefix)
                && let Ok(outside) = Channel::new(&other) {
                    prop_assert!(!pattern.allows(&outside));
                }
        }
    }
}
