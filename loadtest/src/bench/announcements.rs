//! R1: what does Redis pay to hand one announcement to the gateways that follow its tenant?

use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::curves::Announcement;
use super::row::{Row, Unit};
use super::runner::number;
use crate::failure::Failure;

/// Numbers of gateways.
const SUBSCRIBERS: &str = "1,8,64";
/// Longest time for all of them.
const LIMIT: Duration = Duration::from_secs(300);

/// R1
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    let seconds = suite.plan.level_seconds;
    let args = format!("announce --subscribers {SUBSCRIBERS} --seconds {seconds}");
    let report = suite.runner.measure(Measure::R1, &args, LIMIT).await?;
    let steps = report.get("steps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for step in steps {
        let (subscribers, redis_us) = (number(step, "/subscribers")?, number(step, "/cpu_us_per_message")?);
        let what = format!("Redis CPU per announcement, {subscribers:.0} gateways follow the tenant");
        let note =
            format!("{:.0} a second of {:.0} bytes", number(&report, "/rate")?, number(&report, "/bytes")?);
        suite.rows.push(Row::new(Measure::R1, what, Unit::Microseconds, redis_us).note(note));
        suite.curves.announcements.push(Announcement { subscribers: subscribers as u32, redis_us });
    }
    Ok(())
}
