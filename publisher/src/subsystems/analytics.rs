//! Are events counted, and how far behind the log?

use super::events::{Numbers, about_lag};
use super::{Behind, Reason, State, worst};
use carillon_backplane::log::LogError;
use serde::Serialize;
use utoipa::ToSchema;

/// The projector whose counts `GET /v1/analytics` answers.
const PROJECTOR: &str = "analytics";

/// How the counting of events is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnalyticsHealth {
    /// The worst of the reasons; `up` without one.
    pub state: State,
    /// Why it is not `up`.
    pub reasons: Vec<Reason>,
    /// What is not counted yet; null when the log did not say.
    pub behind: Option<Behind>,
    /// Publishers that count; null when the log did not say.
    pub workers: Option<u32>,
}

/// What to think of it.
pub(super) fn judge(writable: Result<(), LogError>, numbers: Result<Numbers, LogError>) -> AnalyticsHealth {
    let mut reasons = Vec::new();
    if let Err(fault) = &writable {
        reasons.push(Reason::new(State::Down, crate::readiness::reason(fault), fault.to_string()));
    } else if let Err(fault) = &numbers {
        let message = format!("the log did not say how far events are counted: {fault}");
        reasons.push(Reason::new(State::Degraded, "numbers_missing", message));
    }
    let lag = numbers.ok().and_then(|numbers| {
        numbers.projectors.into_iter().find(|(name, _)| *name == PROJECTOR).map(|(_, lag)| lag)
    });
    reasons.extend(lag.as_ref().and_then(|lag| about_lag(PROJECTOR, lag)));
    AnalyticsHealth {
        state: worst(&reasons),
        reasons,
        behind: lag.map(|lag| Behind { events: lag.events, seconds: lag.seconds }),
        workers: lag.map(|lag| lag.workers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::{EscalationLag, Lag, OutboxState, PartitionState};

    fn numbers(lag: Lag) -> Result<Numbers, LogError> {
        let partitions = PartitionState { ahead: 8, due: 0 };
        Ok(Numbers {
            answer_ms: 1.0,
            partitions,
            projectors: vec![("channel_index", Lag::default()), (PROJECTOR, lag)],
            outbox: OutboxState::default(),
            archive: None,
            escalations: EscalationLag::default(),
        })
    }

    #[test]
    fn lag_and_a_missing_worker_are_told_and_only_a_log_that_is_away_is_down() {
        let lag = Lag { events: 5, tenants: 1, seconds: 2.0, workers: 1 };
        let codes =
            |health: &AnalyticsHealth| health.reasons.iter().map(|reason| reason.code).collect::<Vec<_>>();
        let well = judge(Ok(()), numbers(lag));
        assert_eq!((well.state, codes(&well)), (State::Up, vec![]));
        assert_eq!(well.behind, Some(Behind { events: 5, seconds: 2.0 }));
        let slow = judge(Ok(()), numbers(Lag { seconds: 31.0, ..lag }));
        assert_eq!((slow.state, codes(&slow)), (State::Degraded, vec!["projector_behind"]));
        let idle = judge(Ok(()), numbers(Lag { workers: 0, ..lag }));
        assert_eq!((idle.state, codes(&idle)), (State::Degraded, vec!["projector_idle"]));
        let gone = LogError::Down("frozen".to_owned());
        let down = judge(Err(gone.clone()), Err(gone));
        assert_eq!((down.state, codes(&down), down.behind), (State::Down, vec!["database"], None));
    }
}
