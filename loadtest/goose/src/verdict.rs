//! Was the run right, and what do people and machines read about it?

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use goose::prelude::*;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::ledger::{Counts, Ledger};

/// The run, judged.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    tool: &'static str,
    /// Nothing happened that must not, and something happened at all.
    pub(crate) ok: bool,
    /// Names of the counts that make the run a failure.
    faults: Vec<&'static str>,
    #[serde(flatten)]
    counts: Counts,
    failed_requests: u64,
    times: BTreeMap<&'static str, Times>,
    /// What goose counted, by method and name.
    requests: BTreeMap<String, Requests>,
}

#[derive(Debug, Serialize)]
struct Times {
    count: u64,
    median_ms: u64,
    p95_ms: u64,
    p99_ms: u64,
    max_ms: u64,
}

#[derive(Debug, Serialize)]
struct Requests {
    succeeded: u64,
    failed: u64,
}

impl Verdict {
    /// Judges a run from our counts and those of goose.
    pub(crate) fn of(ledger: &Ledger, metrics: &GooseMetrics) -> Self {
        let requests: BTreeMap<String, Requests> = metrics
            .requests
            .iter()
            .map(|(name, request)| {
                (
                    name.to_string(),
                    Requests { succeeded: request.success_count as u64, failed: request.fail_count as u64 },
                )
            })
            .collect();
        let failed_requests = requests.values().map(|requests| requests.failed).sum();
        let counts = ledger.counts();
        let faults = faults(&counts, failed_requests);
        let times = ledger.times().iter().map(|(name, histogram)| (*name, Times::of(histogram))).collect();
        Self { tool: "goose", ok: faults.is_empty(), faults, counts, failed_requests, times, requests }
    }

    /// Writes `goose-verdict.json` and `goose.html` into the folder. goose's own page would load a script from elsewhere.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::write(folder.join("goose-verdict.json"), serde_json::to_vec_pretty(self)?)?;
        std::fs::write(folder.join("goose.html"), self.page())
    }

    fn page(&self) -> String {
        let mut rows = vec![
            ("acknowledged".to_owned(), self.counts.acknowledged.to_string()),
            ("delivered".into(), self.counts.delivered.to_string()),
            ("came back with the cursor".into(), self.counts.comebacks.to_string()),
        ];
        let zero = must_be_zero(&self.counts, self.failed_requests);
        rows.extend(zero.map(|(name, count)| (name.replace('_', " "), count.to_string())));
        rows.extend(self.times.iter().map(|(name, times)| (format!("{name}, ms"), times.to_string())));
        rows.extend(self.requests.iter().map(|(name, Requests { succeeded, failed })| {
            (name.clone(), format!("{succeeded} succeeded, {failed} failed"))
        }));
        let row =
            |(name, value): &(String, String)| format!("<tr><td>{}<td>{}\n", escaped(name), escaped(value));
        let rows: String = rows.iter().map(row).collect();
        let result =
            if self.ok { "passed".to_owned() } else { format!("failed: {}", self.faults.join(", ")) };
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>goose: {result}</title>
<style>body{{font:15px/1.45 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}}
table{{border-collapse:collapse;width:100%}}td{{padding:.3em .8em .3em 0;border-bottom:1px solid #d9dee3}}</style>
<h1>goose {result}</h1>
<table>
{rows}</table></html>
"
        )
    }
}

/// Counts that fail a run when they are above 0.
fn must_be_zero(counts: &Counts, failed_requests: u64) -> impl Iterator<Item = (&'static str, u64)> {
    let Counts { gaps, repeats, missing, resets, refused, broken, disordered, begun, finished, .. } = *counts;
    let all = [
        ("gaps", gaps),
        ("repeats", repeats),
        ("missing", missing),
        ("resets", resets),
        ("refused", refused),
        ("broken", broken),
        ("disordered", disordered),
        ("unfinished", begun.saturating_sub(finished)),
        ("failed_requests", failed_requests),
    ];
    all.into_iter()
}

/// Names of what fails the run: a fault that happened, or something without which nothing was tested.
fn faults(counts: &Counts, failed_requests: u64) -> Vec<&'static str> {
    let above = must_be_zero(counts, failed_requests).filter(|(_, count)| *count > 0);
    let needed = [
        ("acknowledged", counts.acknowledged),
        ("delivered", counts.delivered),
        ("comebacks", counts.comebacks),
    ];
    above.chain(needed.into_iter().filter(|(_, count)| *count == 0)).map(|(name, _)| name).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Times {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            median_ms: histogram.value_at_quantile(0.5),
            p95_ms: histogram.value_at_quantile(0.95),
            p99_ms: histogram.value_at_quantile(0.99),
            max_ms: histogram.max(),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, median_ms, p95_ms, p99_ms, max_ms } = self;
        write!(f, "median {median_ms}, p95 {p95_ms}, p99 {p99_ms}, max {max_ms} ({count})")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { acknowledged, delivered, comebacks, gaps, repeats, missing, .. } = self.counts;
        writeln!(f, "acknowledged {acknowledged}, delivered {delivered}, comebacks {comebacks}")?;
        writeln!(f, "gaps {gaps}, repeats {repeats}, missing {missing}")?;
        for (name, times) in &self.times {
            writeln!(f, "{name}, ms: {times}")?;
        }
        if self.ok { f.write_str("passed") } else { write!(f, "FAILED: {}", self.faults.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Happening;
    use crate::sequence::Sequence;

    /// A ledger of a run in which everything came once.
    fn busy() -> Ledger {
        let ledger = Ledger::default();
        ledger.acknowledge("acme", 3, 7);
        ledger.count(Happening::Begun);
        ledger.conclude(&Sequence { cursor: 7, events: 3, gaps: 0, repeats: 0 }, 0);
        ledger.count(Happening::Comeback);
        ledger
    }

    fn faults_after(spoil: impl Fn(&Ledger)) -> Vec<&'static str> {
        let ledger = busy();
        spoil(&ledger);
        let verdict = Verdict::of(&ledger, &GooseMetrics::default());
        assert_eq!(verdict.ok, verdict.faults.is_empty());
        assert!(verdict.page().contains(if verdict.ok { "goose passed" } else { "goose failed" }));
        verdict.faults
    }

    #[test]
    fn a_run_in_which_everything_came_once_is_right() {
        assert_eq!(faults_after(|_| ()), [""; 0]);
    }

    #[test]
    fn a_run_in_which_nothing_happened_is_a_failure() {
        assert_eq!(faults(&Counts::default(), 0), ["acknowledged", "delivered", "comebacks"]);
    }

    #[test]
    fn each_fault_fails_the_run_under_its_own_name() {
        let seen = |gaps, repeats| Sequence { cursor: 9, events: 1, gaps, repeats };
        assert_eq!(faults_after(|ledger| ledger.conclude(&seen(1, 0), 0)), ["gaps"]);
        assert_eq!(faults_after(|ledger| ledger.conclude(&seen(0, 1), 0)), ["repeats"]);
        assert_eq!(faults_after(|ledger| ledger.conclude(&seen(0, 0), 1)), ["missing"]);
        assert_eq!(faults_after(|ledger| ledger.count(Happening::Reset)), ["resets"]);
        assert_eq!(faults_after(|ledger| ledger.count(Happening::Refused)), ["refused"]);
        assert_eq!(faults_after(|ledger| ledger.count(Happening::Broken)), ["broken"]);
        assert_eq!(faults_after(|ledger| ledger.count(Happening::Disordered)), ["disordered"]);
        assert_eq!(faults_after(|ledger| ledger.count(Happening::Begun)), ["unfinished"]);
        assert_eq!(faults(&busy().counts(), 1), ["failed_requests"]);
    }
}
