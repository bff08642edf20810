//! What happened at a gateway in the last minute, and what came of it at several? (pure)

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Buckets of a histogram: four for each doubling, from a microsecond to a minute and more.
pub const BUCKETS: usize = 105;
const PER_DOUBLING: f64 = 4.0;

/// Sums over a minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Minute {
    /// Welcomes that went on live, with what was missed, or without continuity.
    pub resumes: [u64; 3],
    /// Connections that ended, by reason.
    pub closes: BTreeMap<String, u64>,
    /// Times a live connection fell behind.
    pub fell_behind: u64,
    /// Holes in streams that were read from the log.
    pub gaps: u64,
    /// Events that were read for that.
    pub events_repaired: u64,
    /// Requests that became no connection.
    pub handshakes_rejected: u64,
    /// From the commit to the sockets: how many events of each bucket, up to the last one that has some.
    pub latency: Vec<u64>,
}

/// In which bucket so many microseconds are.
pub fn bucket(us: u64) -> usize {
    let place = (us.max(1) as f64).log2() * PER_DOUBLING;
    (place as usize).min(BUCKETS - 1)
}

impl Minute {
    /// Adds what happened somewhere else.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    /// What happened since an earlier reading of the same counters.
    pub fn since(mut self, earlier: &Self) -> Self {
        self.combine(earlier, u64::saturating_sub);
        self.closes.retain(|_, count| *count > 0);
        while self.latency.last() == Some(&0) {
            self.latency.pop();
        }
        self
    }

    /// How many events there are in the histogram.
    pub fn delivered(&self) -> u64 {
        self.latency.iter().sum()
    }

    /// The latency that this part of the events (0 to 1) did not pass, in milliseconds: the middle of its bucket. None: there were none.
    pub fn quantile_ms(&self, part: f64) -> Option<f64> {
        let wanted = (self.delivered() as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        let place = self.latency.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        let us = ((place as f64 + 0.5) / PER_DOUBLING).exp2();
        Some((us / 10.0).round() / 100.0)
    }

    fn combine(&mut self, other: &Self, by: fn(u64, u64) -> u64) {
        for (own, other) in self.resumes.iter_mut().zip(other.resumes) {
            *own = by(*own, other);
        }
        for (reason, count) in &other.closes {
            let own = self.closes.entry(reason.clone()).or_default();
            *own = by(*own, *count);
        }
        self.latency.resize(self.latency.len().max(other.latency.len()), 0);
        for (own, other) in self.latency.iter_mut().zip(&other.latency) {
            *own = by(*own, *other);
        }
        self.fell_behind = by(self.fell_behind, other.fell_behind);
        self.gaps = by(self.gaps, other.gaps);
        self.events_repaired = by(self.events_repaired, other.events_repaired);
        self.handshakes_rejected = by(self.handshakes_rejected, other.handshakes_rejected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(latencies_us: &[u64]) -> Minute {
        let mut minute = Minute { latency: vec![0; BUCKETS], ..Minute::default() };
        latencies_us.iter().for_each(|us| minute.latency[bucket(*us)] += 1);
        minute
    }

    #[test]
    fn quantiles_of_several_nodes_are_those_of_all_their_events_within_a_tenth() {
        let mut all = counted(&[1_000; 50]);
        all.add(&counted(&[4_000; 49]));
        all.add(&counted(&[250_000]));
        let near = |ms: Option<f64>, wanted: f64| ms.is_some_and(|ms| (ms / wanted - 1.0).abs() < 0.1);
        assert!(near(all.quantile_ms(0.5), 1.0) && near(all.quantile_ms(0.99), 4.0), "{all:?}");
        assert!(near(all.quantile_ms(1.0), 250.0));
        assert_eq!((Minute::default().quantile_ms(0.5), all.delivered()), (None, 100));
    }

    #[test]
    fn what_happened_since_is_what_was_added() {
        let mut earlier = counted(&[500]);
        earlier.closes.insert("left".into(), 3);
        let mut now = earlier.clone();
        let more =
            Minute { resumes: [1, 2, 3], gaps: 4, closes: [("bye".to_owned(), 5)].into(), ..counted(&[80]) };
        now.add(&more);
        let mut wanted = more.clone();
        wanted.latency.truncate(bucket(80) + 1);
        assert_eq!(now.since(&earlier), wanted);
        assert!(bucket(0) == 0 && bucket(u64::MAX) == BUCKETS - 1);
    }
}
