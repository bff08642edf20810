//! How fast, how large and how right is a running Carillon, seen from outside?
//!
//! One process, thousands of sockets. `fanout` checks every seq of every connection while it measures; `idle` weighs
//! connections that do nothing; `publish` counts durable events; `bench` runs all of them beside their floors. Depends on
//! the protocol and the network, nothing else.

mod announce;
mod bench;
mod cli;
mod clock;
mod connect;
mod crowd;
mod failure;
mod fanout;
mod feed;
mod floor;
mod glance;
mod http;
mod idle;
mod inbox;
mod inflate;
mod jitter;
mod kill;
mod latency;
mod ledger;
mod ops;
mod peer;
mod people;
mod procfs;
mod publish;
mod reader;
mod scale;
mod slow;
mod socket;
mod table;
mod target;
mod webhooks;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::table::Table;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Fanout(args) => fanout::run(args).and_then(|report| say(&report, cli.json)),
        Command::Idle(args) => idle::run(args).and_then(|report| say(&report, cli.json)),
        Command::Publish(args) => publish::run(args).and_then(|report| say(&report, cli.json)),
        Command::Floor(args) => floor::run(args).and_then(|report| say(&report, cli.json)),
        Command::Bench(args) => bench::run(args).and_then(|report| say(&report, cli.json)),
        Command::Connect(args) => connect::run(args).and_then(|report| say(&report, cli.json)),
        Command::Jitter(args) => jitter::run(args).and_then(|report| say(&report, cli.json)),
        Command::Kill(args) => kill::run(args).and_then(|report| say(&report, cli.json)),
        Command::Slow(args) => slow::run(args).and_then(|report| say(&report, cli.json)),
        Command::Signals(args) => people::signals(args).and_then(|report| say(&report, cli.json)),
        Command::Durable(args) => people::durable(args).and_then(|report| say(&report, cli.json)),
        Command::Presence(args) => people::presence(args).and_then(|report| say(&report, cli.json)),
        Command::Acks(args) => people::acks(args).and_then(|report| say(&report, cli.json)),
        Command::Watcher(args) => people::watcher(args).and_then(|report| say(&report, cli.json)),
        Command::Inbox(args) => inbox::run(args).and_then(|report| say(&report, cli.json)),
        Command::Webhooks(args) => webhooks::run(args).and_then(|report| say(&report, cli.json)),
        Command::WatcherPart(args) => people::watcher_part(args).map(|()| true),
        Command::CrowdPart => crowd::play().map(|()| true),
        Command::BareWelcomer => connect::answer_bare().map(|()| true),
        Command::Announce(args) => announce::run(args).and_then(|report| say(&report, cli.json)),
        Command::Scale(args) => scale::run(args).and_then(|report| say(&report, cli.json)),
        Command::Peer(args) => peer::run(args).and_then(|report| say(&report, cli.json)),
        Command::BareWriter(args) => floor::write_bare(args).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            // If stderr is closed too there is nobody left to tell; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "carillon-loadtest: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What a measurement found.
trait Report: Serialize {
    /// The figures as people read them.
    fn table(&self) -> Table;
    /// Whether everything the server promised was kept.
    fn is_right(&self) -> bool;
}

fn say(report: &impl Report, json: bool) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", report.table())?;
    }
    Ok(report.is_right())
}
