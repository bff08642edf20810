//! Does this node carry more than its share?
//!
//! A balancer places new connections, it never moves old ones: a node that joined late, or came back, stays empty until
//! the others let go. Pure: the fleet and the time come in.

use carillon_backplane::bus::Fleet;
use std::time::{Duration, Instant};

/// Shedding begins above this many times the mean.
const BEGIN: f64 = 1.2;
/// It ends at this many times the mean.
const ENOUGH: f64 = 1.05;
/// Fewer connections than this above the mean are not worth anybody's reconnect.
const WORTH: f64 = 50.0;
/// How long the same nodes must have been serving. While nodes come and go (a rolling update, a scale-out of several)
/// today's mean is not tomorrow's.
pub(crate) const SETTLED: Duration = Duration::from_secs(15);

/// Remembers whether this node sheds.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    shedding: bool,
}

impl Balance {
    /// How many of its `own` connections this node should let go now; the pace is another question.
    pub(crate) fn excess(&mut self, own: u64, fleet: &Fleet, now: Instant) -> u64 {
        let (nodes, connections) =
            fleet.serving().fold((0_u64, 0_u64), |(nodes, all), card| (nodes + 1, all + card.connections));
        let settled = now.duration_since(fleet.settled_since) >= SETTLED;
        if nodes < 2 || !settled {
            self.shedding = false;
            return 0;
        }
        let (own, mean) = (own as f64, connections as f64 / nodes as f64);
        if own > mean * BEGIN && own > mean + WORTH {
            self.shedding = true;
        } else if own <= mean * ENOUGH {
            self.shedding = false;
        }
        if self.shedding { (own - mean * ENOUGH).ceil() as u64 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::bus::{NodeCard, NodeState};
    use proptest::prelude::*;

    fn fleet(loads: &[(u64, NodeState)], settled_since: Instant) -> Fleet {
        let card = |(node, (connections, state)): (usize, &(u64, NodeState))| NodeCard {
            node: node.to_string(),
            database: None,
            version: "1".into(),
            state: *state,
            connections: *connections,
            tenants: 1,
            events_per_second: 0.0,
            deliveries_per_second: 0.0,
            started_ms: 0,
            incarnation: 0,
            minute: None,
            address: None,
            beat: 1,
        };
        Fleet { nodes: loads.iter().enumerate().map(card).collect(), settled_since }
    }

    #[test]
    fn i8_a_node_sheds_above_a_fifth_and_stops_near_the_mean() {
        use NodeState::Serving;
        let then = Instant::now();
        let now = then + SETTLED;
        let mut balance = Balance::default();
        let four = |own| fleet(&[(own, Serving), (1_000, Serving), (1_000, Serving), (0, Serving)], then);
        assert_eq!(balance.excess(850, &four(850), now), 0, "1.19 times the mean is bearable");
        assert_eq!(balance.excess(1_000, &four(1_000), now), 1_000 - 787, "down to 1.05 times 750");
        assert_eq!(balance.excess(800, &four(800), now), 65, "it goes on below the threshold it began at");
        assert_eq!(balance.excess(700, &four(700), now), 0);
        assert_eq!(balance.excess(800, &four(800), now), 0, "and has stopped for good");
    }

    #[test]
    fn i8_nobody_is_moved_while_the_fleet_changes_or_for_a_handful() {
        use NodeState::{Draining, Serving};
        let then = Instant::now();
        let uneven = fleet(&[(3_000, Serving), (0, Serving)], then);
        assert_eq!(Balance::default().excess(3_000, &uneven, then + SETTLED - Duration::from_millis(1)), 0);
        assert!(Balance::default().excess(3_000, &uneven, then + SETTLED) > 0);
        let now = then + SETTLED;
        assert_eq!(Balance::default().excess(60, &fleet(&[(60, Serving), (20, Serving)], then), now), 0);
        assert_eq!(Balance::default().excess(3_000, &fleet(&[(3_000, Serving)], then), now), 0, "alone");
        let leaving = fleet(&[(3_000, Serving), (0, Draining)], then);
        assert_eq!(Balance::default().excess(3_000, &leaving, now), 0, "a node that drains takes nobody");
    }

    proptest! {
        /// Whatever the loads: a node never sheds below the mean.
        #[test]
        fn i8_nobody_sheds_below_the_mean(loads in proptest::collection::vec(0_u64..100_000, 1..12)) {
            let then = Instant::now();
            let serving: Vec<_> = loads.iter().map(|load| (*load, NodeState::Serving)).collect();
            let fleet = fleet(&serving, then);
            let mean = loads.iter().sum::<u64>() as f64 / loads.len() as f64;
            let excess = Balance::default().excess(loads[0], &fleet, then + SETTLED);
            prop_assert!(excess == 0 || (loads[0] - excess) as f64 >= mean * ENOUGH - 1.0);
        }
    }
}
