//! How long does a large request wait for room in the intake before it is refused?
//!
//! A refused request of a megabyte costs nearly as much as a stored one: it was received and looked at, and whoever does not wait
//! as long as it is told to sends it again at once. Forty such connections would take all processors. So the large requests of
//! one key or user come in one after the other, in their order, and wait a while until their share has room; whoever finds too
//! many waiting hears so only after a pause. Small requests, and those of others, never wait here.

use super::NotAppended;
use super::queue::QUANTUM;
use super::request::EVENT_COST;
use super::shares::{Publisher, Share, Shares};
use carillon_backplane::log::Append;
use carillon_platform::share::{FairPermit, FairPermits, Holder, PermitLimits, Refused};
use carillon_protocol::TenantId;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Longest wait for room, with the wait for those before.
const WAIT: Duration = Duration::from_secs(1);
/// What whoever finds too many waiting waits for its answer.
const PAUSE: Duration = Duration::from_millis(250);
/// Requests that wait have their bodies in memory already, and those are bounded.
const LIMITS: PermitLimits = PermitLimits {
    total: usize::MAX,
    per_group: 1,
    per_member: 1,
    waiting: 1_024,
    waiting_per_group: 256,
    waiting_per_member: 256,
};

/// Whose large requests come in one after the other: those of a key or user, in a tenant if it is known before the body is read.
type Line = (Publisher, Option<TenantId>);

/// Those who wait.
#[derive(Clone)]
pub(super) struct Rooms(FairPermits<Line, ()>);

/// There is room for a large request until its events are in the intake, where others of the same key or user cannot take it.
pub struct Room {
    until: Instant,
    _first: FairPermit<Line, ()>,
}

impl Room {
    /// Whether a request of so many events waits for room, however small they are: one that is stored in bulk does.
    pub fn is_needed_for(events: usize) -> bool {
        events.saturating_mul(EVENT_COST) > QUANTUM
    }

    /// Takes the events' share. Only now all of their tenants are known, so it may have to be waited for again.
    pub(super) async fn take(
        self,
        shares: &Shares,
        appends: &[Append],
        publisher: &Publisher,
    ) -> Result<Share, NotAppended> {
        until_free(shares, self.until, || shares.take(appends, publisher)).await
    }
}

/// Tries again whenever something is given back, as long as it is the holder's share that is used up.
async fn until_free<T>(
    shares: &Shares,
    until: Instant,
    attempt: impl Fn() -> Result<T, NotAppended>,
) -> Result<T, NotAppended> {
    loop {
        let mut freed = pin!(shares.freed());
        freed.as_mut().enable();
        match attempt() {
            Err(refused @ (NotAppended::TenantShare | NotAppended::CallerShare)) => {
                timeout_at(until, freed).await.map_err(|_| refused)?;
            }
            result => return result,
        }
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self(FairPermits::new(LIMITS))
    }
}

impl Rooms {
    /// Waits until so many events would be taken.
    pub(super) async fn wait(
        &self,
        shares: &Shares,
        events: usize,
        tenant: Option<&TenantId>,
        publisher: &Publisher,
    ) -> Result<Room, NotAppended> {
        let until = Instant::now() + WAIT;
        let line = Holder::group((publisher.clone(), tenant.cloned()));
        let first = match timeout_at(until, self.0.acquire(line)).await {
            Ok(Ok(first)) => first,
            Ok(Err(bound)) => {
                sleep(PAUSE).await;
                return Err(match bound {
                    Refused::Total => NotAppended::Overloaded,
                    Refused::Group | Refused::Member => NotAppended::CallerShare,
                });
            }
            Err(_) => return Err(NotAppended::CallerShare),
        };
        until_free(shares, until, || shares.check(events, tenant, publisher)).await?;
        Ok(Room { until, _first: first })
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::append;
    use super::*;
    use crate::metrics::Metrics;
    use futures_util::poll;
    use std::sync::Arc;

    const EVENTS: usize = 500;

    fn key(id: &str) -> Publisher {
        Publisher { name: format!("key:{id}").into(), several_tenants: true }
    }

    struct Intake {
        rooms: Rooms,
        shares: Shares,
    }

    impl Intake {
        fn new() -> Self {
            Self { rooms: Rooms::default(), shares: Shares::new(Arc::new(Metrics::new())) }
        }

        async fn come(&self, who: &str) -> Result<(), NotAppended> {
            self.rooms.wait(&self.shares, EVENTS, None, &key(who)).await.map(drop)
        }

        /// What a key has when no other large request of it fits into these tenants' shares.
        fn fill(&self, who: &str, tenants: &[&str]) -> Vec<Share> {
            let of = |tenant: &&str| {
                let events = vec![append(tenant, None, 10); EVENTS];
                std::iter::from_fn(move || self.shares.take(&events, &key(who)).ok())
            };
            tenants.iter().flat_map(of).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_request_waits_for_room_in_its_order_and_nobody_waits_for_it() {
        let intake = Intake::new();
        let mut stored = intake.fill("importer", &["a", "b"]);
        let (mut first, mut second) = (Box::pin(intake.come("importer")), Box::pin(intake.come("importer")));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert_eq!(intake.come("other").await, Ok(()));
        let before = stored.len();
        stored.pop();
        assert!(poll!(&mut second).is_pending(), "its turn is later");
        assert_eq!(first.await, Ok(()));
        assert_eq!((second.await, before > 10), (Ok(()), true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_share_in_a_tenant_is_waited_for_when_the_tenant_is_known() {
        let intake = Intake::new();
        let mut stored = intake.fill("importer", &["a"]);
        let room = intake.rooms.wait(&intake.shares, EVENTS, None, &key("importer")).await;
        let room = room.unwrap_or_else(|refused| panic!("over all tenants there is more: {refused}"));
        let (events, importer) = (vec![append("a", None, 10); EVENTS], key("importer"));
        let mut taking = Box::pin(room.take(&intake.shares, &events, &importer));
        assert!(poll!(&mut taking).is_pending());
        stored.pop();
        assert!(taking.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_room_is_told_after_a_while_and_never_at_once() {
        let intake = Intake::new();
        let _stored = intake.fill("importer", &["a", "b"]);
        let began = Instant::now();
        let waiting: Vec<_> = (0..=256).map(|_| intake.come("importer")).collect();
        let waiting = futures_util::future::join_all(waiting);
        let mut waiting = Box::pin(waiting);
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(intake.come("importer").await, Err(NotAppended::CallerShare));
        assert_eq!(began.elapsed(), PAUSE, "too many wait");
        assert!(waiting.await.iter().all(|told| *told == Err(NotAppended::CallerShare)));
        assert_eq!((began.elapsed(), intake.rooms.0.usage().held), (WAIT, 0));
    }
}
