//! B5: how many durable events each second does the publisher take, beside the bare append statement?

use std::path::Path;
use std::time::Duration;

use super::Suite;
use super::args::Measure;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use crate::failure::Failure;

/// Numbers of tenants.
const TENANTS: [u32; 2] = [1, 64];

/// One way to hand events in.
struct Request {
    /// In each request.
    events: u32,
    words: &'static str,
    /// Keep-alive connections that publish at the same time.
    connections: u32,
    /// Why as many.
    why: &'static str,
    /// The share of the floor it should reach.
    goal: Goal,
}

/// The publisher commits what came together together, so single events need many connections to fill its batches.
const REQUESTS: [Request; 2] = [
    Request {
        events: 1,
        words: "one in a request",
        connections: 512,
        why: " (64 cannot fill the batches of the group commit)",
        goal: Goal::RatioAtLeast(0.15),
    },
    Request {
        events: 100,
        words: "100 in a request",
        connections: 64,
        why: "",
        goal: Goal::RatioAtLeast(0.60),
    },
];
/// Shapes in which the bare statement is tried: events in a batch, and writers. The best one is the floor.
const STATEMENTS: [(u32, u32); 3] = [(100, 2), (500, 2), (500, 4)];
/// What a run takes at most besides its seconds.
const AROUND: Duration = Duration::from_secs(120);

/// B5
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    for tenants in TENANTS {
        let mut best = (0.0, STATEMENTS[0]);
        for shape in STATEMENTS {
            let rate = statement(suite, shape, tenants).await?;
            if rate > best.0 {
                best = (rate, shape);
            }
        }
        let seconds = suite.plan.durable_seconds;
        let limit = AROUND + Duration::from_secs(seconds.into());
        let mut reports = Vec::new();
        for request in &REQUESTS {
            reports.push(suite.runner.measure(Measure::B5, &request.command(tenants, seconds), limit).await?);
        }
        // Once more behind it: a floor from the beginning only would not have seen the tables grow.
        let again = statement(suite, best.1, tenants).await?;
        let (floor, (batch, writers)) = ((best.0 + again) / 2.0, best.1);
        for (Request { words, connections, why, goal, .. }, report) in REQUESTS.iter().zip(&reports) {
            let rate = number(report, "/runs/0/events_per_second")?;
            let p99_ms = number(report, "/runs/0/post_to_ack/p99_us")? / 1_000.0;
            let plural = if tenants == 1 { "" } else { "s" };
            let what = format!("durable events, {words}, {tenants} tenant{plural}");
            let note = format!(
                "{connections} connections{why}, p99 {p99_ms:.1} ms; floor: {batch} a statement, {writers} writers, \
                 no ids, {:.0} before and {again:.0}/s after",
                best.0
            );
            let row = Row::new(Measure::B5, what, Unit::PerSecond, rate).floor(floor).goal(*goal).note(note);
            suite.rows.push(row);
        }
    }
    Ok(())
}

impl Request {
    fn command(&self, tenants: u32, seconds: u32) -> String {
        let Self { events, connections, .. } = self;
        format!(
            "publish --connections {connections} --batch {events} --tenants {tenants} --seconds {seconds}"
        )
    }
}

/// Events for each second of the statement alone.
async fn statement(suite: &mut Suite, (batch, writers): (u32, u32), tenants: u32) -> Result<f64, Failure> {
    let seconds = suite.plan.statement_seconds;
    let command = command(&suite.append_floor, suite.database_url()?, [batch, writers, tenants, seconds]);
    let limit = AROUND + Duration::from_secs(seconds.into());
    let (right, said) = suite.runner.output(Measure::B5, &command, limit).await?;
    let rate = said.split_whitespace().next().and_then(|word| word.parse().ok());
    rate.filter(|_| right).ok_or_else(|| Failure::Usage(format!("the bare statement said {said:?}")))
}

fn command(program: &Path, database_url: &str, numbers: [u32; 4]) -> Vec<String> {
    let mut command = vec![program.display().to_string(), database_url.to_owned()];
    command.extend(numbers.iter().map(u32::to_string));
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn each_request_is_a_publish_run_of_its_own() {
        for request in &REQUESTS {
            let typed = format!("carillon-loadtest {}", request.command(64, 8));
            let Command::Publish(args) = Cli::parse_from(typed.split(' ')).command else { panic!("{typed}") };
            assert_eq!((args.batches, args.connections), (vec![request.events], request.connections));
            assert_eq!((args.tenants, args.seconds), (64, 8));
        }
    }

    #[test]
    fn the_statement_is_asked_for_with_all_its_numbers() {
        let command = command(Path::new("append_floor"), "postgres://x", [100, 2, 64, 4]);
        assert_eq!(command.join(" "), "append_floor postgres://x 100 2 64 4");
    }
}
