//! Do notices reach inboxes, and are people who miss them named in time?
//!
//! A notice is in every inbox as soon as it is in the log, so that nothing of it can lag behind. What can are the steps of escalations,
//! what webhooks have to send, and, without Redis, what devices hear of an inbox.

use super::events::{BEHIND_SECONDS, Numbers, about_lag};
use super::{Behind, Reason, RedisNumbers, State, redis, worst};
use carillon_backplane::bus::BusHealth;
use carillon_backplane::log::{EscalationLag, LogError, WEBHOOKS};
use serde::Serialize;
use utoipa::ToSchema;

/// How notices are.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NotificationsHealth {
    /// The worst of the reasons; `up` without one.
    pub state: State,
    /// Why it is not `up`.
    pub reasons: Vec<Reason>,
    /// Steps of escalations that are due; null when the log did not say.
    pub escalations: Option<EscalationNumbers>,
    /// What webhooks may send now and have not sent; null when the log did not say.
    pub webhooks: Option<Behind>,
    /// Redis, as this publisher sees it: without it devices do not hear what their person does with an inbox.
    pub redis: RedisNumbers,
}

/// Steps of escalations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct EscalationNumbers {
    /// Steps that are due; of more than 200: 201.
    pub due: u32,
    /// For how many seconds the one is due that is due longest; 0 when none is.
    pub seconds: f64,
}

/// What to think of it.
pub(super) fn judge(
    writable: Result<(), LogError>,
    numbers: Result<Numbers, LogError>,
    bus: BusHealth,
) -> NotificationsHealth {
    let mut reasons = Vec::new();
    if let Err(fault) = &writable {
        reasons.push(Reason::new(State::Down, crate::readiness::reason(fault), fault.to_string()));
    } else if let Err(fault) = &numbers {
        let message = format!("the log did not say which escalations are due: {fault}");
        reasons.push(Reason::new(State::Degraded, "numbers_missing", message));
    }
    let numbers = numbers.ok();
    let escalations = numbers.as_ref().map(|numbers| numbers.escalations);
    if let Some(EscalationLag { due, seconds }) = escalations
        && seconds > BEHIND_SECONDS
    {
        let message = format!("{due} steps of escalations are due, one of them for {seconds:.0} s");
        reasons.push(Reason::new(State::Degraded, "escalations_late", message));
    }
    let lag = numbers.and_then(|numbers| {
        numbers.projectors.into_iter().find(|(name, _)| *name == WEBHOOKS).map(|(_, lag)| lag)
    });
    reasons.extend(lag.as_ref().and_then(|lag| about_lag(WEBHOOKS, lag)));
    reasons.extend(redis(bus, "devices do not hear of changes of an inbox until they read it"));
    NotificationsHealth {
        state: worst(&reasons),
        reasons,
        escalations: escalations.map(|EscalationLag { due, seconds }| EscalationNumbers { due, seconds }),
        webhooks: lag.map(|lag| Behind { events: lag.events, seconds: lag.seconds }),
        redis: bus.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::bus::DownCause;
    use carillon_backplane::log::{Lag, OutboxState, PartitionState};
    use std::time::Instant;

    fn numbers(seconds: f64, workers: u32) -> Result<Numbers, LogError> {
        let lag = Lag { events: 4, tenants: 1, seconds: 0.0, workers };
        Ok(Numbers {
            answer_ms: 1.0,
            partitions: PartitionState { ahead: 8, due: 0 },
            projectors: vec![("channel_index", Lag { workers: 0, seconds: 99.0, ..lag }), (WEBHOOKS, lag)],
            outbox: OutboxState::default(),
            archive: None,
            escalations: EscalationLag { due: 3, seconds },
        })
    }

    fn codes(health: &NotificationsHealth) -> (State, Vec<&'static str>) {
        (health.state, health.reasons.iter().map(|reason| reason.code).collect())
    }

    #[test]
    fn late_steps_idle_webhooks_and_an_absent_redis_degrade_it_and_other_readers_of_the_log_do_not() {
        let well = judge(Ok(()), numbers(4.0, 1), BusHealth::Up);
        assert_eq!(codes(&well), (State::Up, vec![]));
        assert_eq!(well.escalations, Some(EscalationNumbers { due: 3, seconds: 4.0 }));
        assert_eq!(well.webhooks, Some(Behind { events: 4, seconds: 0.0 }));
        let late = judge(Ok(()), numbers(31.0, 1), BusHealth::Up);
        assert_eq!(codes(&late), (State::Degraded, vec!["escalations_late"]));
        let idle = judge(Ok(()), numbers(0.0, 0), BusHealth::Up);
        assert_eq!(codes(&idle), (State::Degraded, vec!["projector_idle"]));
        let away = BusHealth::Down { since: Instant::now(), cause: DownCause::Silent };
        let deaf = judge(Ok(()), numbers(0.0, 1), away);
        assert_eq!(codes(&deaf), (State::Degraded, vec!["redis"]));
        assert!(!deaf.redis.up);
    }

    #[test]
    fn only_a_log_that_takes_no_notices_is_down() {
        let busy = judge(Ok(()), Err(LogError::Busy("too much".to_owned())), BusHealth::Up);
        assert_eq!(codes(&busy), (State::Degraded, vec!["numbers_missing"]));
        let gone = LogError::Down("frozen".to_owned());
        let down = judge(Err(gone.clone()), Err(gone), BusHealth::Up);
        assert_eq!(
            (codes(&down), down.escalations, down.webhooks),
            ((State::Down, vec!["database"]), None, None)
        );
    }
}
