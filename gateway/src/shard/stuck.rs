//! Does a client come back to the same event for ever?
//!
//! A library that takes smaller messages than an event needs ends its connection at that event, and there again whenever it
//! resumes. A cursor that came back three times, and each time ended at the event that follows it, is told so: in the close
//! frame to a client that says why it closes, in the next `welcome` to all.
//!
//! **What counts.** A WebSocket of the same user and device with the same cursor; the first event it got after it the same, and of 4 KiB or
//! more (no library takes less, and where the network breaks small events are the rule); ended by the client, but not in
//! order, or silent until we closed, within two minutes. What is remembered is bounded, and the tenant with the most gives way.

use crate::metrics::metrics;
use crate::stream::entry::Entry;
use carillon_platform::auth::Identity;
use carillon_protocol::limits::SERVER_FRAME_BYTES;
use carillon_protocol::{DeviceId, Seq, TenantId};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// So many ends at one event are no accident.
const TIMES: u8 = 3;
/// Frames below this are taken by every library.
const LARGE: usize = 4 * 1024;
/// Cursors that are remembered: some 400 KB.
const MOST: usize = 8_192;
/// How long after its last end one is remembered.
const REMEMBERED_S: u64 = 3_600;
/// Who is still there after this time has got the event.
pub(super) const PASSED_MS: u64 = 120_000;

/// The event that a cursor does not get past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StuckAt {
    seq: Seq,
    bytes: usize,
}

impl fmt::Display for StuckAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, .. } = self;
        write!(
            f,
            "stuck at seq {seq}: raise your client's message limit to limits.frame_bytes ({SERVER_FRAME_BYTES})"
        )
    }
}

/// A connection that has resumed, until it is known whether it gets past its first event.
pub(super) struct Watched {
    tenant: TenantId,
    cursor: u64,
    first: Option<StuckAt>,
}

impl Watched {
    /// Whether it is about a cursor of this tenant.
    pub(super) fn is_of(&self, tenant: &TenantId) -> bool {
        self.tenant == *tenant
    }

    /// Whether it is of this tenant and no event of that was written to it yet.
    pub(super) fn is_new_in(&self, tenant: &TenantId) -> bool {
        self.first.is_none() && self.tenant == *tenant
    }

    /// Notes the first event that is written to it.
    pub(super) fn begins_with(&mut self, entry: &Entry) {
        self.first = Some(StuckAt { seq: entry.seq, bytes: entry.frame.len() });
    }
}

/// The cursors of a node that ended at the event behind them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct StuckCursors(Arc<Inner>);

#[derive(Default)]
struct Inner {
    names: RandomState,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    total: usize,
    /// Of each tenant, the latest last.
    tenants: HashMap<TenantId, VecDeque<Ended>>,
}

struct Ended {
    cursor: u64,
    at: StuckAt,
    times: u8,
    last_s: u64,
}

impl StuckCursors {
    /// A connection that resumes after `since`.
    pub(super) fn watch(&self, identity: &Identity, device: Option<&DeviceId>, since: Seq) -> Watched {
        let cursor = self.0.names.hash_one((&identity.user, device, since));
        Watched { tenant: identity.tenant.clone(), cursor, first: None }
    }

    /// Where this one is stuck, if it is known.
    pub(super) fn known(&self, watched: &Watched, now_s: u64) -> Option<StuckAt> {
        let table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        let all = table.tenants.get(&watched.tenant)?;
        let ended = all.iter().find(|ended| ended.cursor == watched.cursor && ended.is_fresh(now_s))?;
        (ended.times >= TIMES).then_some(ended.at)
    }

    /// A connection ended that may not have got past its first event. Tells whether its cursor is stuck there.
    pub(super) fn ended(&self, watched: Watched, now_s: u64) -> Option<StuckAt> {
        let at = watched.first.filter(|first| first.bytes >= LARGE)?;
        let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        let times = table.note(&watched, at, now_s);
        drop(table);
        if times == TIMES {
            metrics().stuck_cursors.increment(1);
            let (tenant, seq, bytes) = (&watched.tenant, at.seq, at.bytes);
            tracing::info!(%tenant, %seq, bytes, "a client comes back to this event again and again: its library takes less");
        }
        (times >= TIMES).then_some(at)
    }
}

impl Ended {
    fn is_fresh(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.last_s) < REMEMBERED_S
    }
}

impl Table {
    /// How often this cursor has ended there now.
    fn note(&mut self, watched: &Watched, at: StuckAt, now_s: u64) -> u8 {
        let all = self.tenants.entry(watched.tenant.clone()).or_default();
        let before = all.len();
        while all.front().is_some_and(|oldest| !oldest.is_fresh(now_s)) {
            all.pop_front();
        }
        let known = all.iter().position(|ended| ended.cursor == watched.cursor);
        let known = known.and_then(|place| all.remove(place)).filter(|ended| ended.at == at);
        let times = known.map_or(1, |ended| ended.times.saturating_add(1));
        all.push_back(Ended { cursor: watched.cursor, at, times, last_s: now_s });
        self.total = self.total + all.len() - before;
        if self.total > MOST {
            self.forget_one();
        }
        times
    }

    /// The tenant with the most gives way.
    fn forget_one(&mut self) {
        let most = self.tenants.iter_mut().max_by_key(|(_, all)| all.len());
        if let Some((tenant, all)) = most {
            all.pop_front();
            self.total -= 1;
            if all.is_empty() {
                let tenant = tenant.clone();
                self.tenants.remove(&tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: StuckAt = StuckAt { seq: Seq(7), bytes: 70_000 };

    fn watched(tenant: &str, cursor: u64, first: StuckAt) -> Watched {
        Watched { tenant: TenantId::new(tenant).unwrap(), cursor, first: Some(first) }
    }

    #[test]
    fn three_ends_at_the_same_event_are_told() {
        let stuck = StuckCursors::default();
        let end = |first, now_s| stuck.ended(watched("acme", 1, first), now_s);
        let known = |now_s| stuck.known(&watched("acme", 1, AT), now_s);
        assert_eq!((end(AT, 0), end(AT, 10), known(10)), (None, None, None));
        assert_eq!((end(AT, 20), known(20)), (Some(AT), Some(AT)));
        assert_eq!(stuck.known(&watched("acme", 2, AT), 20), None, "another cursor");
        assert_eq!(stuck.known(&watched("other", 1, AT), 20), None, "another tenant");
        assert_eq!((known(20 + REMEMBERED_S), end(AT, 20 + REMEMBERED_S)), (None, None), "an hour later");
        let next = StuckAt { seq: Seq(8), ..AT };
        assert_eq!((end(AT, 4_000), end(next, 4_000), end(AT, 4_000)), (None, None, None), "another event");
        let small = StuckAt { bytes: LARGE - 1, ..AT };
        assert!(
            (0..9).all(|_| stuck.ended(watched("acme", 3, small), 0).is_none()),
            "every library takes that"
        );
        assert_eq!(
            AT.to_string(),
            "stuck at seq 7: raise your client's message limit to limits.frame_bytes (98304)"
        );
    }

    #[test]
    fn i10_what_is_remembered_is_bounded_and_a_greedy_tenant_forgets_its_own() {
        let stuck = StuckCursors::default();
        for cursor in 0..2 {
            stuck.ended(watched("small", cursor, AT), 0);
        }
        for cursor in 0..2 * MOST as u64 {
            stuck.ended(watched("greedy", cursor, AT), 0);
        }
        for cursor in 0..2 {
            assert_eq!(stuck.ended(watched("small", cursor, AT), 0), None);
            assert_eq!(stuck.ended(watched("small", cursor, AT), 0), Some(AT));
        }
        let table = stuck.0.table.lock().unwrap();
        assert_eq!((table.total, table.tenants.values().map(VecDeque::len).sum::<usize>()), (MOST, MOST));
    }
}
