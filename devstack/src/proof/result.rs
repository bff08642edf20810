//! What is kept of a run? One line of JSON.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::oracle::Report;

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// `F12`.
    pub fault: String,
    /// With which choices.
    pub seed: u64,
    /// Of which commit.
    pub commit: String,
    /// On which day, `2026-11-30`.
    pub day: String,
    /// Whether every promise was kept.
    pub kept: bool,
    /// The first promises that were not, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events that came to clients.
    pub delivered: u64,
    /// Of those: published before the connection was there on which they came.
    pub replayed: u64,
    /// Events that came again.
    pub doubled: u64,
    /// Acknowledged events that a client never got, or the log has not.
    pub lost: u64,
    /// Times a client was told `reset`.
    pub resets: u64,
    /// Connections that clients had.
    pub connections: u64,
    /// Messages at endpoints of webhooks.
    pub messages: u64,
    /// From the end of the fault until three new events, one for each tenant, were with everyone.
    pub heal_ms: u64,
    /// The longest time an event took to be acknowledged.
    pub slowest_ack_ms: u64,
    /// The longest time from the first attempt to publish an event until somebody had it.
    pub slowest_delivery_ms: u64,
    /// How long the workload ran.
    pub load_ms: u64,
    /// How long the run took in all.
    pub took_ms: u64,
}

/// Findings that a line keeps.
const FINDINGS: usize = 5;

impl RunResult {
    /// What a report says.
    pub fn of(report: &Report) -> Self {
        Self {
            kept: report.findings.is_empty(),
            findings: report.findings.iter().take(FINDINGS).map(ToString::to_string).collect(),
            acknowledged: report.acknowledged,
            delivered: report.delivered,
            replayed: report.replayed,
            doubled: report.doubled,
            lost: report.lost,
            resets: report.resets,
            connections: report.connections,
            messages: report.messages,
            ..Self::default()
        }
    }

    /// Adds it to a file of such lines.
    pub fn append_to(&self, file: &Path) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(file, "{}", serde_json::to_string(self)?)
    }
}

/// The runs of a file, oldest first; none when there is no file.
pub fn read(file: &Path) -> io::Result<Vec<RunResult>> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.jsonl");
        assert_eq!(read(&file).unwrap(), []);
        let one = RunResult { fault: "F1".into(), seed: 7, kept: true, ..RunResult::default() };
        let other = RunResult { findings: vec!["whole: a \"quoted\" line".into()], ..one.clone() };
        one.append_to(&file).unwrap();
        other.append_to(&file).unwrap();
        assert_eq!(read(&file).unwrap(), [one, other]);
    }
}
