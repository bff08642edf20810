//! When are a tenant's devices found by channel?
//!
//! When somebody has asked for counts of a notice to roles or channels: its devices are gone through once, in slices. From then on whoever
//! stores a device follows. Every publisher does it: a tenant that one is at another passes over.

use super::report;
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::log::{Log, LogError};
use std::time::Duration;

/// About so many rows in a slice, one for each channel of a device: who stores one of these devices waits for its end.
const SLICE: u32 = 2_000;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(10),
    more: Duration::from_millis(100),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(log: Log) -> Task {
    Task::new("device_channels", SCHEDULE, move || {
        let log = log.clone();
        async move { report(run(&log).await) }
    })
}

async fn run(log: &Log) -> Result<Report, LogError> {
    let (added, is_waiting) = log.add_device_channels(SLICE).await?;
    // Those that wait for the end of older transactions are looked at again with the next period.
    let outcome = if is_waiting { Outcome::More } else { Outcome::Done };
    Ok(Report::new(outcome, format!("{added} devices added")))
}
