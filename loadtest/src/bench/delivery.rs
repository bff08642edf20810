//! B1 and B2: what does a delivery cost the gateway, beside a bare loop of write() with the same bytes?

use std::time::Duration;

use super::Suite;
use super::args::Measure;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use super::statistics::Repeats;
use crate::failure::Failure;

/// Sockets of B1.
pub(super) const SINGLE_SOCKETS: u32 = 2_000;
/// Events for each second in B1.
const SINGLE_RATE: f64 = 40.0;
/// B1: one frame a write.
const SINGLE_GOAL: Goal = Goal::RatioAtMost(1.10);
/// Sockets of B2.
const COALESCED_SOCKETS: u32 = 1_000;
/// Events for each second in B2.
const COALESCED_RATE: f64 = 700.0;
/// Events in a request of B2. A request is one commit and one message on the bus.
const BATCHES: [u32; 3] = [1, 4, 16];
/// B2, in µs.
const COALESCED_GOAL: Goal = Goal::AtMost(0.85);
/// More events a write than this, and a figure for one frame a write is none.
pub(super) const SINGLE_WRITES: f64 = 1.10;
/// What a turn takes at most besides its seconds: connecting, draining, leaving.
pub(super) const AROUND: Duration = Duration::from_secs(300);

/// How much is delivered to how many.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) sockets: u32,
    pub(super) tenants: u32,
    /// Tenants that are followed and get nothing.
    pub(super) bystanders: u32,
    pub(super) rate: f64,
    pub(super) seconds: u32,
    /// Events in a request.
    pub(super) batch: u32,
    /// How the floor writes.
    pub(super) floor: Writes,
}

/// How much the bare loop writes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    /// One frame, whatever Carillon did.
    Single,
    /// As many frames as Carillon did, by its own count.
    AsCarillon,
}

/// Carillon and its floor, in turns.
pub(super) struct Pair {
    /// CPU of the gateways for each delivery, in µs.
    pub(super) carillon: Repeats,
    /// CPU of the bare loop for each delivery, in µs.
    pub(super) floor: Repeats,
    user_us: Repeats,
    frame_bytes: f64,
    /// Events in each write of Carillon's.
    per_write: Repeats,
    floor_writes: Writes,
    /// Events for each second that were really published.
    pub(super) reached: Repeats,
}

/// Measures Carillon and the floor in turns, so that both see the same weather.
pub(super) async fn in_turns(
    suite: &mut Suite,
    measure: Measure,
    shape: &Shape,
    rounds: usize,
) -> Result<Pair, Failure> {
    let Shape { sockets, tenants, bystanders, rate, seconds, batch, floor: floor_writes } = shape;
    let limit = AROUND + Duration::from_secs((*seconds).into());
    let load = format!("--connections {sockets} --tenants {tenants} --seconds {seconds}");
    let (carillon, floor, user_us, per_write, reached) = Default::default();
    let (frame_bytes, floor_writes) = (0.0, *floor_writes);
    let mut pair = Pair { carillon, floor, user_us, frame_bytes, per_write, floor_writes, reached };
    for _ in 0..rounds {
        let fanout = format!("fanout {load} --rate {rate} --batch {batch} --bystanders {bystanders}");
        let report = suite.runner.measure(measure, &fanout, limit).await?;
        pair.carillon.add(number(&report, "/cpu_per_delivery/total_us")?);
        pair.user_us.add(number(&report, "/cpu_per_delivery/user_us")?);
        pair.reached.add(number(&report, "/events_per_second")?);
        pair.frame_bytes = number(&report, "/frame_bytes")?;
        pair.per_write.add(number(&report, "/deliveries_per_write")?);
        let at_once = match floor_writes {
            Writes::Single => 1.0,
            Writes::AsCarillon => pair.per_write.median().round().clamp(1.0, 500.0),
        };
        let floor =
            format!("floor {load} --rate {rate} --batch {at_once} --frame-bytes {}", pair.frame_bytes);
        let report = suite.runner.report(measure, &floor, limit).await?;
        pair.floor.add(number(&report, "/cpu_per_delivery/total_us")?);
    }
    Ok(pair)
}

impl Pair {
    /// Whether Carillon had less to do than the floor it stands beside, which makes the figure impossible to judge.
    pub(super) fn is_flattered(&self) -> bool {
        self.floor_writes == Writes::Single && self.per_write.median() > SINGLE_WRITES
    }

    /// As a line of the table.
    pub(super) fn row(&self, measure: Measure, what: String) -> Row {
        let mut note = format!(
            "user ≈ {:.2} µs, {:.2} events a write, {:.0}-byte frames",
            self.user_us.median(),
            self.per_write.median(),
            self.frame_bytes
        );
        if self.is_flattered() {
            note += ", NOT one frame a write: the machine was too busy to tell";
        }
        if let (Some(carillon), Some(floor)) = (self.carillon.range(), self.floor.range()) {
            note += &format!("; rounds {carillon}, floor {floor}");
        }
        Row::new(measure, what, Unit::Microseconds, self.carillon.median())
            .floor(self.floor.median())
            .note(note)
    }
}

/// B1
pub(super) async fn single(suite: &mut Suite) -> Result<(), Failure> {
    let seconds = suite.plan.single_seconds;
    let (sockets, rate) = (SINGLE_SOCKETS, SINGLE_RATE);
    let floor = Writes::Single;
    let shape = Shape { sockets, tenants: 1, bystanders: 0, rate, seconds, batch: 1, floor };
    let pair = in_turns(suite, Measure::B1, &shape, suite.plan.rounds.max(2)).await?;
    let what = format!("gateway CPU per delivery, one frame a write, {sockets} sockets, {rate:.0} events/s");
    let row = pair.row(Measure::B1, what).goal(SINGLE_GOAL);
    suite.rows.push(if pair.is_flattered() { row.unjudged() } else { row });
    Ok(())
}

/// B2
pub(super) async fn coalesced(suite: &mut Suite) -> Result<(), Failure> {
    let seconds = suite.plan.coalesced_seconds;
    let (sockets, rate) = (COALESCED_SOCKETS, COALESCED_RATE);
    for batch in BATCHES {
        let floor = Writes::AsCarillon;
        let shape = Shape { sockets, tenants: 1, bystanders: 0, rate, seconds, batch, floor };
        let pair = in_turns(suite, Measure::B2, &shape, suite.plan.rounds).await?;
        let what =
            format!("gateway CPU per delivery, {sockets} sockets, {rate:.0} events/s, {batch} in a request");
        let row = pair.row(Measure::B2, what).goal(COALESCED_GOAL);
        let note = format!("{:.0} events/s reached; {}", pair.reached.median(), row.note);
        suite.rows.push(row.note(note));
    }
    Ok(())
}
