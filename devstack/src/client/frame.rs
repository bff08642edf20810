//! What did the gateway say?

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// A position in a tenant's log: everything up to `seq`, in this life of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last event that was seen.
    pub seq: u64,
    /// The life of the log; none lets the gateway take the current one.
    pub epoch: Option<String>,
}

impl Cursor {
    /// After event `seq` of the life `epoch`.
    pub fn new(seq: u64, epoch: impl Into<String>) -> Self {
        Self { seq, epoch: Some(epoch.into()) }
    }
}

/// The first frame of a connection that was let in.
#[derive(Debug, Clone, Deserialize)]
pub struct Welcome {
    /// The connection's name in logs.
    pub connection: String,
    /// The gateway's name.
    pub node: String,
    /// Whose log.
    pub tenant: String,
    /// Who is connected.
    pub user: String,
    /// Roles in this tenant.
    pub roles: Vec<String>,
    /// What the connection is subscribed to.
    pub channels: Vec<String>,
    /// Where the connection begins.
    pub seq: u64,
    /// The life of the log.
    pub epoch: String,
    /// `live`, `replay` or `reset`.
    pub resumed: String,
    /// Longest silence of a healthy gateway, in milliseconds; twice this means it is gone.
    pub heartbeat_ms: u64,
    /// Seconds until the token expires.
    pub expires_in: u64,
    /// The node's limits for this connection.
    pub limits: Value,
}

/// One JSON frame of the gateway.
#[derive(Clone, PartialEq)]
pub struct Frame(pub Value);

impl Frame {
    /// The frame's `type`; empty when it has none.
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// Whether the frame has this `type`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind() == kind
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A member that is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    /// `seq`.
    pub fn seq(&self) -> Option<u64> {
        self.number("seq")
    }

    /// `epoch`.
    pub fn epoch(&self) -> Option<&str> {
        self.text("epoch")
    }

    /// `code` of an `error`.
    pub fn code(&self) -> Option<&str> {
        self.text("code")
    }

    /// `channels`, empty when there are none.
    pub fn channels(&self) -> Vec<String> {
        let list = self.0.get("channels").and_then(Value::as_array);
        list.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    }

    /// The CloudEvents object of an `event`; null when there is none.
    pub fn event(&self) -> &Value {
        &self.0["event"]
    }

    /// Whether this `event` is history some `subscribe` asked for, which does not move the cursor.
    pub fn is_history(&self) -> bool {
        self.0.get("replay").is_some()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_is_read_without_fear_of_missing_members() {
        let frame =
            Frame(json!({"type": "event", "seq": 4, "channels": ["tenant", 5], "event": {"id": "x"}}));
        assert!(frame.is("event") && !frame.is_history());
        assert_eq!(frame.seq(), Some(4));
        assert_eq!(frame.channels(), ["tenant"]);
        assert_eq!(frame.event()["id"], "x");
        let empty = Frame(json!([]));
        assert_eq!((empty.kind(), empty.seq(), empty.code()), ("", None, None));
        assert!(empty.event().is_null() && empty.channels().is_empty());
    }
}
