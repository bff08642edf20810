//! What does a gateway tell the others about itself?

use super::minute::Minute;
use serde::{Deserialize, Serialize};

/// Whether a gateway takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It does.
    Serving,
    /// An operator has it emptied; it stays up.
    Evacuating,
    /// It is stopping.
    Draining,
}

/// A gateway as it described itself at its last beat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeCard {
    /// `CARILLON_NODE`.
    pub node: String,
    /// Which database it reads: the server's identifier and the database's name. None while it is not known.
    #[serde(default)]
    pub database: Option<String>,
    /// Which release it runs.
    pub version: String,
    /// Whether it takes connections.
    pub state: NodeState,
    /// Open connections.
    pub connections: u64,
    /// Tenants it follows.
    pub tenants: u64,
    /// Events that passed its streams, a second, since its beat before.
    pub events_per_second: f64,
    /// Event frames it wrote to sockets, a second, since its beat before.
    pub deliveries_per_second: f64,
    /// When it started: milliseconds since 1970, by its own clock.
    pub started_ms: u64,
    /// Tells the runs of a node apart, with its name; 0 for a release that does not say.
    #[serde(default)]
    pub incarnation: u64,
    /// What happened there in the last minute; none for a release that does not say.
    #[serde(default)]
    pub minute: Option<Minute>,
    /// Where the other gateways reach it: a URL. None if they do not.
    #[serde(default)]
    pub address: Option<String>,
    /// Goes up with every card it writes.
    pub beat: u64,
}

impl NodeCard {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a card has string keys and finite numbers")
    }

    pub(super) fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_back_with_fields_of_later_versions_and_not_without_its_own() {
        let card = NodeCard {
            node: "gateway-1".into(),
            database: Some("7/carillon".into()),
            version: "0.1.0".into(),
            state: NodeState::Evacuating,
            connections: 1_000,
            tenants: 7,
            events_per_second: 12.5,
            deliveries_per_second: 0.0,
            started_ms: 1_795_000_000_000,
            incarnation: 7,
            minute: None,
            address: None,
            beat: 3,
        };
        let json = card.to_json();
        assert_eq!(NodeCard::from_json(&json), Some(card.clone()));
        let later = json.replacen('{', "{\"zone\":\"a\",", 1);
        assert_eq!(NodeCard::from_json(&later), Some(card));
        assert_eq!(NodeCard::from_json("{\"node\":\"gateway-1\"}"), None);
        assert_eq!(NodeCard::from_json("\u{1}"), None);
    }
}
