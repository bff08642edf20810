//! Can events be published and read, and how far behind is what follows the log?

use super::{Reason, RedisNumbers, State, redis, worst};
use carillon_backplane::bus::BusHealth;
use carillon_backplane::log::{ArchiveState, EscalationLag, Lag, LogError, OutboxState, PartitionState};
use serde::Serialize;
use utoipa::ToSchema;

/// With fewer days ahead than these somebody should look.
const DAYS_AHEAD: u32 = 2;
/// An event that waits longer in the outbox is told.
const OUTBOX_SECONDS: f64 = 30.0;
/// Attempts to archive a day that have failed for longer are told.
const ARCHIVE_SECONDS: f64 = 30.0;
/// A projector that is further behind is told.
pub(super) const BEHIND_SECONDS: f64 = 30.0;

/// How the log and what follows it are.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventsHealth {
    /// The worst of the reasons; `up` without one.
    pub state: State,
    /// Why it is not `up`.
    pub reasons: Vec<Reason>,
    /// The log, as this publisher sees it.
    pub log: LogNumbers,
    /// Days that events can be appended to; null when the log did not say.
    pub partitions: Option<Partitions>,
    /// What reads the log in the background; empty when the log did not say.
    pub projectors: Vec<ProjectorLag>,
    /// What applications published in their own transactions and is not in the log; null when the database did not say.
    pub outbox: Option<OutboxNumbers>,
    /// Days that are copied before they are dropped; null without an archive, for a key of one tenant, and when the database did not say.
    pub archive: Option<ArchiveNumbers>,
    /// Redis, as this publisher sees it.
    pub redis: RedisNumbers,
}

/// The archive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct ArchiveNumbers {
    /// Days past retention that are not in it; their partitions stay.
    pub waiting_days: u32,
    /// For how many seconds every attempt has failed; 0 when the last one did not.
    pub failing_seconds: f64,
}

/// The outbox.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct OutboxNumbers {
    /// Events that wait to be moved into the log; of more than 10,000: 10,001.
    pub waiting: u64,
    /// How long ago the oldest of them was published; 0 when none waits.
    pub oldest_seconds: f64,
    /// Events that could not be appended and wait for somebody to decide; of more than 10,000: 10,001.
    pub parked: u64,
}

/// The log's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct LogNumbers {
    /// Whether it takes events.
    pub writable: bool,
    /// Milliseconds that the questions for the numbers below took together; null when they were not answered. At most two seconds old.
    pub answer_ms: Option<f64>,
    /// Milliseconds since 1970 of this publisher's last commit of events; null when there was none since it started.
    pub last_commit_ms: Option<u64>,
    /// How many milliseconds that commit took in the database.
    pub last_commit_took_ms: Option<f64>,
}

/// The log's partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Partitions {
    /// Days from today on that have one; at 0 nothing can be published.
    pub ahead_days: u32,
    /// Those past retention that are not dropped yet.
    pub due: u32,
}

/// How far behind the log a projector is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProjectorLag {
    /// Its name.
    pub name: &'static str,
    /// What it has not read.
    pub behind: Behind,
    /// Tenants with events that it has not read; of more than 500 only 500 are looked at, here and in `behind`.
    pub tenants: u32,
    /// Publishers that work on it.
    pub workers: u32,
}

/// What a projector has not read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Behind {
    /// Events.
    pub events: u64,
    /// How long ago the oldest of them was appended.
    pub seconds: f64,
}

/// What was seen.
pub(super) struct Seen {
    pub(super) writable: Result<(), LogError>,
    pub(super) exhausted: Option<LogError>,
    pub(super) numbers: Result<Numbers, LogError>,
    /// When this publisher committed events last, in milliseconds since 1970, and how many milliseconds it took.
    pub(super) commit: Option<(u64, f64)>,
    pub(super) redis: BusHealth,
}

/// What the log said.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    pub(super) answer_ms: f64,
    pub(super) partitions: PartitionState,
    pub(super) projectors: Vec<(&'static str, Lag)>,
    pub(super) outbox: OutboxState,
    /// Whose business it is.
    pub(super) archive: Option<ArchiveState>,
    /// Steps of escalations that are due.
    pub(super) escalations: EscalationLag,
}

/// What to think of it.
pub(super) fn judge(seen: Seen) -> EventsHealth {
    let mut reasons = Vec::new();
    if let Err(fault) = &seen.writable {
        let code = crate::readiness::reason(fault);
        reasons.push(Reason::new(State::Down, code, fault.to_string()));
    }
    if let Some(fault) = &seen.exhausted {
        let message = format!("some requests get nothing from the log: {fault}");
        reasons.push(Reason::new(State::Degraded, "database_exhausted", message));
    }
    match &seen.numbers {
        Ok(numbers) => about_numbers(numbers, &mut reasons),
        // Already told by the reason that it is down.
        Err(_) if seen.writable.is_err() => {}
        Err(fault) => {
            let message = format!("the log did not say how far behind it is read: {fault}");
            reasons.push(Reason::new(State::Degraded, "numbers_missing", message));
        }
    }
    reasons.extend(redis(seen.redis, "events arrive later, none is lost"));
    let numbers = seen.numbers.ok();
    let lag = |(name, lag): (&'static str, Lag)| ProjectorLag {
        name,
        behind: Behind { events: lag.events, seconds: lag.seconds },
        tenants: lag.tenants,
        workers: lag.workers,
    };
    EventsHealth {
        state: worst(&reasons),
        reasons,
        log: LogNumbers {
            writable: seen.writable.is_ok(),
            answer_ms: numbers.as_ref().map(|numbers| numbers.answer_ms),
            last_commit_ms: seen.commit.map(|(at, _)| at),
            last_commit_took_ms: seen.commit.map(|(_, took)| took),
        },
        partitions: numbers
            .as_ref()
            .map(|numbers| Partitions { ahead_days: numbers.partitions.ahead, due: numbers.partitions.due }),
        outbox: numbers.as_ref().map(|numbers| OutboxNumbers {
            waiting: numbers.outbox.waiting,
            oldest_seconds: numbers.outbox.seconds,
            parked: numbers.outbox.parked,
        }),
        archive: numbers.as_ref().and_then(archive_numbers),
        projectors: numbers
            .map_or_else(Vec::new, |numbers| numbers.projectors.into_iter().map(lag).collect()),
        redis: seen.redis.into(),
    }
}

fn archive_numbers(numbers: &Numbers) -> Option<ArchiveNumbers> {
    let archive = numbers.archive.as_ref().filter(|archive| archive.wanted)?;
    Some(ArchiveNumbers { waiting_days: archive.waiting, failing_seconds: archive.seconds })
}

fn about_numbers(numbers: &Numbers, reasons: &mut Vec<Reason>) {
    let OutboxState { waiting, seconds, parked } = numbers.outbox;
    if seconds > OUTBOX_SECONDS {
        let message = format!("{waiting} events wait in the outbox, the oldest of them for {seconds:.0} s");
        reasons.push(Reason::new(State::Degraded, "outbox_behind", message));
    }
    if parked > 0 {
        let message = format!(
            "{parked} events of applications' transactions could not be appended: carillon-publisher outbox list"
        );
        reasons.push(Reason::new(State::Degraded, "outbox_parked", message));
    }
    let ahead = numbers.partitions.ahead;
    if ahead < DAYS_AHEAD {
        let message = format!(
            "{ahead} days from today on have a partition: none is made; at 0 nothing can be published"
        );
        reasons.push(Reason::new(State::Degraded, "partitions", message));
    }
    if let Some(ArchiveState { wanted: true, waiting, fault: Some(fault), seconds }) = &numbers.archive
        && *seconds > ARCHIVE_SECONDS
    {
        let message = format!(
            "{waiting} days past retention stay; for {seconds:.0} s one could not be archived: {fault}"
        );
        reasons.push(Reason::new(State::Degraded, "archive_failing", message));
    }
    reasons.extend(numbers.projectors.iter().filter_map(|(name, lag)| about_lag(name, lag)));
}

/// What is wrong with a projector, if something is.
pub(super) fn about_lag(name: &str, lag: &Lag) -> Option<Reason> {
    let (events, seconds) = (lag.events, lag.seconds);
    if seconds > BEHIND_SECONDS {
        let message = format!("{name} has not read {events} events, the oldest of them {seconds:.0} s old");
        return Some(Reason::new(State::Degraded, "projector_behind", message));
    }
    (lag.workers == 0 && events > 0).then(|| {
        let message = format!("no publisher works on {name}, which has not read {events} events");
        Reason::new(State::Degraded, "projector_idle", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::bus::DownCause;
    use carillon_backplane::log::Unwritable;
    use std::time::Instant;

    fn well() -> Seen {
        let lag = Lag { events: 3, tenants: 1, seconds: 0.4, workers: 2 };
        let partitions = PartitionState { ahead: 8, due: 0 };
        let numbers = Numbers {
            answer_ms: 1.5,
            partitions,
            projectors: vec![("channel_index", lag)],
            outbox: OutboxState { waiting: 3, seconds: 0.2, parked: 0 },
            archive: Some(ArchiveState { wanted: true, ..ArchiveState::default() }),
            escalations: EscalationLag::default(),
        };
        let commit = Some((1_795_000_000_000, 2.5));
        Seen { writable: Ok(()), exhausted: None, numbers: Ok(numbers), commit, redis: BusHealth::Up }
    }

    fn of(change: impl FnOnce(&mut Seen)) -> (State, Vec<&'static str>) {
        let mut seen = well();
        change(&mut seen);
        let health = judge(seen);
        (health.state, health.reasons.iter().map(|reason| reason.code).collect())
    }

    fn numbers(seen: &mut Seen) -> &mut Numbers {
        seen.numbers.as_mut().unwrap()
    }

    #[test]
    fn what_works_is_up_and_a_little_lag_is_no_reason() {
        assert_eq!(of(|_| {}), (State::Up, vec![]));
        let health = judge(well());
        assert_eq!(health.projectors[0].behind, Behind { events: 3, seconds: 0.4 });
        assert_eq!(health.partitions, Some(Partitions { ahead_days: 8, due: 0 }));
    }

    #[test]
    fn each_fault_has_a_name_and_only_a_log_that_takes_no_events_is_down() {
        let degraded = |code| (State::Degraded, vec![code]);
        assert_eq!(of(|seen| numbers(seen).partitions.ahead = 1), degraded("partitions"));
        assert_eq!(of(|seen| numbers(seen).projectors[0].1.seconds = 31.0), degraded("projector_behind"));
        assert_eq!(of(|seen| numbers(seen).projectors[0].1.workers = 0), degraded("projector_idle"));
        assert_eq!(of(|seen| numbers(seen).outbox.seconds = 31.0), degraded("outbox_behind"));
        assert_eq!(of(|seen| numbers(seen).outbox.parked = 1), degraded("outbox_parked"));
        let failing = |wanted, seconds| {
            of(|seen| {
                let fault = Some("no space left".to_owned());
                numbers(seen).archive = Some(ArchiveState { wanted, waiting: 2, fault, seconds });
            })
        };
        assert_eq!(failing(true, 31.0), degraded("archive_failing"));
        assert_eq!(failing(true, 29.0), (State::Up, vec![]), "it may be back at once");
        assert_eq!(failing(false, 31.0), (State::Up, vec![]), "there is none any more");
        let down = BusHealth::Down { since: Instant::now(), cause: DownCause::Silent };
        assert_eq!(of(|seen| seen.redis = down), degraded("redis"));
        let busy = LogError::Busy("too much".to_owned());
        assert_eq!(of(|seen| seen.numbers = Err(busy.clone())), degraded("numbers_missing"));
        let full = LogError::Unwritable(Unwritable::Full, "no space".to_owned());
        assert_eq!(of(|seen| seen.writable = Err(full)), (State::Down, vec!["database_full"]));
        let gone = LogError::Down("frozen".to_owned());
        let all = of(|seen| {
            *seen = Seen {
                writable: Err(gone.clone()),
                exhausted: None,
                numbers: Err(gone),
                commit: None,
                redis: down,
            }
        });
        assert_eq!(all, (State::Down, vec!["database", "redis"]));
    }
}
