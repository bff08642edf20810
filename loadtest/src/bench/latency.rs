//! B4: how long does an event take from its commit to the sockets, at several shares of the most that can be carried?
//!
//! Stamped by one clock outside Carillon: `ack to socket` begins when the acknowledgement of the commit is back, so it
//! leaves out the way of that answer; `post to socket` begins before the request leaves, so it includes the request and
//! the commit. The truth lies between. The floor is the same way when nothing else is to do.

use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::curves::Level;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use super::statistics::Search;
use crate::failure::Failure;

/// Connections, and over how many tenants they are spread.
const CROWD: &str = "--connections 500 --tenants 50 --publishers 64";
/// Events for each second when nothing is to do.
const CALM: f64 = 10.0;
/// The first trial, and the highest.
const TRIALS: (f64, f64) = (500.0, 40_000.0);
/// Trials between the highest rate kept up with and the lowest not kept up with.
const HALVINGS: u32 = 3;
/// Keeping up: of the offered events, at least this share was acknowledged in time …
const REACHED: f64 = 0.97;
/// … and 99 of 100 deliveries came at most this many ms after their request was due.
const PROMPT_MS: f64 = 250.0;
/// Load levels, in percent of the maximum.
const LEVELS: [u32; 3] = [10, 50, 80];
/// The level that is judged, and p99 there.
const JUDGED: (u32, Goal) = (50, Goal::AtMost(10.0));
/// What a trial takes at most besides its seconds.
const AROUND: Duration = Duration::from_secs(200);

/// B4
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    let calm = at(suite, CALM, suite.plan.level_seconds).await?;
    let floor_ms = percentile(&calm, "ack_to_socket", "p99_us")?;
    suite.curves.levels.push(level(0, CALM, &calm)?);

    let mut search = Search::new(TRIALS.0, TRIALS.1, HALVINGS);
    while let Some(rate) = search.next() {
        let kept_up = keeps_up(rate, &at(suite, rate, suite.plan.trial_seconds).await?)?;
        search.tell(kept_up);
    }
    let most = search.highest().ok_or_else(|| Failure::Usage("no rate was kept up with".into()))?;
    let note =
        format!("{:.0} % acknowledged in time, p99 post to socket ≤ {PROMPT_MS:.0} ms", REACHED * 100.0);
    let what = "most events, one in a request, 500 connections of 50 tenants";
    suite.rows.push(Row::new(Measure::B4, what, Unit::PerSecond, most).note(note));

    for percent in LEVELS {
        let rate = most * f64::from(percent) / 100.0;
        let report = at(suite, rate, suite.plan.level_seconds).await?;
        let level = level(percent, rate, &report)?;
        let note = format!(
            "p50 {:.2}, p90 {:.2}, p99.9 {:.2} ms; post to socket p99 {:.2} ms; {rate:.0} events/s",
            level.p50_ms,
            level.p90_ms,
            level.p999_ms,
            percentile(&report, "post_to_socket", "p99_us")?
        );
        let what = format!("acknowledgement to socket, p99, at {percent} % of that");
        let row = Row::new(Measure::B4, what, Unit::Milliseconds, level.p99_ms).floor(floor_ms).note(note);
        suite.rows.push(if percent == JUDGED.0 { row.goal(JUDGED.1) } else { row });
        suite.curves.levels.push(level);
    }
    Ok(())
}

async fn at(suite: &mut Suite, rate: f64, seconds: u32) -> Result<Value, Failure> {
    let args = format!("fanout {CROWD} --rate {rate} --seconds {seconds}");
    let limit = AROUND + Duration::from_secs(seconds.into());
    suite.runner.measure(Measure::B4, &args, limit).await
}

/// Whether a system keeps up with a rate.
fn keeps_up(offered: f64, report: &Value) -> Result<bool, Failure> {
    let reached = number(report, "/events_per_second")?;
    let late =
        percentile(report, "plan_to_post", "p99_us")? + percentile(report, "post_to_socket", "p99_us")?;
    Ok(reached >= offered * REACHED && late <= PROMPT_MS)
}

/// In ms.
fn percentile(report: &Value, of: &str, name: &str) -> Result<f64, Failure> {
    number(report, &format!("/{of}/{name}")).map(|us| us / 1_000.0)
}

fn level(percent: u32, events_per_second: f64, report: &Value) -> Result<Level, Failure> {
    let at = |name| percentile(report, "ack_to_socket", name);
    Ok(Level {
        percent,
        events_per_second,
        p50_ms: at("p50_us")?,
        p90_ms: at("p90_us")?,
        p99_ms: at("p99_us")?,
        p999_ms: at("p999_us")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_up_is_being_in_time_and_prompt() {
        let report = |reached: f64, late_us: u32, way_us: u32| {
            serde_json::json!({"events_per_second": reached, "plan_to_post": {"p99_us": late_us},
                "post_to_socket": {"p99_us": way_us}})
        };
        assert!(keeps_up(1000.0, &report(980.0, 1_000, 20_000)).unwrap());
        assert!(!keeps_up(1000.0, &report(950.0, 1_000, 20_000)).unwrap(), "not in time");
        assert!(
            !keeps_up(1000.0, &report(980.0, 240_000, 20_000)).unwrap(),
            "a queue before the request counts"
        );
        assert!(keeps_up(1000.0, &serde_json::json!({})).is_err());
    }
}
