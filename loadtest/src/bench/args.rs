//! What can be typed after `carillon-loadtest bench`?

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

/// `carillon-loadtest bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A few minutes instead of twenty: fewer and shorter rounds, figures that scatter more.
    #[arg(long)]
    pub(super) quick: bool,
    /// Only these measures, for example `B1,B3`.
    #[arg(long, value_delimiter = ',', value_name = "MEASURES", ignore_case = true)]
    pub(super) only: Vec<Measure>,
    /// Folder for bench.json and bench.svg, and for the private stack's data while it runs.
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// The program that starts a stack; without it `carillon` beside this one.
    #[arg(long, value_name = "FILE")]
    pub(super) carillon: Option<PathBuf>,
    /// The floor of B5; without it `examples/append_floor` beside this program.
    #[arg(long, value_name = "FILE")]
    pub(super) append_floor: Option<PathBuf>,
    /// The loader and the floor of N1; without it `examples/inbox_floor` beside this program.
    #[arg(long, value_name = "FILE")]
    pub(super) inbox_floor: Option<PathBuf>,
    /// The applications of N3; without it `examples/outbox_rate` beside this program.
    #[arg(long, value_name = "FILE")]
    pub(super) outbox_rate: Option<PathBuf>,
    /// The archive of N4; without it `examples/archive_rate` beside this program.
    #[arg(long, value_name = "FILE")]
    pub(super) archive_rate: Option<PathBuf>,
    /// What is measured, as the report names it.
    #[arg(long, default_value = "unknown", value_name = "TEXT")]
    pub(super) commit: String,
}

/// What can be measured, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
pub(super) enum Measure {
    /// CPU per delivery, one frame a write.
    #[value(name = "B1")]
    B1,
    /// CPU per delivery, coalesced.
    #[value(name = "B2")]
    B2,
    /// Memory of connections at rest.
    #[value(name = "B3")]
    B3,
    /// Latency under load.
    #[value(name = "B4")]
    B4,
    /// Durable events per second.
    #[value(name = "B5")]
    B5,
    /// Connects and resumes per second.
    #[value(name = "B6")]
    B6,
    /// How B1 grows with sockets and tenants.
    #[value(name = "B7")]
    B7,
    /// Clients that come and go.
    #[value(name = "B8")]
    B8,
    /// A node killed.
    #[value(name = "B9")]
    B9,
    /// Events compressed once for all.
    #[value(name = "C1")]
    C1,
    /// Signals beside events.
    #[value(name = "P1")]
    P1,
    /// Publishing into the log by frame beside requests.
    #[value(name = "P2")]
    P2,
    /// A crowd that sees who is there.
    #[value(name = "P3")]
    P3,
    /// Somebody who comes among very many.
    #[value(name = "P4")]
    P4,
    /// Devices that acknowledge once a second.
    #[value(name = "P5")]
    P5,
    /// Inboxes of very many people.
    #[value(name = "N1")]
    N1,
    /// Webhook messages per second.
    #[value(name = "N2")]
    N2,
    /// Events per second out of applications' transactions.
    #[value(name = "N3")]
    N3,
    /// Lines per second into the archive.
    #[value(name = "N4")]
    N4,
    /// What Redis pays for an announcement, by gateways.
    #[value(name = "R1")]
    R1,
}

impl Measure {
    /// In the order they run: memory first, while the gateway is fresh.
    pub(super) const IN_TURN: [Self; 20] = [
        Self::B3,
        Self::B1,
        Self::B2,
        Self::C1,
        Self::R1,
        Self::P1,
        Self::B7,
        Self::B4,
        Self::B5,
        Self::P2,
        Self::B6,
        Self::P3,
        Self::P5,
        Self::B8,
        Self::N1,
        Self::N2,
        Self::N3,
        Self::N4,
        Self::B9,
        Self::P4,
    ];

    /// What the table says for it.
    pub(super) fn name(self) -> &'static str {
        [
            "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "C1", "P1", "P2", "P3", "P4", "P5", "N1",
            "N2", "N3", "N4", "R1",
        ][self as usize]
    }

    /// What a line says of which nothing could be measured.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::B1 => "CPU per delivery, one frame a write",
            Self::B2 => "CPU per delivery, coalesced",
            Self::B3 => "memory of a connection at rest",
            Self::B4 => "latency under load",
            Self::B5 => "durable events per second",
            Self::B6 => "connects and resumes per second",
            Self::B7 => "growth with sockets and tenants",
            Self::B8 => "clients that come and go",
            Self::B9 => "a node killed",
            Self::C1 => "events compressed once for all",
            Self::P1 => "signals beside events",
            Self::P2 => "publishing into the log by frame",
            Self::P3 => "a crowd that sees who is there",
            Self::P4 => "somebody who comes among very many",
            Self::P5 => "devices that acknowledge once a second",
            Self::N1 => "inboxes of very many people",
            Self::N2 => "webhook messages per second",
            Self::N3 => "events per second out of transactions",
            Self::N4 => "lines per second into the archive",
            Self::R1 => "an announcement by gateways",
        }
    }

    /// How many gateways its stack has: one that dies needs another, and none has more than 20,000 sockets.
    pub(super) fn gateways(self) -> u16 {
        match self {
            Self::B9 => 2,
            Self::P4 => 6,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_runs_once_under_its_name() {
        let mut all = Measure::IN_TURN;
        all.sort();
        assert_eq!(all.as_slice(), Measure::value_variants());
        for measure in all {
            let typed = measure.to_possible_value().map(|value| value.get_name().to_owned());
            assert_eq!(typed.as_deref(), Some(measure.name()));
        }
    }
}
