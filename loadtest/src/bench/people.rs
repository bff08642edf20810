//! P1 to P5: what do people cost who signal, publish and see each other?

use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::delivery::{AROUND, SINGLE_SOCKETS};
use super::row::{Goal, Row, Unit};
use super::runner::number;
use super::statistics::Repeats;
use crate::failure::Failure;

/// P1: a signal beside an event.
const SIGNAL: Goal = Goal::RatioAtMost(1.10);
/// P2: a frame beside a request.
const DURABLE: Goal = Goal::RatioAtMost(1.50);
/// P3: presence frames written to one client while ten seconds of people come.
const FRAMES: Goal = Goal::AtMost(14.0);
/// P3: for each frame beyond the write itself, in µs. (A bare write alone was 7 µs where this was first measured.)
const FRAME: Goal = Goal::AtMost(2.0);
/// P3: what watching adds for each person, in a crowd four times as large. People times people would be 4.
const GROWTH: Goal = Goal::RatioAtMost(1.50);
/// P3: a page of who is here, in ms.
const PAGE: Goal = Goal::AtMost(50.0);
/// P3: bytes of a frame that tells a count.
const COUNT_BYTES: u32 = 56;
/// P5: of a core, for 10,000 devices.
const ACKS: Goal = Goal::AtMost(6.0);
/// P4: in ms.
const SYNCED: Goal = Goal::AtMost(2_000.0);
/// P4: longest time until so many have come, and gone.
const WATCHED: Duration = Duration::from_secs(900);
/// P3: how long a crowd takes to come, in seconds.
const COMING: u32 = 10;

/// P1
pub(super) async fn signals(suite: &mut Suite) -> Result<(), Failure> {
    let (turns, seconds) = (suite.plan.rounds.max(2), suite.plan.single_seconds);
    let args = format!("signals --people {SINGLE_SOCKETS} --turns {turns} --seconds {seconds}");
    let report = suite.runner.measure(Measure::P1, &args, AROUND).await?;
    let signal = over_turns(&report, "/signal/total_us")?;
    let event = over_turns(&report, "/event/total_us")?;
    let what = format!("gateway CPU per signal delivered, beside an event, {SINGLE_SOCKETS} sockets");
    let row = Row::new(Measure::P1, what, Unit::Microseconds, signal.median()).floor(event.median());
    let note = format!("{:.0} a second{}", number(&report, "/rate")?, turns_note(&signal, &event));
    suite.rows.push(row.goal(SIGNAL).note(note));
    Ok(())
}

/// P2
pub(super) async fn durable(suite: &mut Suite) -> Result<(), Failure> {
    let turns = suite.plan.rounds.max(3);
    let report = suite.runner.measure(Measure::P2, &format!("durable --turns {turns}"), AROUND).await?;
    let of = |path: &str| -> Result<Repeats, Failure> { over_turns(&report, path) };
    let (frame, post) = (of("/frame/p99_us")?, of("/post/p99_us")?);
    let ms = |repeats: &Repeats| repeats.median() / 1_000.0;
    let what = "p99 until a publish frame is in the log, beside a request of the same person";
    let row = Row::new(Measure::P2, what, Unit::Milliseconds, ms(&frame)).floor(ms(&post)).goal(DURABLE);
    let (frame, post) = (of("/frame/p50_us")?, of("/post/p50_us")?);
    let note = format!(
        "{:.0} people, one event after another; p50 {:.2} ms beside {:.2} ms",
        number(&report, "/people")?,
        ms(&frame),
        ms(&post)
    );
    suite.rows.push(row.note(note));
    Ok(())
}

/// P3
pub(super) async fn presence(suite: &mut Suite) -> Result<(), Failure> {
    let most = suite.plan.clients;
    let (few, many) = (crowd(suite, most / 4).await?, crowd(suite, most).await?);
    let row = |what: String, unit, value| Row::new(Measure::P3, what, unit, value);
    let came = format!("{most} people come within {COMING} s and all watch");
    let note = format!("{:.0} in all; everybody was in after {:.1} s", many.frames, many.arrived_in);
    let frames = row(format!("presence frames to one client, {came}"), Unit::Count, many.most_frames);
    suite.rows.push(frames.goal(FRAMES).note(note));
    let write = bare_write(suite).await?;
    let what = "gateway CPU per presence frame, beyond a bare write of it";
    let note = format!("{:.2} µs in all, of which the bare write {write:.2} µs", many.per_frame_us);
    let added = row(what.into(), Unit::Microseconds, many.per_frame_us - write);
    suite.rows.push(added.goal(FRAME).note(note));
    let what = format!("gateway CPU that watching adds per person, {most} beside {} people", most / 4);
    let growth = row(what, Unit::Microseconds, many.per_person_us).floor(few.per_person_us);
    suite.rows.push(growth.goal(GROWTH));
    let page = row("first page of who is here over REST".into(), Unit::Milliseconds, many.page_ms);
    suite.rows.push(page.goal(PAGE));
    Ok(())
}

/// P4
pub(super) async fn watcher(suite: &mut Suite) -> Result<(), Failure> {
    let people = suite.plan.watched;
    let report = suite.runner.measure(Measure::P4, &format!("watcher --people {people}"), WATCHED).await?;
    let what = format!("until somebody who comes knows who is here, among {people} people on six gateways");
    let row = Row::new(Measure::P4, what, Unit::Milliseconds, number(&report, "/first_ms")?);
    let middle = report.pointer("/synced_ms/4").and_then(Value::as_f64).unwrap_or_default();
    let note = format!("the first on that node, handshake included; the median of nine {middle:.0} ms");
    suite.rows.push(row.goal(SYNCED).note(note));
    Ok(())
}

/// P5
pub(super) async fn acks(suite: &mut Suite) -> Result<(), Failure> {
    let (devices, turns) = (suite.plan.clients, suite.plan.growth_rounds);
    let args = format!("acks --devices {devices} --turns {turns}");
    let report = suite.runner.measure(Measure::P5, &args, AROUND).await?;
    let added = over_turns(&report, "/added_percent")?;
    let what = format!("of a core, gateway and Postgres: {devices} devices acknowledge once a second");
    let stored = number(&report, "/stored_after_ms")? / 1_000.0;
    let range = added.range().map(|range| format!("turns {range}; ")).unwrap_or_default();
    let note =
        format!("{range}beside the same events without a word; all stored {stored:.1} s after the last");
    suite.rows.push(Row::new(Measure::P5, what, Unit::Percent, added.median()).goal(ACKS).note(note));
    Ok(())
}

/// What a write of a frame as large costs a bare loop, in µs.
async fn bare_write(suite: &mut Suite) -> Result<f64, Failure> {
    let seconds = suite.plan.single_seconds;
    let args = format!(
        "floor --connections {SINGLE_SOCKETS} --tenants 1 --rate 40 --seconds {seconds} --batch 1 --frame-bytes {COUNT_BYTES}"
    );
    number(&suite.runner.report(Measure::P3, &args, AROUND).await?, "/cpu_per_delivery/total_us")
}

/// What one crowd cost: medians of the turns.
struct Crowd {
    frames: f64,
    most_frames: f64,
    arrived_in: f64,
    per_frame_us: f64,
    per_person_us: f64,
    page_ms: f64,
}

async fn crowd(suite: &mut Suite, people: u32) -> Result<Crowd, Failure> {
    let turns = suite.plan.growth_rounds;
    let args = format!("presence --people {people} --seconds {COMING} --turns {turns}");
    let limit = AROUND + 4 * turns as u32 * Duration::from_secs(COMING.into());
    let report = suite.runner.measure(Measure::P3, &args, limit).await?;
    let of = |path: &str| over_turns(&report, path).map(|turns| turns.median());
    Ok(Crowd {
        frames: of("/frames")?,
        most_frames: of("/most_frames")?,
        arrived_in: of("/arrived_in")?,
        per_frame_us: of("/frame/total_us")?,
        per_person_us: of("/watching/total_us")? - of("/unseen/total_us")?,
        page_ms: of("/page_ms")?,
    })
}

/// A figure of every turn.
fn over_turns(report: &Value, path: &str) -> Result<Repeats, Failure> {
    let mut repeats = Repeats::default();
    let turns = report.get("turns").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for turn in turns {
        repeats.add(number(turn, path)?);
    }
    Ok(repeats)
}

fn turns_note(one: &Repeats, other: &Repeats) -> String {
    match (one.range(), other.range()) {
        (Some(one), Some(other)) => format!("; turns {one}, events {other}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_every_turn_counts() {
        let report = serde_json::json!({"turns": [{"a": {"b": 1.0}}, {"a": {"b": 4.0}}, {"a": {"b": 2.0}}]});
        assert_eq!(over_turns(&report, "/a/b").unwrap().median(), 2.0);
        assert!(over_turns(&report, "/a/c").is_err());
    }
}
