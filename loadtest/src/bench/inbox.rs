//! N1: how soon do people have their inbox, with very many people, notices and marks stored?

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use crate::failure::Failure;
use crate::table::grouped;

/// Requests a second.
const RATE: u32 = 500;
/// What is asked for, its name in the reports, and its p99 in ms.
const KINDS: [(&str, &str, f64); 3] = [
    ("how much is unread", "unread", 2.0),
    ("a list of twenty", "list", 3.0),
    ("mark everything as read", "read_all", 3.0),
];
/// The loader takes some minutes on a slow disk.
const LOADED: Duration = Duration::from_secs(900);
/// What a run takes at most besides its seconds.
const AROUND: Duration = Duration::from_secs(120);

/// N1
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    let (people, notices, marks) = suite.plan.inboxes;
    let load = command(&suite.inbox_floor, suite.database_url()?, "load", &[people, notices, marks]);
    let (is_loaded, said) = suite.runner.output(Measure::N1, &load, LOADED).await?;
    if !is_loaded {
        return Err(Failure::Usage(format!("the loader said {said:?}")));
    }
    let seconds = suite.plan.inbox_seconds;
    let before = statements(suite, people, seconds).await?;
    let args = format!("inbox --people {people} --rate {RATE} --seconds {seconds}");
    let report = suite.runner.measure(Measure::N1, &args, limit(seconds)).await?;
    let after = statements(suite, people, seconds).await?;
    for (what, name, goal) in KINDS {
        let ms = |report: &Value, part: &str| -> Result<f64, Failure> {
            Ok(number(report, &format!("/{name}/{part}_us"))? / 1_000.0)
        };
        let floor =
            |part: &str| -> Result<f64, Failure> { Ok((ms(&before, part)? + ms(&after, part)?) / 2.0) };
        let what = format!("p99 of an inbox, {what}, {RATE} requests/s");
        let note = format!(
            "{} people, {} notices, {} marks; p50 {:.2} ms beside {:.2} ms of the statements alone",
            grouped(people.into()),
            grouped(notices.into()),
            grouped(marks.into()),
            ms(&report, "p50")?,
            floor("p50")?
        );
        let row = Row::new(Measure::N1, what, Unit::Milliseconds, ms(&report, "p99")?);
        suite.rows.push(row.floor(floor("p99")?).goal(Goal::AtMost(goal)).note(note));
    }
    Ok(())
}

/// The same statements alone.
async fn statements(suite: &mut Suite, people: u32, seconds: u32) -> Result<Value, Failure> {
    let command = command(&suite.inbox_floor, suite.database_url()?, "measure", &[people, RATE, seconds]);
    let (right, said) = suite.runner.output(Measure::N1, &command, limit(seconds)).await?;
    let report = serde_json::from_str(&said).ok().filter(|_| right);
    report.ok_or_else(|| Failure::Usage(format!("the bare statements said {said:?}")))
}

/// Three kinds, each after a second of warming up.
fn limit(seconds: u32) -> Duration {
    AROUND + 3 * Duration::from_secs(u64::from(seconds) + 1)
}

fn command(program: &Path, database_url: &str, what: &str, numbers: &[u32]) -> Vec<String> {
    let mut command = vec![program.display().to_string(), database_url.to_owned(), what.to_owned()];
    command.extend(numbers.iter().map(u32::to_string));
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_loader_and_the_requests_are_asked_for_with_all_their_numbers() {
        let load = command(Path::new("inbox_floor"), "postgres://x", "load", &[10, 20, 30]);
        assert_eq!(load.join(" "), "inbox_floor postgres://x load 10 20 30");
        let typed = format!("carillon-loadtest inbox --people 10 --rate {RATE} --seconds 3");
        assert!(matches!(Cli::parse_from(typed.split(' ')).command, Command::Inbox(_)));
    }
}
