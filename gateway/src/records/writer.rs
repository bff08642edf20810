//! When are records written?
//!
//! Once a second, each kind by itself: what one cannot write holds up no other. What failed waits, and is tried again with what was noted
//! meanwhile. A node that stops writes all that waits, for as long as it has.

use super::Records;
use super::waiting::{Kind, Record};
use crate::metrics::metrics;
use crate::shard::{Shards, ToShard};
use carillon_backplane::log::{Log, LogError};
use carillon_platform::telemetry::Seldom;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a node that has nothing to tell of connections says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// Between two statements of a kind.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a server is left alone that cannot be written to: a refusal has all of the process's database sessions made anew.
const REFUSED: Duration = Duration::from_secs(10);
/// After this time no further statement is begun for the last ones.
const LAST: Duration = Duration::from_secs(5);
/// Between two of their statements.
const PAUSE: Duration = Duration::from_millis(10);

static FAILURES: Seldom<&str> = Seldom::new();

/// The task that writes.
pub(crate) struct RecordWriter {
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

impl RecordWriter {
    /// Begins to write what comes into `records`.
    pub(crate) fn start(records: Records, log: Log, shards: Shards) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let mut seconds = interval(PERIOD);
            seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut told, mut resumes) = (Instant::now(), Instant::now());
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = seconds.tick() => {}
                }
                if Instant::now() < resumes {
                    continue;
                }
                let mut result = write_one_each(&records, &log).await;
                if let Some(keeping) = &records.keeping {
                    if told.elapsed() >= BEAT {
                        told = Instant::now();
                        result = result.and(keeping.beat(&log).await);
                    }
                    if keeping.is_forgotten.swap(false, Ordering::Relaxed) {
                        shards.send_all(|| ToShard::TellSessions);
                    }
                }
                if matches!(result, Err(LogError::Unwritable(..))) {
                    resumes = Instant::now() + REFUSED;
                }
            }
            write_all(&records, &log, Instant::now() + LAST).await;
        });
        Self { stop, ended }
    }

    /// Writes what is left; nobody puts anything in any more. As a rule at once, while Postgres is away five seconds and one statement.
    pub(crate) async fn close(self) {
        drop(self.stop);
        let _ = self.ended.await;
    }
}

/// One statement of each kind; the first fault there was.
async fn write_one_each(records: &Records, log: &Log) -> Result<(), LogError> {
    let devices = write(&records.devices, log).await;
    let sessions = write(&records.sessions, log).await;
    let activity = write(&records.activity, log).await;
    devices.and(sessions).and(activity).map(drop)
}

/// All of each kind, if there is time.
async fn write_all(records: &Records, log: &Log, until: Instant) {
    write_all_of(&records.devices, log, until).await;
    write_all_of(&records.sessions, log, until).await;
    write_all_of(&records.activity, log, until).await;
}

async fn write_all_of<R: Record>(kind: &Kind<R>, log: &Log, until: Instant) {
    loop {
        let pause = match write(kind, log).await {
            Ok(true) => return,
            Ok(false) => PAUSE,
            Err(_) => PERIOD,
        };
        if Instant::now() >= until {
            metrics().records_dropped(R::KIND, kind.waiting().len() as u64);
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Writes as many as one statement does. Whether nothing waits any more.
async fn write<R: Record>(kind: &Kind<R>, log: &Log) -> Result<bool, LogError> {
    let (taken, mut result) = (kind.waiting().take(), Ok(()));
    if !taken.is_empty() {
        let began = Instant::now();
        let stored = R::store(log, &taken).await;
        metrics().record_seconds.record(began.elapsed().as_secs_f64());
        match stored {
            Ok(()) => metrics().records_written(R::KIND, taken.len() as u64),
            Err(error) => {
                metrics().records_failed(R::KIND);
                if let Some(times) = FAILURES.due(R::KIND) {
                    tracing::warn!(kind = R::KIND, times, %error, "records cannot be written; they wait");
                }
                kind.waiting().put_back(taken);
                result = Err(error);
            }
        }
    }
    let left = kind.waiting().len();
    metrics().records_waiting(R::KIND, left);
    result.map(|()| left == 0)
}
