//! B3: what does a connection cost that is subscribed and rests?

use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::curves::Resting;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use crate::failure::Failure;

/// Resident bytes for each connection, at the largest number.
const GOAL: Goal = Goal::AtMost(2_500.0);
/// At this many connections: of 20,000 descriptors a gateway that serves Socket.IO keeps enough for 14,107 places.
const JUDGED_AT: f64 = 14_000.0;
/// Longest time for all steps.
const LIMIT: Duration = Duration::from_secs(900);

/// B3
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    let steps = suite.plan.resting.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let args = format!("idle --connections {steps} --seconds {}", suite.plan.rest_seconds);
    let report = suite.runner.measure(Measure::B3, &args, LIMIT).await?;
    let steps = report.get("steps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for step in steps {
        let connections = number(step, "/connections")?;
        let resting = Resting {
            connections: connections as u32,
            resident_bytes: number(step, "/resident_bytes_per_connection")?,
            heap_bytes: number(step, "/heap_bytes_per_connection")?,
            kernel_bytes: number(step, "/kernel_bytes_per_socket")?,
        };
        let what = format!("resident memory per connection at rest, {connections:.0} connections");
        let note = format!(
            "of that heap {:.0} B; the kernel holds {:.0} B more for each socket",
            resting.heap_bytes, resting.kernel_bytes
        );
        let row = Row::new(Measure::B3, what, Unit::Bytes, resting.resident_bytes).note(note);
        suite.rows.push(if connections >= JUDGED_AT { row.goal(GOAL) } else { row });
        suite.curves.resting.push(resting);
    }
    Ok(())
}
