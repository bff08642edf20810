//! What does a run with slow readers report?

use serde::Serialize;

use crate::crowd::Gathered;
use crate::crowd::plan::Group;
use crate::feed::Fed;
use crate::latency::Percentiles;
use crate::table::{Table, grouped};

/// Close code: stalled reader.
const STALLED: u16 = 4508;

/// What a report is made of.
pub(super) struct Measured {
    pub(super) fed: Fed,
    pub(super) gathered: Gathered,
    pub(super) rss: Resident,
    pub(super) backlog_reads: u64,
    pub(super) closed_stalled: u64,
    pub(super) lost_cursor_reset: bool,
    pub(super) slow_clients: u64,
}

/// Resident memory of all gateways, in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resident {
    /// At the end of the baseline.
    pub(super) before: u64,
    /// The most in the slow phase.
    pub(super) peak: u64,
    /// The most while the slow ones caught up.
    pub(super) recovery: u64,
    /// After the last client had left.
    pub(super) after: u64,
}

/// What `slow` found. Times in microseconds: publishing (before the commit) to reading, at the clients that always read.
#[derive(Debug, Serialize)]
pub(crate) struct Slow {
    /// Clients, the slow ones included.
    clients: u64,
    /// Acknowledged events.
    events: u64,
    /// For each second.
    events_per_second: f64,
    /// While everybody reads.
    baseline_p50_us: u64,
    /// The same.
    baseline_p99_us: u64,
    /// While some do not.
    slow_p50_us: u64,
    /// The same.
    slow_p99_us: u64,
    /// `slow_p99_us` of `baseline_p99_us`.
    slow_p99_of_baseline: f64,
    /// While they catch up.
    recovery_p50_us: u64,
    /// The same.
    recovery_p99_us: u64,
    /// Resident memory of all gateways at the end of the baseline.
    rss_before_kib: u64,
    /// The most in the slow phase.
    rss_peak_kib: u64,
    /// The most while they caught up.
    rss_recovery_peak_kib: u64,
    /// After the last client had left.
    rss_after_kib: u64,
    /// `rss_peak_kib` without `rss_before_kib`, for each slow client, in bytes; negative when memory shrank.
    rss_growth_per_slow_client_bytes: f64,
    /// Pages of the log the gateways read for connections behind their ring.
    backlog_reads: u64,
    /// Deliveries that were due: each event to every client of its tenant.
    expected: u64,
    /// Of these: how many came.
    delivered: u64,
    /// `expected` without `delivered`.
    missed: u64,
    /// Deliveries that came again.
    duplicates: u64,
    /// Deliveries that came after a later one.
    out_of_order: u64,
    /// Times a client was told that continuity is lost; none should be.
    resets: u64,
    /// Wrong numbers and unexpected frames.
    faults: u64,
    /// Connections the gateways closed with 4508, stalled reader, by their own count. A client that reads nothing does not read
    /// the close frame either: it finds its connection reset.
    closed_stalled: u64,
    /// 1 when a cursor of another life of the log was answered with `reset`, reason `epoch_changed`.
    lost_cursor_reset: u64,
    /// What became of those who read nothing.
    stalled: Outcome,
    /// What became of those who read slowly.
    trickle: Outcome,
    /// What became of the one who was away.
    away: Outcome,
    /// The first faults in words.
    first_faults: Vec<String>,
    #[serde(skip)]
    latency: [Percentiles; 3],
}

impl Slow {
    pub(super) fn new(measured: Measured) -> Self {
        let Measured { fed, gathered, rss, backlog_reads, closed_stalled, lost_cursor_reset, slow_clients } =
            measured;
        let (all, latency) = (gathered.all(), gathered.latency());
        let [baseline, slow, recovery] = latency;
        let grown = (rss.peak as f64 - rss.before as f64) * 1024.0;
        let outcome = |name: &str| Outcome::of(&gathered.group(name));
        Self {
            clients: all.clients,
            events: fed.events,
            events_per_second: fed.events_per_second,
            baseline_p50_us: baseline.p50_us,
            baseline_p99_us: baseline.p99_us,
            slow_p50_us: slow.p50_us,
            slow_p99_us: slow.p99_us,
            slow_p99_of_baseline: slow.p99_us as f64 / baseline.p99_us.max(1) as f64,
            recovery_p50_us: recovery.p50_us,
            recovery_p99_us: recovery.p99_us,
            rss_before_kib: rss.before,
            rss_peak_kib: rss.peak,
            rss_recovery_peak_kib: rss.recovery,
            rss_after_kib: rss.after,
            rss_growth_per_slow_client_bytes: grown / slow_clients.max(1) as f64,
            backlog_reads,
            expected: all.account.expected,
            delivered: all.account.delivered,
            missed: all.account.missed(),
            duplicates: all.account.duplicates,
            out_of_order: all.account.out_of_order,
            resets: all.account.resets,
            faults: all.faults,
            closed_stalled,
            lost_cursor_reset: lost_cursor_reset.into(),
            stalled: outcome("stalled"),
            trickle: outcome("trickle"),
            away: outcome("away"),
            first_faults: gathered.told.clone(),
            latency,
        }
    }
}

/// What became of slow clients of one kind.
#[derive(Debug, Serialize)]
struct Outcome {
    /// How many there are.
    clients: u64,
    /// Deliveries that were due to them.
    expected: u64,
    /// Of these: how many came.
    delivered: u64,
    /// Connections after each one's first.
    reconnects: u64,
    /// Connections lost without their doing.
    lost: u64,
    /// Of these: those who read a close frame with 4508.
    told_stalled: u64,
}

impl Outcome {
    fn of(group: &Group) -> Self {
        Self {
            clients: group.clients,
            expected: group.account.expected,
            delivered: group.account.delivered,
            reconnects: group.connects.saturating_sub(group.clients),
            lost: group.lost,
            told_stalled: group.closed.get(&STALLED).copied().unwrap_or(0),
        }
    }

    fn add_to(&self, name: &str, table: &mut Table) {
        if self.clients == 0 {
            return;
        }
        let Self { clients, expected, delivered, reconnects, lost, told_stalled } = self;
        let got = format!("{clients} clients got {} of {}", grouped(*delivered), grouped(*expected));
        let ended = format!("{lost} connections lost, {told_stalled} of them told 4508");
        table.figure(name, format!("{got}; {reconnects} reconnects, {ended}"));
    }
}

impl crate::Report for Slow {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("{} clients, some of them slow", self.clients));
        table.figure("events", format!("{} ({:.0}/s)", grouped(self.events), self.events_per_second));
        let names = ["others, baseline", "others, some slow", "others, recovery"];
        self.latency.iter().zip(names).for_each(|(latency, name)| latency.add_to(name, &mut table));
        table.figure("p99 of baseline", format!("{:.2}", self.slow_p99_of_baseline));
        let Self { rss_before_kib, rss_peak_kib, rss_recovery_peak_kib, rss_after_kib, .. } = self;
        let steps =
            [rss_before_kib, rss_peak_kib, rss_recovery_peak_kib, rss_after_kib].map(|kib| grouped(*kib));
        table
            .figure("gateways resident", format!("{} KiB (before, peak, recovery, after)", steps.join(", ")));
        table.figure("pages of the log read", grouped(self.backlog_reads));
        table.figure("closed as stalled", grouped(self.closed_stalled));
        self.stalled.add_to("stalled", &mut table);
        self.trickle.add_to("trickle", &mut table);
        self.away.add_to("away", &mut table);
        let delivered = format!("{} of {}", grouped(self.delivered), grouped(self.expected));
        table.figure("delivered to all", delivered);
        table.figure("missed", self.missed);
        table.figure("twice", self.duplicates);
        table.figure("out of order", self.out_of_order);
        table.figure("resets, faults", format!("{}, {}", self.resets, self.faults));
        for fault in &self.first_faults {
            table.figure("", fault);
        }
        let told = if self.lost_cursor_reset == 1 { "told reset" } else { "NOT told reset" };
        table.figure("cursor of another epoch", told);
        table
    }

    fn is_right(&self) -> bool {
        let wrong = [self.missed, self.duplicates, self.out_of_order, self.resets, self.faults];
        wrong.iter().all(|count| *count == 0)
            && self.expected > 0
            && self.delivered == self.expected
            && self.lost_cursor_reset == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_counts_what_came_after_the_first_connection() {
        let mut group = Group { clients: 2, connects: 5, lost: 3, ..Group::default() };
        group.closed = [(4508, 2), (1001, 1)].into();
        let outcome = Outcome::of(&group);
        assert_eq!((outcome.reconnects, outcome.lost, outcome.told_stalled), (3, 3, 2));
        let mut table = Table::default();
        outcome.add_to("stalled", &mut table);
        Outcome::of(&Group::default()).add_to("nobody", &mut table);
        let text = table.to_string();
        assert!(text.contains("2 of them told 4508") && !text.contains("nobody"), "{text}");
    }
}
