//! Where in its tenant's log does a client go on that was here before?
//!
//! A cursor is only what the client says. What it shows to be wrong is told to this client alone; nothing about the log
//! is decided from it. And no cursor is refuted by a server that may be behind.

mod last;

use crate::authorize::{Refusal, Resume};
use crate::metrics::metrics;
use crate::stream::Stream;
use crate::stream::feed::{OpenError, Streams};
use carillon_backplane::log::{Log, LogError};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_platform::share::{FairPermit, FairPermits, Holder, PermitLimits, Refused};
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Channel, Epoch, Epochs, LastEvent, Seq, TenantId, UserId};
use last::Answers;
use std::time::Duration;

/// How long a stream may take to reach a cursor that another node has seen already.
const REACH: Duration = Duration::from_secs(3);

/// How long a client waits for its turn to have the log asked.
const TURN: Duration = Duration::from_secs(3);
/// Questions about cursors at a time; one of a tenant, so that another tenant's never waits for more than one of others.
const CHECKS: PermitLimits = PermitLimits {
    total: 2,
    per_group: 1,
    per_member: 1,
    waiting: 16_384,
    waiting_per_group: 4_096,
    waiting_per_member: 64,
};

/// Where a client says it was.
pub(crate) struct Claimed {
    pub(crate) since: Option<Seq>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) last: Option<LastEvent>,
}

/// What somebody may see who comes back: what their token or a rule lets them hear, and the channels that they were let into just now,
/// by whom ever.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) rules: &'a RuleSet,
    pub(crate) joined: &'a [Channel],
}

impl Sight<'_> {
    fn has_one_of(self, channels: &[Channel]) -> bool {
        let is_allowed = |channel: &Channel| {
            let decision = self.rules.decide(Action::Subscribe, self.identity, channel);
            matches!(decision, Decision::Allowed(_)) || self.joined.contains(channel)
        };
        channels.iter().any(is_allowed)
    }
}

/// What a log says of a cursor.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It stands in this log.
    Within,
    /// The log ends before it.
    Ahead,
    /// It is of an epoch this log has had, but beyond what is left of that.
    Lost,
    /// It is of an epoch this log never had, or has not had yet.
    Unknown,
}

fn place(epoch: Option<&Epoch>, seq: Seq, epochs: &Epochs, head: Seq) -> Place {
    match epoch.map(|epoch| epochs.good_up_to(epoch)) {
        Some(None) => Place::Unknown,
        Some(Some(upto)) if seq > upto => Place::Lost,
        _ if seq > head => Place::Ahead,
        _ => Place::Within,
    }
}

/// Asks the log about cursors that the stream alone cannot judge.
#[derive(Clone)]
pub(crate) struct CursorChecks {
    log: Log,
    permits: FairPermits<TenantId, UserId>,
    answers: Answers,
}

impl CursorChecks {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, permits: FairPermits::with_rests(CHECKS), answers: Answers::default() }
    }

    /// The right to ask once: cursors cost nothing to invent, so whoever invents many waits behind their own, and their tenant rests after each.
    /// Nobody rests after a cursor that is good: a thousand people of a tenant come back with those when a gateway has started.
    async fn permit(&self, identity: &Identity) -> Result<FairPermit<TenantId, UserId>, Refusal> {
        let holder = Holder { group: identity.tenant.clone(), member: identity.user.clone() };
        if let Ok(permit) = self.permits.try_acquire(holder.clone()) {
            return Ok(permit);
        }
        metrics().read_waited("cursor");
        let waited = tokio::time::timeout(TURN, self.permits.acquire(holder)).await;
        waited.unwrap_or(Err(Refused::Total)).map_err(|bound| {
            metrics().cursor_check_refused(bound);
            Refusal::busy()
        })
    }
}

/// Where somebody begins who claims to have been somewhere.
pub(crate) async fn resume(
    streams: &Streams,
    checks: &CursorChecks,
    stream: &Stream,
    claimed: Claimed,
    sight: Sight<'_>,
) -> Result<Resume, Refusal> {
    let Some(seq) = claimed.since else { return Ok(Resume::Fresh) };
    let epoch = claimed.epoch.as_ref();
    let (mut life, mut head) = stream.position();
    let mut here = place(epoch, seq, &life.epochs, head);
    let mut permit = None;
    if matches!(here, Place::Ahead | Place::Unknown) {
        permit = Some(checks.permit(sight.identity).await?);
        // What the stream did not know it may have heard while this client waited for its turn.
        (life, head) = stream.position();
        here = place(epoch, seq, &life.epochs, head);
    }
    match here {
        Place::Within => {}
        // Later epochs only take more away.
        Place::Lost => return Ok(Resume::Reset(ResetReason::EpochChanged)),
        Place::Ahead | Place::Unknown => {
            // The client may have heard from another node what this one has not heard yet: the log knows.
            let truth = checks.log.open_tenant(&stream.tenant, false).await.map_err(unreadable)?;
            let truth = truth.ok_or_else(unavailable)?;
            let there = place(epoch, seq, &truth.epochs, truth.head.seq);
            if let Some(permit) = permit.take()
                && there == Place::Within
            {
                permit.was_light();
            }
            match there {
                Place::Within => {}
                Place::Lost => return Ok(Resume::Reset(ResetReason::EpochChanged)),
                Place::Ahead | Place::Unknown if !truth.writable => return Err(unavailable()),
                Place::Ahead | Place::Unknown => return Ok(Resume::Reset(ResetReason::EpochChanged)),
            }
            streams.check_heads().await;
            let reached = stream.reached(&truth.head.epoch, seq);
            tokio::time::timeout(REACH, reached).await.map_err(|_| unavailable())?;
            (life, head) = stream.position();
        }
    }
    if let Some(permit) = permit {
        // The log was not asked: the stream had heard of it meanwhile.
        permit.was_light();
    }
    if let Some(last) = &claimed.last
        && !last::is_in_log(checks, stream, (life.number, head), last, sight).await?
    {
        return Ok(Resume::Reset(ResetReason::EventChanged));
    }
    if seq.next() < life.oldest && seq < head {
        return Ok(Resume::Reset(ResetReason::TooOld));
    }
    Ok(Resume::From { epoch: life.epoch, seq })
}

fn unavailable() -> Refusal {
    Refusal::unavailable("the tenant's log cannot be read now; come back soon")
}

fn unreadable(error: LogError) -> Refusal {
    tracing::debug!(%error, "a cursor could not be compared with the log");
    OpenError::from(&error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::Began;

    #[test]
    fn a_cursor_stands_in_the_log_up_to_where_the_next_epoch_began() {
        let epoch = |name: &str| Epoch::new(name).unwrap();
        let known =
            [("e3", 50), ("e2", 20)].map(|(name, after)| Began { epoch: epoch(name), after: Seq(after) });
        let epochs = Epochs::new(&epoch("e3"), known.to_vec());
        let place = |name: Option<&str>, seq| place(name.map(epoch).as_ref(), Seq(seq), &epochs, Seq(70));
        assert_eq!((place(None, 70), place(None, 71)), (Place::Within, Place::Ahead));
        assert_eq!((place(Some("e3"), 70), place(Some("e3"), 71)), (Place::Within, Place::Ahead));
        assert_eq!((place(Some("e2"), 50), place(Some("e2"), 51)), (Place::Within, Place::Lost));
        assert_eq!(place(Some("e2"), 99), Place::Lost, "not merely ahead");
        assert_eq!(place(Some("e1"), 1), Place::Unknown);
    }

    #[test]
    fn cursors_of_one_tenant_are_asked_for_one_at_a_time() {
        let permits = FairPermits::new(CHECKS);
        let holder = |tenant: &str| Holder::new(tenant, "anna");
        let held = permits.try_acquire(holder("acme")).ok();
        assert!(held.is_some() && permits.try_acquire(holder("acme")).is_err());
        assert!(permits.try_acquire(holder("other")).is_ok(), "another tenant's is asked for at once");
    }
}
