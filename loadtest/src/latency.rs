//! How long did things take, in percentiles?

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::Failure;
use crate::table::Table;

/// Longer times count as this long.
const LONGEST_US: u64 = 120_000_000;

/// Collects times in microseconds, with three significant digits.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// An empty collection.
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        histogram.map(Self).map_err(|error| Failure::Usage(format!("no histogram: {error}")))
    }

    /// Adds a time from one stamp of the monotonic clock to a later one; a negative time counts as none.
    pub(crate) fn between(&mut self, from_ns: u64, to_ns: u64) {
        self.0.saturating_record((to_ns.saturating_sub(from_ns) / 1_000).clamp(1, LONGEST_US));
    }

    /// Takes over what another one collected.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can be out of range.
        let _ = self.0.add(&other.0);
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

/// Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    /// How many times were taken.
    pub(crate) count: u64,
    /// Half were at most this long.
    pub(crate) p50_us: u64,
    /// Nine in ten.
    pub(crate) p90_us: u64,
    /// 99 in a hundred.
    pub(crate) p99_us: u64,
    /// 999 in a thousand.
    pub(crate) p999_us: u64,
    /// All.
    pub(crate) max_us: u64,
}

impl Percentiles {
    /// Adds one line to a table.
    pub(crate) fn add_to(self, name: &str, table: &mut Table) {
        let ms = |us: u64| us as f64 / 1_000.0;
        let Self { p50_us, p90_us, p99_us, p999_us, max_us, .. } = self;
        let [p50, p90, p99, p999, max] = [p50_us, p90_us, p99_us, p999_us, max_us].map(ms);
        let value = format!("p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms");
        table.figure(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_microseconds() {
        let mut half = Latency::new().unwrap();
        let mut other = half.clone();
        (1..=500).for_each(|us| half.between(5_000, 5_000 + us * 1_000));
        (501..=1000).for_each(|us| other.between(0, us * 1_000));
        half.merge(&other);
        let seen = half.percentiles();
        assert_eq!(
            (seen.count, seen.p50_us, seen.p90_us, seen.p99_us, seen.p999_us),
            (1000, 500, 900, 990, 999)
        );
    }

    #[test]
    fn clocks_that_disagree_do_not_wrap() {
        let mut latency = Latency::new().unwrap();
        latency.between(10, 5);
        latency.between(0, u64::MAX);
        assert_eq!(latency.percentiles().p50_us, 1);
        assert!(latency.percentiles().max_us >= LONGEST_US);
    }
}
