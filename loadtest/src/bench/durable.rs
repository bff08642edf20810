//! B5: how many durable events each second does the publisher take, beside the bare append statement?

use std::path::Path;
use std::time::Duration;

use super::Suite;
use super::args::Measure;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use crate::failure::Failure;

/// Connections that publish at the same time.
const CONNECTIONS: u32 = 64;
/// Numbers of tenants.
const TENANTS: [u32; 2] = [1, 64];
/// Events in a request, in words, and the share of the floor it should reach.
const REQUESTS: [(u32, &str, Goal); 2] =
    [(1, "one in a request", Goal::RatioAtLeast(0.15)), (100, "100 in a request", Goal::RatioAtLeast(0.60))];
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
        let args = format!("publish --connections {CONNECTIONS} --tenants {tenants} --seconds {seconds}");
        let limit = AROUND + 2 * Duration::from_secs(seconds.into());
        let report = suite.runner.measure(Measure::B5, &args, limit).await?;
        // Once more behind it: a floor from the beginning only would not have seen the tables grow.
        let again = statement(suite, best.1, tenants).await?;
        let (floor, (batch, writers)) = ((best.0 + again) / 2.0, best.1);
        for (index, (_, words, goal)) in REQUESTS.iter().enumerate() {
            let rate = number(&report, &format!("/runs/{index}/events_per_second"))?;
            let p99_ms = number(&report, &format!("/runs/{index}/post_to_ack/p99_us"))? / 1_000.0;
            let plural = if tenants == 1 { "" } else { "s" };
            let what = format!("durable events, {words}, {tenants} tenant{plural}");
            let note = format!(
                "{CONNECTIONS} connections, p99 {p99_ms:.1} ms; floor: {batch} a statement, {writers} writers, \
                 {:.0} before and {again:.0}/s after",
                best.0
            );
            let row = Row::new(Measure::B5, what, Unit::PerSecond, rate).floor(floor).goal(*goal).note(note);
            suite.rows.push(row);
        }
    }
    Ok(())
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
    use super::*;

    #[test]
    fn the_requests_are_those_of_a_publish_run() {
        // `publish` without --batch measures these, in this order.
        assert_eq!(REQUESTS.map(|(events, ..)| events), crate::publish::USUAL_BATCHES);
    }

    #[test]
    fn the_statement_is_asked_for_with_all_its_numbers() {
        let command = command(Path::new("append_floor"), "postgres://x", [100, 2, 64, 4]);
        assert_eq!(command.join(" "), "append_floor postgres://x 100 2 64 4");
    }
}
