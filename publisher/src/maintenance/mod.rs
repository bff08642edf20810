//! Who makes tomorrow's partition, copies and drops what is past retention, and forgets idempotency keys, keys of latest values, tickets,
//! revocations, devices, what people did, notices and records of changes?
//!
//! Fifteen tasks of the [`worker`](crate::worker). None of them holds up publishing: what they need from the database they
//! take in slices and in moments, with pauses between (docs/adr/0015).
//!
//! | task | module | who does it |
//! |---|---|---|
//! | `partitions` | `partitions` | every publisher: without today's partition nobody can publish |
//! | `retention` | `retention` | the one that holds its lease |
//! | `archive` | `archive` | the one that holds its lease, where there is an archive |
//! | `keys` | `keys` | the one that holds its lease |
//! | `tickets` | `tickets` | every publisher, in slices that pass each other over |
//! | `revocations` | `revocations` | every publisher, in slices that pass each other over |
//! | `latest` | `latest` | the one that holds its lease |
//! | `devices` | `devices` | the one that holds its lease |
//! | `device_channels` | `device_channels` | every publisher, each at another tenant |
//! | `sessions` | `sessions` | the one that holds its lease |
//! | `lost_sessions` | `lost` | the one that holds its lease |
//! | `activity` | `activity` | the one that holds its lease |
//! | `analytics_hours` | `analytics` | the one that holds its lease |
//! | `notices` | `notices` | the one that holds its lease |
//! | `audit` | `audit` | every publisher, in slices that pass each other over |

mod activity;
mod analytics;
mod archive;
mod audit;
mod device_channels;
mod devices;
mod keys;
mod latest;
mod lost;
mod metrics;
mod notices;
mod partitions;
mod retention;
mod revocations;
mod sessions;
mod tickets;

pub use metrics::ALL as METRICS;
pub use partitions::today;

use crate::archive::{ArchiveUrl, Archiver, describe_all as describe_archive};
use crate::worker::{Activation, Driver, Outcome, Report};
use carillon_backplane::bus::NodesWatch;
use carillon_backplane::log::{Log, LogError, Maintenance};
use std::sync::Arc;
use std::time::Duration;

/// How long a lease lasts; longer than any run, and renewed by each. Given back when nothing more is due.
const LEASE: Duration = Duration::from_secs(30);

/// How old what may become.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Events.
    pub retention_days: u32,
    /// Keys of latest values that nothing touches.
    pub latest_days: u32,
    /// Devices that nobody saw.
    pub device_days: u32,
    /// Sessions that have ended.
    pub session_days: u32,
    /// What people did.
    pub activity_days: u32,
    /// Counts of hours.
    pub analytics_days: u32,
    /// Notices.
    pub notice_days: u32,
}

/// Begins the tasks. `partitions` wakes the first: an append has met a day without a partition. `archive` is where what retention drops
/// is copied before.
pub fn start(
    driver: &Driver,
    log: &Log,
    (node, nodes): (&str, NodesWatch),
    ages: Ages,
    (partitions, archive): (Activation, Option<ArchiveUrl>),
) {
    let Ages {
        retention_days,
        latest_days,
        device_days,
        session_days,
        activity_days,
        analytics_days,
        notice_days,
    } = ages;
    metrics::describe_all();
    describe_archive();
    let candidate = Candidate::new(log.clone(), node);
    driver.start_with(partitions::task(log.clone(), retention_days), partitions);
    let place = archive.as_ref().map(ArchiveUrl::to_string);
    let drops = driver.start(retention::task(candidate.clone(), place, retention_days));
    let archiver = archive.map(|url| Archiver::new(log.clone(), url));
    driver.start(archive::task(candidate.clone(), (archiver, drops), retention_days));
    driver.start(keys::task(candidate.clone()));
    driver.start(latest::task(candidate.clone(), latest_days));
    driver.start(devices::task(candidate.clone(), device_days));
    driver.start(sessions::task(candidate.clone(), session_days));
    driver.start(lost::task(candidate.clone(), nodes));
    driver.start(analytics::task(candidate.clone(), analytics_days));
    driver.start(activity::task(candidate.clone(), activity_days));
    driver.start(notices::task(candidate, notice_days));
    driver.start(device_channels::task(log.clone()));
    driver.start(tickets::task(log.clone()));
    driver.start(revocations::task(log.clone()));
    driver.start(audit::task(log.clone()));
}

/// A process that may do what one of them does at a time.
#[derive(Clone)]
struct Candidate {
    log: Log,
    /// The node's name, and what tells two processes of that name apart.
    name: Arc<str>,
}

impl Candidate {
    fn new(log: Log, node: &str) -> Self {
        Self { log, name: format!("{node} {}", uuid::Uuid::new_v4().simple()).into() }
    }

    /// None when the lease is ours, else the report that says whose it is.
    async fn lacks_lease(&self, task: Maintenance) -> Result<Option<Report>, LogError> {
        let holder = self.log.lease_maintenance(task, &self.name, LEASE).await?;
        Ok((*holder != *self.name).then(|| {
            let node = holder.rsplit_once(' ').map_or(&*holder, |(node, _)| node);
            Report::new(Outcome::Elsewhere, format!("{node} does it"))
        }))
    }

    /// Gives the lease back: another process may do what becomes due next.
    async fn gives_back(&self, task: Maintenance) -> Result<(), LogError> {
        self.log.lease_maintenance(task, &self.name, Duration::ZERO).await.map(drop)
    }
}

fn report(result: Result<Report, LogError>) -> Report {
    result.unwrap_or_else(|error| Report::new(Outcome::Failed, error.to_string()))
}
