//! What is a tenant, a user, a device, a seq, an epoch, and what may they look like?
//!
//! Each name is a newtype whose only constructor checks the contract's grammar, so a value that exists is valid. Clones share the text:
//! a name is kept in many places.

use crate::limits;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A name that does not fit its grammar. The message says what is allowed and never repeats the bad value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {allowed}")]
pub struct InvalidName {
    /// What was named, for example `tenant`.
    pub what: &'static str,
    /// The grammar in words.
    pub allowed: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The grammar in words, as error messages and documentation give it.
            pub const ALLOWED: &'static str = $allowed;

            /// Takes a name that fits the grammar, refuses any other.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, allowed: $allowed })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().into()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }
    };
}

name!(
    /// A customer of the platform: one log, one set of channels, isolated from every other tenant.
    TenantId,
    "tenant",
    "1-63 characters of a-z, 0-9, _ and -, starting with a letter or digit",
    |t| {
        let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        t.len() <= limits::TENANT_BYTES
            && t.bytes().next().is_some_and(alnum)
            && t.bytes().all(|b| alnum(b) || b == b'_' || b == b'-')
    }
);

name!(
    /// A person (or a service acting for one) within a tenant.
    UserId,
    "user",
    "1-128 bytes of UTF-8 without control characters",
    |t| plain_text(t, limits::USER_BYTES)
);

name!(
    /// A client installation, chosen by the client; the cursor of delivery tracking hangs on it.
    DeviceId,
    "device",
    "1-64 characters of A-Z, a-z, 0-9, _, . and -",
    |t| !t.is_empty()
        && t.len() <= limits::DEVICE_BYTES
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
);

name!(
    /// A webhook's name within its tenant, chosen by an administrator.
    WebhookId,
    "webhook",
    "1-64 characters of A-Z, a-z, 0-9, _, . and -",
    |t| !t.is_empty()
        && t.len() <= limits::WEBHOOK_BYTES
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
);

name!(
    /// An event's name within its tenant; by default also its idempotency key.
    EventId,
    "id",
    "1-128 bytes of UTF-8 without control characters",
    |t| plain_text(t, limits::EVENT_ID_BYTES)
);

name!(
    /// What an event is the latest value of, in each of its channels.
    LatestKey,
    "key",
    "1-128 bytes of UTF-8 without control characters",
    |t| plain_text(t, limits::LATEST_KEY_BYTES)
);

name!(
    /// Names one epoch of a tenant's log. A seq means nothing without it: after a restore the epoch differs.
    Epoch,
    "epoch",
    "1-32 characters of A-Z, a-z, 0-9, _ and -",
    |t| !t.is_empty()
        && t.len() <= limits::EPOCH_BYTES
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
);

/// Whether `text` has 1 to `max` bytes and no control character.
pub fn plain_text(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control)
}

/// A position in a tenant's log: the first event has 1, and there are no gaps. 0 is "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Seq = Seq(0);

    /// The seq after this one. Clients may name any number: the largest is its own successor.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The seq before this one; before the first it stays at zero.
    pub fn previous(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything up to and including `seq` of the log's epoch `epoch` was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The last seq seen.
    pub seq: Seq,
}

/// As one word, `<epoch>:<seq>`: the id of an event in an event stream, and its `Last-Event-ID`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl std::str::FromStr for Cursor {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fault = InvalidName { what: "cursor", allowed: "<epoch>:<seq>" };
        let (epoch, seq) = text.split_once(':').ok_or(fault)?;
        // `u64` would also take a sign.
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| digits).ok_or(fault)?;
        Ok(Self { epoch: Epoch::new(epoch)?, seq: Seq(seq) })
    }
}

/// The last event a client got: what it says beside its cursor, so that a log with another event there is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEvent {
    /// Its number.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
}

/// As one word, `<seq>:<id>`; an id may hold colons itself.
impl fmt::Display for LastEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.id)
    }
}

impl std::str::FromStr for LastEvent {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fault = InvalidName { what: "last", allowed: "<seq>:<event id>" };
        let (seq, id) = text.split_once(':').ok_or(fault)?;
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| digits).ok_or(fault)?;
        Ok(Self { seq: Seq(seq), id: EventId::new(id).map_err(|_| fault)? })
    }
}

impl TenantId {
    /// The tenant in which an installation tells of itself. It is for API keys for all tenants alone, and nobody publishes in it.
    pub const OPERATOR: &'static str = "carillon-operator";

    /// Whether this is the tenant in which the installation tells of itself.
    pub fn is_operator(&self) -> bool {
        self.as_str() == Self::OPERATOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_names_follow_the_grammar() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "school-2", "org_7", longest.as_str()] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "_a", "A", "a b", "a:b", "a*", "{a}", "ä", "а", "a\n", too_long.as_str()] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_one_word() {
        let cursor = Cursor { epoch: Epoch::new("k3-x").unwrap(), seq: Seq(u64::MAX) };
        assert_eq!(cursor.to_string(), "k3-x:18446744073709551615");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!("e:0".parse(), Ok(Cursor { epoch: Epoch::new("e").unwrap(), seq: Seq::ZERO }));
        for bad in
            ["", ":", "e", "e:", ":1", "e:-1", "e:+1", "e: 1", "e:1:2", "é:1", "e:18446744073709551616"]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_event_is_one_word() {
        let last = LastEvent { seq: Seq(7), id: EventId::new("order:1 ü").unwrap() };
        assert_eq!(last.to_string(), "7:order:1 ü");
        assert_eq!(last.to_string().parse(), Ok(last));
        for bad in ["", ":", "7", "7:", ":x", "+7:x", "-7:x", "x:7"] {
            assert!(bad.parse::<LastEvent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn users_are_any_text_without_control_characters() {
        assert!(UserId::new("Mila Kovač, recepce").is_ok());
        assert!(UserId::new("ü".repeat(64)).is_ok());
        assert!(UserId::new("ü".repeat(65)).is_err());
        assert!(UserId::new("a\u{0}").is_err());
        assert!(UserId::new("a\u{85}").is_err());
        assert!(UserId::new("").is_err());
    }

    #[test]
    fn no_seq_a_client_may_name_overflows() {
        assert_eq!((Seq::ZERO.previous(), Seq(7).next()), (Seq::ZERO, Seq(8)));
        assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX));
    }

    #[test]
    fn names_keep_their_grammar_through_serde() {
        assert!(serde_json::from_str::<TenantId>("\"acme\"").is_ok());
        let refused = serde_json::from_str::<TenantId>("\"ACME\"").unwrap_err().to_string();
        assert!(refused.contains("tenant must be 1-63"), "{refused}");
        assert_eq!(serde_json::to_string(&DeviceId::new("d-1").unwrap()).unwrap(), "\"d-1\"");
    }
}
