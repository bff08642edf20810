//! When are records written?
//!
//! Once a second, each kind by itself: what one cannot write holds up no other. What failed waits, and is tried again with what was noted
//! meanwhile; a record that the database refuses by itself is let go and counted, so that it does not hold up those behind it. A node that stops writes all that waits, for as long as it has.

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

/// Most statements of a kind in one go, to find records that the database refuses.
const STATEMENTS: u32 = 100;

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
                    if result.is_ok() && records.sessions.waiting().len() == 0 {
                        result = keeping.make_good(&log).await;
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
    let taken = kind.waiting().take();
    let mut result = Ok(());
    let mut parts = Parts::new(taken);
    while let Some(part) = parts.next() {
        let began = Instant::now();
        let stored = R::store(log, &part).await;
        metrics().record_seconds.record(began.elapsed().as_secs_f64());
        let Err(error) = stored else {
            metrics().records_written(R::KIND, part.len() as u64);
            continue;
        };
        metrics().records_failed(R::KIND);
        if let Some(times) = FAILURES.due(R::KIND) {
            tracing::warn!(kind = R::KIND, times, %error, "records cannot be written; they wait, or go if it is one alone");
        }
        match parts.failed(part, &error) {
            After::Halved => {}
            After::Dropped => metrics().records_dropped(R::KIND, 1),
            After::Wait(left) => {
                kind.waiting().put_back(left);
                result = Err(error);
            }
        }
    }
    let mut waiting = kind.waiting();
    waiting.was_in_time(!matches!(&result, Err(error) if error.is_down() || error.is_overload()));
    let left = waiting.len();
    drop(waiting);
    metrics().records_waiting(R::KIND, left);
    result.map(|()| left == 0)
}

/// Records that are being written: what the database refuses is tried again in halves, so that one that it never takes is found and
/// goes alone.
struct Parts<R> {
    /// The first ones last.
    left: Vec<Vec<R>>,
    statements: u32,
}

/// What becomes of records that could not be written.
enum After<R> {
    Halved,
    Dropped,
    /// They wait, and all that are left with them.
    Wait(Vec<R>),
}

impl<R> Parts<R> {
    fn new(records: Vec<R>) -> Self {
        Self { left: vec![records], statements: 0 }
    }

    fn next(&mut self) -> Option<Vec<R>> {
        self.statements += 1;
        self.left.pop().filter(|part| !part.is_empty())
    }

    fn failed(&mut self, mut part: Vec<R>, error: &LogError) -> After<R> {
        // Neither an outage nor too much to do: the statement itself.
        let is_refused = matches!(error, LogError::Database(_));
        if is_refused && part.len() == 1 {
            return After::Dropped;
        }
        if is_refused && self.statements < STATEMENTS {
            let second = part.split_off(part.len() / 2);
            self.left.extend([second, part]);
            return After::Halved;
        }
        part.extend(std::mem::take(&mut self.left).into_iter().rev().flatten());
        After::Wait(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes these; what was written, what went, and what waits.
    fn written(records: Vec<u32>, fault: impl Fn(u32) -> Option<LogError>) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let (mut written, mut dropped, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        let mut parts = Parts::new(records);
        while let Some(part) = parts.next() {
            match part.iter().find_map(|record| fault(*record)) {
                None => written.extend(part),
                Some(error) => match parts.failed(part.clone(), &error) {
                    After::Halved => {}
                    After::Dropped => dropped.extend(part),
                    After::Wait(left) => waiting = left,
                },
            }
        }
        (written, dropped, waiting)
    }

    #[test]
    fn what_the_database_never_takes_goes_alone_and_holds_up_nothing() {
        let is_bad = |n: u32| n == 0 || n % 500 == 77;
        let (good, bad) = (0..2_000).partition::<Vec<u32>, _>(|n| !is_bad(*n));
        let refused = |n: u32| is_bad(n).then(|| LogError::Database("no".into()));
        let (written, dropped, waiting) = written((0..2_000).collect(), refused);
        assert_eq!((written, dropped, waiting), (good, bad, Vec::new()));
    }

    #[test]
    fn where_all_is_refused_it_ends_and_what_is_left_waits_in_its_order() {
        let (written, dropped, waiting) =
            written((0..2_000).collect(), |_| Some(LogError::Database("no".into())));
        assert!(written.is_empty() && (1..100).contains(&dropped.len()));
        assert_eq!([dropped, waiting].concat(), (0..2_000).collect::<Vec<u32>>());
    }

    #[test]
    fn while_the_database_is_away_or_busy_everything_waits() {
        for error in [LogError::Down("away".into()), LogError::Busy("busy".into())] {
            let all: Vec<u32> = (0..100).collect();
            assert_eq!(written(all.clone(), |_| Some(error.clone())), (Vec::new(), Vec::new(), all));
        }
    }

    #[test]
    fn when_the_database_goes_away_between_two_halves_the_second_waits_and_nothing_of_it_is_dropped() {
        let first = std::cell::Cell::new(true);
        let fault = |n: u32| match n {
            0 if first.replace(false) => Some(LogError::Database("no".into())),
            50 => Some(LogError::Down("away".into())),
            _ => None,
        };
        let halves: (Vec<u32>, Vec<u32>, Vec<u32>) = ((0..50).collect(), Vec::new(), (50..100).collect());
        assert_eq!(written((0..100).collect(), fault), halves);
    }
}
