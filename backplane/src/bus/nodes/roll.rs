//! Who is present?
//!
//! Pure: cards and the time come in, the fleet goes out.

use super::card::{NodeCard, NodeState};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A node whose beat stands still for longer is not there.
const PRESENT: Duration = Duration::from_secs(10);
/// A card whose beat stands still for longer is taken away.
const STALE: Duration = Duration::from_secs(60);

/// Every gateway of the installation, this one among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// Ordered by name.
    pub nodes: Vec<NodeCard>,
    /// Since when the same nodes have been serving.
    pub settled_since: Instant,
}

impl Fleet {
    /// The nodes that take connections.
    pub fn serving(&self) -> impl Iterator<Item = &NodeCard> {
        self.nodes.iter().filter(|card| card.state == NodeState::Serving)
    }
}

/// Remembers whose beat went up when.
pub(super) struct Roll {
    seen: HashMap<String, Seen>,
    serving: Vec<String>,
    settled_since: Instant,
}

struct Seen {
    beat: u64,
    at: Instant,
}

impl Roll {
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: HashMap::new(), serving: Vec::new(), settled_since: now }
    }

    /// Reads all cards. Returns who is there, and whose cards are to be taken away.
    pub(super) fn call(
        &mut self,
        now: Instant,
        cards: impl Iterator<Item = (String, NodeCard)>,
    ) -> (Fleet, Vec<String>) {
        let (mut seen, mut present, mut stale) = (HashMap::new(), Vec::new(), Vec::new());
        for (instance, card) in cards {
            let at = match self.seen.get(&instance) {
                Some(before) if before.beat == card.beat => before.at,
                // At first sight it counts as there: whether its beat stands still, the next seconds tell.
                _ => now,
            };
            let silent = now.duration_since(at);
            seen.insert(instance.clone(), Seen { beat: card.beat, at });
            if silent > STALE {
                stale.push(instance);
            } else if silent <= PRESENT {
                present.push((instance, card));
            }
        }
        self.seen = seen;
        let mut serving: Vec<String> = present
            .iter()
            .filter(|(_, card)| card.state == NodeState::Serving)
            .map(|(instance, _)| instance.clone())
            .collect();
        serving.sort();
        if serving != self.serving {
            self.serving = serving;
            self.settled_since = now;
        }
        let mut nodes: Vec<NodeCard> = present.into_iter().map(|(_, card)| card).collect();
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        (Fleet { nodes, settled_since: self.settled_since }, stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(node: &str, beat: u64, state: NodeState) -> (String, NodeCard) {
        let card = NodeCard {
            node: node.into(),
            version: "1".into(),
            state,
            connections: 10,
            tenants: 1,
            events_per_second: 0.0,
            deliveries_per_second: 0.0,
            started_ms: 0,
            beat,
        };
        (format!("instance of {node}"), card)
    }

    fn names(fleet: &Fleet) -> Vec<&str> {
        fleet.nodes.iter().map(|card| card.node.as_str()).collect()
    }

    #[test]
    fn a_node_is_present_while_its_beat_goes_up() {
        use NodeState::Serving;
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut roll = Roll::new(start);
        let (fleet, _) = roll.call(at(0), [card("b", 1, Serving), card("a", 9, Serving)].into_iter());
        assert_eq!(names(&fleet), ["a", "b"]);
        assert_eq!(fleet.settled_since, at(0));
        let (fleet, _) = roll.call(at(10), [card("b", 5, Serving), card("a", 9, Serving)].into_iter());
        assert_eq!((names(&fleet), fleet.settled_since), (vec!["a", "b"], at(0)));
        let (fleet, stale) = roll.call(at(11), [card("b", 6, Serving), card("a", 9, Serving)].into_iter());
        assert_eq!((names(&fleet), fleet.settled_since), (vec!["b"], at(11)));
        assert!(stale.is_empty());
        let (_, stale) = roll.call(at(61), [card("b", 30, Serving), card("a", 9, Serving)].into_iter());
        assert_eq!(stale, ["instance of a"]);
        let (fleet, stale) = roll.call(at(62), [card("b", 31, Serving), card("a", 1, Serving)].into_iter());
        assert_eq!(names(&fleet), ["a", "b"], "a process that was frozen is back");
        assert!(stale.is_empty() && fleet.settled_since == at(62));
    }

    #[test]
    fn a_node_that_begins_to_leave_changes_the_fleet() {
        use NodeState::{Draining, Serving};
        let start = Instant::now();
        let mut roll = Roll::new(start);
        roll.call(start, [card("a", 1, Serving), card("b", 1, Serving)].into_iter());
        let later = start + Duration::from_secs(30);
        let (fleet, _) = roll.call(later, [card("a", 2, Serving), card("b", 2, Draining)].into_iter());
        assert_eq!(fleet.settled_since, later);
        assert_eq!(fleet.serving().map(|card| &*card.node).collect::<Vec<_>>(), ["a"]);
        assert_eq!(names(&fleet), ["a", "b"]);
    }
}
