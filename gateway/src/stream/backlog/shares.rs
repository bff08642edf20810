//! Who may read the log next, and who may hold what was read?
//!
//! A read needs a *permit*: resumes and histories have their own, so neither waits for the other, and repairs of live
//! streams wait for neither. Of each, one tenant never holds them all; who waits gets one in turn, tenant by tenant and
//! user by user. What is read needs *room* among replays until the connection has taken it: a holder whose connections
//! do not take their pages uses up its own share of the budget, and nobody else's.

use super::PAGE_WEIGHT;
use crate::metrics::metrics;
use carillon_backplane::log::LogError;
use carillon_platform::share::{FairPermit, FairPermits, Holder, PermitLimits, Refused};
use carillon_protocol::{TenantId, UserId};

/// Who reads: a user of a tenant.
pub(crate) type Reader = Holder<TenantId, UserId>;
/// A reader's place among replays, for one page.
pub(crate) type Room = FairPermit<TenantId, UserId>;

/// What a read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page for a connection behind its ring.
    Resume,
    /// A page of history, or where it begins.
    History,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::History => "history",
        }
    }
}

/// Waiting reads: a connection has one under way, but connections may come and go faster than reads.
const WAITING: PermitLimits = PermitLimits {
    total: 1,
    per_group: 1,
    per_member: 1,
    waiting: 65_536,
    waiting_per_group: 16_384,
    waiting_per_member: 256,
};
const RESUMES: PermitLimits = PermitLimits { total: 3, per_group: 2, per_member: 2, ..WAITING };
const HISTORIES: PermitLimits = PermitLimits { total: 2, per_group: 1, per_member: 1, ..WAITING };

/// Room for so many pages; a quarter is never one tenant's alone. The smallest budget has room for one page.
fn rooms(budget: usize) -> PermitLimits {
    let total = (budget / PAGE_WEIGHT).max(1);
    PermitLimits { total, per_group: (total * 3 / 4).max(1), per_member: (total / 2).max(1), ..WAITING }
}

/// All that is shared among readers.
pub(super) struct Shares {
    resumes: FairPermits<TenantId, UserId>,
    histories: FairPermits<TenantId, UserId>,
    rooms: FairPermits<TenantId, UserId>,
}

impl Shares {
    /// For replays within so many bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            resumes: FairPermits::new(RESUMES),
            histories: FairPermits::new(HISTORIES),
            rooms: FairPermits::new(rooms(budget)),
        }
    }

    /// The right to read once.
    pub(super) async fn permit(
        &self,
        kind: Kind,
        reader: &Reader,
    ) -> Result<FairPermit<TenantId, UserId>, LogError> {
        let permits = match kind {
            Kind::Resume => &self.resumes,
            Kind::History => &self.histories,
        };
        if let Ok(permit) = permits.try_acquire(reader.clone()) {
            return Ok(permit);
        }
        metrics().read_waited(kind.label());
        permits.acquire(reader.clone()).await.map_err(|refused| too_many(kind, refused))
    }

    /// Room for one page.
    pub(super) async fn room(&self, kind: Kind, reader: &Reader) -> Result<Room, LogError> {
        if let Ok(room) = self.rooms.try_acquire(reader.clone()) {
            return Ok(room);
        }
        metrics().replay_waits.increment(1);
        self.rooms.acquire(reader.clone()).await.map_err(|refused| too_many(kind, refused))
    }
}

fn too_many(kind: Kind, refused: Refused) -> LogError {
    LogError::Busy(format!("too many reads of kind {} wait: {refused}", kind.label()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn reader(tenant: &str, user: usize) -> Reader {
        let user = UserId::new(format!("user-{user}")).unwrap();
        Holder { group: TenantId::new(tenant).unwrap(), member: user }
    }

    fn poll<T>(
        work: std::pin::Pin<&mut impl Future<Output = Result<T, LogError>>>,
    ) -> Option<Result<T, LogError>> {
        match work.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// What comes without anybody giving anything back.
    fn at_once<T>(work: impl Future<Output = Result<T, LogError>>) -> Option<T> {
        poll(pin!(work))?.ok()
    }

    #[test]
    fn one_tenant_never_holds_every_permit_of_a_kind_or_all_the_room() {
        let shares = Shares::new(64 * PAGE_WEIGHT);
        let mut held = Vec::new();
        for kind in [Kind::Resume, Kind::History] {
            held.extend((0..10).filter_map(|user| at_once(shares.permit(kind, &reader("hostile", user)))));
            assert!(at_once(shares.permit(kind, &reader("hostile", 99))).is_none(), "it has its share");
            assert!(at_once(shares.permit(kind, &reader("innocent", 1))).is_some(), "{kind:?}");
        }
        held.extend((0..100).filter_map(|user| at_once(shares.room(Kind::Resume, &reader("hostile", user)))));
        assert_eq!(held.len(), 2 + 1 + 48);
        assert!(at_once(shares.room(Kind::History, &reader("innocent", 1))).is_some());
    }

    #[test]
    fn one_user_leaves_room_to_others_of_the_tenant() {
        let shares = Shares::new(64 * PAGE_WEIGHT);
        let mut held = Vec::new();
        for _ in 0..100 {
            held.extend(at_once(shares.permit(Kind::Resume, &reader("acme", 1))));
            held.extend(at_once(shares.permit(Kind::History, &reader("acme", 1))));
            held.extend(at_once(shares.room(Kind::Resume, &reader("acme", 1))));
        }
        assert_eq!(held.len(), 2 + 1 + 32);
        assert!(at_once(shares.room(Kind::Resume, &reader("acme", 2))).is_some());
    }

    #[test]
    fn users_of_a_tenant_take_turns() {
        let shares = Shares::new(64 * PAGE_WEIGHT);
        let held = at_once(shares.permit(Kind::History, &reader("acme", 1)));
        let (greedy, modest) = (reader("acme", 1), reader("acme", 2));
        let mut queued: Vec<_> = (0..100).map(|_| Box::pin(shares.permit(Kind::History, &greedy))).collect();
        assert!(queued.iter_mut().all(|read| poll(read.as_mut()).is_none()));
        let mut modest = Box::pin(shares.permit(Kind::History, &modest));
        assert!(poll(modest.as_mut()).is_none());
        drop(held);
        let first = queued.iter_mut().find_map(|read| poll(read.as_mut()));
        assert!(first.is_some(), "the greedy one was first");
        drop(first);
        assert!(poll(modest.as_mut()).is_some(), "then it is another's turn");
    }

    #[test]
    fn who_waits_has_a_turn_after_one_page_of_each_tenant_before_it() {
        let shares = Shares::new(64 * PAGE_WEIGHT);
        // Two tenants hold every permit, and each has a hundred more reads in the queue.
        let mut held = Vec::new();
        let mut queued = Vec::new();
        for tenant in ["hostile-1", "hostile-2"] {
            held.extend(
                (0..5).filter_map(|user| at_once(shares.permit(Kind::Resume, &reader(tenant, user)))),
            );
            for user in 0..100 {
                let (shares, reader) = (&shares, reader(tenant, user));
                queued.push(Box::pin(async move { shares.permit(Kind::Resume, &reader).await }));
            }
        }
        assert!(held.len() == 3 && queued.iter_mut().all(|read| poll(read.as_mut()).is_none()));
        let innocent = reader("innocent", 1);
        let mut innocent = Box::pin(shares.permit(Kind::Resume, &innocent));
        assert!(poll(innocent.as_mut()).is_none());
        held.drain(..3);
        assert!(poll(innocent.as_mut()).is_some(), "three pages ended, two other tenants were before it");
        drop((innocent, held));
        while !queued.is_empty() {
            let before = queued.len();
            queued.retain_mut(|read| poll(read.as_mut()).is_none());
            assert!(queued.len() < before, "all come through");
        }
    }

    #[test]
    fn i10_reads_that_wait_are_bounded_for_a_user_and_refused_beyond() {
        let shares = Shares::new(PAGE_WEIGHT);
        let reader = reader("acme", 1);
        let _held = at_once(shares.room(Kind::Resume, &reader)).unwrap();
        let mut waiting: Vec<_> = (0..300).map(|_| Box::pin(shares.room(Kind::Resume, &reader))).collect();
        let refused = waiting.iter_mut().filter_map(|wait| poll(wait.as_mut()));
        assert_eq!(refused.filter(Result::is_err).count(), 300 - 256);
    }
}
