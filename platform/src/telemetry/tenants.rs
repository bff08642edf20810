//! What do single tenants use, in a bounded number of series?
//!
//! Tenants are many and come and go, so `/metrics` never names one. `/metrics/tenants` does, for as many as there are
//! places; whoever has used most when a place is free gets it and keeps it until it is gone, and all others are summed
//! as `other`. So no counter ever goes back, whoever has a place.

use super::metrics::{Metric, MetricKind};
use carillon_protocol::TenantId;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What `other` is called; no tenant's name has a capital letter.
const OTHER: &str = "OTHER";

/// The board on which tenants stand.
#[derive(Debug)]
pub struct TenantBoard<const N: usize> {
    metrics: &'static [Metric; N],
    places: usize,
    /// What was read of each tenant last.
    last: BTreeMap<TenantId, [u64; N]>,
    /// Those with a place, and what they have used since they got it.
    board: BTreeMap<TenantId, [u64; N]>,
    other: [u64; N],
}

impl<const N: usize> TenantBoard<N> {
    /// A board of so many places. The first metric is the one by which places are given.
    pub fn new(metrics: &'static [Metric; N], places: usize) -> Self {
        Self { metrics, places, last: BTreeMap::new(), board: BTreeMap::new(), other: [0; N] }
    }

    /// Takes in what each tenant has now: gauges as they are, counters since the tenant was first seen. Tenants that are
    /// not among them are gone.
    pub fn read(&mut self, now: impl IntoIterator<Item = (TenantId, [u64; N])>) {
        let now: BTreeMap<TenantId, [u64; N]> = now.into_iter().collect();
        self.board.retain(|tenant, _| now.contains_key(tenant));
        self.give_places(&now);
        for index in 0..self.metrics.len() {
            let is_gauge = self.metrics[index].kind == MetricKind::Gauge;
            if is_gauge {
                self.other[index] = 0;
            }
            for (tenant, values) in &now {
                let before = self.last.get(tenant).map_or(0, |before| before[index]);
                // A tenant that left and came back counts from nought.
                let grown = values[index].checked_sub(before).unwrap_or(values[index]);
                match (self.board.get_mut(tenant), is_gauge) {
                    (Some(row), true) => row[index] = values[index],
                    (Some(row), false) => row[index] += grown,
                    (None, true) => self.other[index] += values[index],
                    (None, false) => self.other[index] += grown,
                }
            }
        }
        self.last = now;
    }

    /// The series, in Prometheus's text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (index, Metric { name, kind, what, .. }) in self.metrics.iter().enumerate() {
            let kind = if *kind == MetricKind::Gauge { "gauge" } else { "counter" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}");
            for (tenant, row) in &self.board {
                let _ = writeln!(text, "{name}{{tenant=\"{tenant}\"}} {}", row[index]);
            }
            let _ = writeln!(text, "{name}{{tenant=\"{OTHER}\"}} {}", self.other[index]);
        }
        text
    }

    fn give_places(&mut self, now: &BTreeMap<TenantId, [u64; N]>) {
        let free = self.places.saturating_sub(self.board.len());
        let mut waiting: Vec<_> =
            now.iter().filter(|(tenant, _)| !self.board.contains_key(*tenant)).collect();
        waiting.sort_by_key(|(_, values)| std::cmp::Reverse(values.first().copied()));
        for (tenant, _) in waiting.into_iter().take(free) {
            self.board.insert(tenant.clone(), [0; N]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: [Metric; 2] = [
        Metric {
            name: "carillon_tenant_connections",
            kind: MetricKind::Gauge,
            labels: "tenant",
            what: "open",
        },
        Metric {
            name: "carillon_tenant_events_total",
            kind: MetricKind::Counter,
            labels: "tenant",
            what: "events",
        },
    ];

    fn read(board: &mut TenantBoard<2>, rows: &[(&str, u64, u64)]) -> Vec<String> {
        board.read(
            rows.iter().map(|(tenant, open, events)| (TenantId::new(tenant).unwrap(), [*open, *events])),
        );
        let text = board.render();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replace("carillon_tenant_", ""))
            .collect()
    }

    #[test]
    fn the_largest_have_places_and_the_others_are_summed() {
        let mut board = TenantBoard::new(&METRICS, 2);
        let lines = read(&mut board, &[("a", 1, 10), ("b", 5, 20), ("c", 9, 30), ("d", 2, 40)]);
        assert_eq!(
            lines[..3],
            ["connections{tenant=\"b\"} 5", "connections{tenant=\"c\"} 9", "connections{tenant=\"OTHER\"} 3"]
        );
        assert_eq!(
            lines[3..],
            [
                "events_total{tenant=\"b\"} 20",
                "events_total{tenant=\"c\"} 30",
                "events_total{tenant=\"OTHER\"} 50"
            ]
        );
    }

    #[test]
    fn no_counter_goes_back_when_places_change() {
        let mut board = TenantBoard::new(&METRICS, 1);
        read(&mut board, &[("a", 9, 10), ("b", 1, 5)]);
        let lines = read(&mut board, &[("a", 1, 12), ("b", 99, 8)]);
        assert_eq!(
            lines[2..],
            ["events_total{tenant=\"a\"} 12", "events_total{tenant=\"OTHER\"} 8"],
            "a keeps its place"
        );
        let lines = read(&mut board, &[("b", 99, 9), ("c", 1, 1)]);
        assert_eq!(
            lines[2..],
            ["events_total{tenant=\"b\"} 1", "events_total{tenant=\"OTHER\"} 9"],
            "b has a place from now on"
        );
        let lines = read(&mut board, &[("b", 1, 10), ("a", 1, 3)]);
        assert_eq!(
            lines[2..],
            ["events_total{tenant=\"b\"} 2", "events_total{tenant=\"OTHER\"} 12"],
            "a came back and counts from nought"
        );
    }
}
