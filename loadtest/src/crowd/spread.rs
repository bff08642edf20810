//! How do times measured by several processes become one histogram?
//!
//! Percentiles cannot be averaged; counts can be added. So a process hands over its buckets.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::latency::Percentiles;

/// Longer times count as this long.
const LONGEST_US: u64 = 900_000_000;

/// Collects times in microseconds, with three significant digits.
#[derive(Debug, Clone)]
pub(crate) struct Spread(Histogram<u64>);

/// The counts of a [`Spread`]: each value that was met, in microseconds, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buckets(Vec<(u64, u64)>);

impl Spread {
    /// An empty collection.
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        histogram.map(Self).map_err(|error| Failure::Usage(format!("no histogram: {error}")))
    }

    /// Adds a time from one stamp of the monotonic clock to a later one; a negative time counts as none.
    pub(crate) fn between(&mut self, from_ns: u64, to_ns: u64) {
        self.0.saturating_record((to_ns.saturating_sub(from_ns) / 1_000).clamp(1, LONGEST_US));
    }

    /// What another process counted.
    pub(crate) fn add(&mut self, Buckets(buckets): &Buckets) {
        for &(us, count) in buckets {
            self.0.saturating_record_n(us.clamp(1, LONGEST_US), count);
        }
    }

    /// To hand over.
    pub(crate) fn buckets(&self) -> Buckets {
        Buckets(self.0.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect())
    }

    /// The percentiles.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Percentiles {
            count: self.0.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_counts_have_the_percentiles_of_all() {
        let (mut all, mut fast, mut slow) =
            (Spread::new().unwrap(), Spread::new().unwrap(), Spread::new().unwrap());
        for us in 1..=990 {
            fast.between(0, us * 1_000);
            all.between(0, us * 1_000);
        }
        for _ in 0..10 {
            slow.between(0, 5_000_000_000);
            all.between(0, 5_000_000_000);
        }
        let mut merged = Spread::new().unwrap();
        for part in [&fast, &slow] {
            let handed_over = serde_json::to_string(&part.buckets()).unwrap();
            merged.add(&serde_json::from_str(&handed_over).unwrap());
        }
        assert_eq!(merged.percentiles(), all.percentiles());
        assert_eq!((merged.percentiles().count, merged.percentiles().p99_us), (1_000, 990));
        assert_ne!(merged.percentiles().p999_us, fast.percentiles().p999_us);
    }
}
