//! B6, B8 and B9: what do connects cost, do clients that come and go get everything, and what if a node dies?

use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use crate::failure::Failure;

/// B6, for each core.
const CONNECTS: Goal = Goal::AtLeast(8_000.0);
/// B8: the share that is delivered, in percent.
const DELIVERED: Goal = Goal::AtLeast(100.0);
/// B8: deliveries that came again.
const DUPLICATES: Goal = Goal::AtMost(0.0);
/// B8: p99 from the begin of a reconnect until everything missed is there, in ms.
const REPLAY: Goal = Goal::AtMost(1_000.0);
/// B9: p99 from the kill until live again, in seconds.
const LIVE_AGAIN: Goal = Goal::AtMost(5.0);
/// B9: range queries for each tenant and node.
const RANGE_QUERIES: Goal = Goal::AtMost(1.0);
/// What a run takes at most besides its seconds: connecting, draining, leaving.
const AROUND: Duration = Duration::from_secs(400);

/// B6
pub(super) async fn connect(suite: &mut Suite) -> Result<(), Failure> {
    let seconds = suite.plan.connect_seconds;
    let limit = AROUND + 4 * Duration::from_secs(seconds.into());
    let report = suite.runner.measure(Measure::B6, &format!("connect --seconds {seconds}"), limit).await?;
    let events = number(&report, "/replay_events")?;
    for (kind, what) in
        [("live", "nothing to replay".into()), ("replay", format!("{events:.0} events to replay"))]
    {
        let of = |name: &str| number(&report, &format!("/{kind}_{name}"));
        let (per_second, p99_ms) = (of("per_second")?, of("p99_us")? / 1_000.0);
        let note =
            format!("per core of the gateway's CPU; {per_second:.0}/s on this machine, p99 {p99_ms:.1} ms");
        let what = format!("authenticated connects, {what}");
        let row = Row::new(Measure::B6, what, Unit::PerSecond, of("per_core")?);
        suite.rows.push(row.floor(of("floor_per_core")?).goal(CONNECTS).note(note));
    }
    Ok(())
}

/// B8
pub(super) async fn jitter(suite: &mut Suite) -> Result<(), Failure> {
    let (clients, seconds) = (suite.plan.clients, suite.plan.jitter_seconds);
    let args = suite.runner.on_stack(&format!("jitter --clients {clients} --seconds {seconds}"));
    let limit = AROUND + Duration::from_secs(seconds.into());
    // What was lost is a result here, with a row of its own.
    let (right, report) = suite.runner.verdict(Measure::B8, &args, limit).await?;
    let of = |name: &str| number(&report, &format!("/{name}"));
    let row = |what: &str, unit, value| Row::new(Measure::B8, what, unit, value);
    let crowd = format!("{clients} clients, each away 2 s in every 15 s, {seconds} s");
    let delivered = row(&format!("delivered, {crowd}"), Unit::Percent, of("delivered_share")? * 100.0);
    let note = format!(
        "{:.0} of {:.0}; {:.0} out of order, {:.0} resets, {:.0} faults{}",
        of("delivered")?,
        of("expected")?,
        of("out_of_order")?,
        of("resets")?,
        of("faults")?,
        first_fault(&report)
    );
    suite.rows.push(delivered.goal(DELIVERED).broken(!right).note(note));
    suite.rows.push(row("of these twice", Unit::Count, of("duplicates")?).goal(DUPLICATES));
    let note = format!(
        "p50 {:.1} ms; {:.0} reconnects/s, {:.2} cores of the gateway",
        of("replay_p50_us")? / 1_000.0,
        of("reconnects_per_second")?,
        of("gateway_cores")?
    );
    let caught_up = row("reconnect until caught up, p99", Unit::Milliseconds, of("replay_p99_us")? / 1_000.0);
    suite.rows.push(caught_up.goal(REPLAY).note(note));
    Ok(())
}

/// B9
pub(super) async fn kill(suite: &mut Suite) -> Result<(), Failure> {
    let (clients, seconds) = (suite.plan.clients, suite.plan.after_kill_seconds);
    let args = suite.runner.on_stack(&format!("kill --clients {clients} --after {seconds}"));
    let limit = AROUND + Duration::from_secs(seconds.into());
    let (right, report) = suite.runner.verdict(Measure::B9, &args, limit).await?;
    let of = |name: &str| number(&report, &format!("/{name}"));
    let row = |what: String, unit, value| Row::new(Measure::B9, what, unit, value);
    let what = format!("one of two gateways killed, {clients} clients: until live again, p99");
    let everything = if right { "nothing missed or doubled" } else { "NOT everything right" };
    let note = format!(
        "p50 {:.2} s; {:.0} of {:.0} that were cut; {everything}{}",
        of("live_again_p50_us")? / 1e6,
        of("live_again")?,
        of("cut")?,
        if right { String::new() } else { first_fault(&report) }
    );
    let again = row(what, Unit::Seconds, of("live_again_p99_us")? / 1e6);
    // Who is not live again has no time that could be in the percentile.
    let all = of("live_again")? == of("cut")? && of("cut")? > 0.0;
    let again = again.goal(LIVE_AGAIN).broken(!right).note(note);
    suite.rows.push(if all { again } else { again.missed() });
    let queries = of("range_queries_per_tenant_and_node")?;
    let note = format!("{:.0} range queries, {:.0} head queries", of("range_queries")?, of("head_queries")?);
    let queries = row("range queries for each tenant and node".into(), Unit::Count, queries);
    suite.rows.push(queries.goal(RANGE_QUERIES).note(note));
    Ok(())
}

/// The first fault in words, if there was one.
fn first_fault(report: &Value) -> String {
    let told = report.pointer("/first_faults/0").and_then(Value::as_str);
    told.map(|fault| format!(", the first: {fault}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_fault_is_told() {
        let report = serde_json::json!({"first_faults": ["seq 3 after 1", "seq 9 after 5"]});
        assert_eq!(first_fault(&report), ", the first: seq 3 after 1");
        assert_eq!(first_fault(&serde_json::json!({"first_faults": []})), "");
    }
}
