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
    /// How often its beat went up under our eyes: the card of a process that was killed never does.
    rises: u32,
    node: String,
    database: Option<String>,
}

/// What two gateways on one Redis must not share, or must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clash {
    /// Another running gateway has this one's name.
    pub(super) name: bool,
    /// Another running gateway reads another database: two installations with one prefix.
    pub(super) database: bool,
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
            let (at, rises) = match self.seen.get(&instance) {
                Some(before) if before.beat == card.beat => (before.at, before.rises),
                Some(before) => (now, before.rises.saturating_add(1)),
                // At first sight it counts as there: whether its beat stands still, the next seconds tell.
                None => (now, 0),
            };
            let silent = now.duration_since(at);
            let (node, database) = (card.node.clone(), card.database.clone());
            seen.insert(instance.clone(), Seen { beat: card.beat, at, rises, node, database });
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

    /// Whether others that run clash with the gateway of this instance, as of the last call.
    pub(super) fn clash(&self, instance: &str) -> Clash {
        let Some(own) = self.seen.get(instance) else { return Clash::default() };
        let running = |other: &&Seen| other.rises > 0 && own.rises > 0;
        let others =
            || self.seen.iter().filter(|(name, _)| *name != instance).map(|(_, seen)| seen).filter(running);
        let another = |other: &Seen| {
            other.database.is_some() && own.database.is_some() && other.database != own.database
        };
        Clash { name: others().any(|other| other.node == own.node), database: others().any(another) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(node: &str, beat: u64, state: NodeState) -> (String, NodeCard) {
        let card = NodeCard {
            node: node.into(),
            database: None,
            version: "1".into(),
            state,
            connections: 10,
            tenants: 1,
            events_per_second: 0.0,
            deliveries_per_second: 0.0,
            started_ms: 0,
            incarnation: 0,
            minute: None,
            address: None,
            beat,
        };
        (format!("instance of {node}"), card)
    }

    fn names(fleet: &Fleet) -> Vec<&str> {
        fleet.nodes.iter().map(|card| card.node.as_str()).collect()
    }

    #[test]
    fn two_of_one_name_and_two_databases_are_noticed_once_both_run() {
        let mut roll = Roll::new(Instant::now());
        let of = |instance: &str, node: &str, beat, database: &str| {
            let (_, card) = card(node, beat, NodeState::Serving);
            (instance.to_owned(), NodeCard { database: Some(database.into()), ..card })
        };
        // `c` was killed: its card stays a while, and a gateway of its name may start.
        let cards =
            |beat| [of("a", "one", beat, "7/x"), of("b", "one", beat, "7/x"), of("c", "one", 3, "9/x")];
        roll.call(Instant::now(), cards(1).into_iter());
        assert_eq!(roll.clash("a"), Clash::default(), "one look does not show who runs");
        roll.call(Instant::now(), cards(2).into_iter());
        assert_eq!(roll.clash("a"), Clash { name: true, database: false });
        let cards = |beat| [of("a", "one", beat, "7/x"), of("b", "two", beat, "8/x")];
        roll.call(Instant::now(), cards(3).into_iter());
        roll.call(Instant::now(), cards(4).into_iter());
        assert_eq!(roll.clash("a"), Clash { name: false, database: true });
        assert_eq!(roll.clash("nobody"), Clash::default());
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
