//! What is sent to the log together, and which part of it is whose?

use super::NotAppended;
use super::request::Request;
use super::ticket::{Answer, Ticket};
use carillon_backplane::log::{Append, Appended};
use carillon_protocol::TenantId;
use std::collections::BTreeSet;
use std::ops::Range;

/// The events of several requests in one list, and who waits for which of them.
pub(super) struct Batch {
    pub(super) appends: Vec<Append>,
    pub(super) members: Vec<Member>,
}

/// Who waits, and for which of the events.
type Member = (Ticket, Range<usize>);

impl Batch {
    pub(super) fn of(requests: Vec<Request<Ticket>>) -> Self {
        let mut batch = Self { appends: Vec::new(), members: Vec::with_capacity(requests.len()) };
        for (number, request) in requests.into_iter().enumerate() {
            let start = batch.appends.len();
            let numbered = |append| Append { request: number as u32, ..append };
            batch.appends.extend(request.appends.into_iter().map(numbered));
            batch.members.push((request.ticket, start..batch.appends.len()));
        }
        batch
    }

    /// The requests it was made of, in their order.
    pub(super) fn into_requests(self) -> impl Iterator<Item = Request<Ticket>> {
        let mut appends = self.appends.into_iter();
        self.members
            .into_iter()
            .map(move |(ticket, range)| Request::new(appends.by_ref().take(range.len()).collect(), ticket))
    }

    /// Its requests in two batches, for a statement that fails because of some of them: the first half first.
    pub(super) fn halves(self) -> [Self; 2] {
        let middle = self.members.len() / 2;
        let mut first: Vec<_> = self.into_requests().collect();
        let second = first.split_off(middle);
        [Self::of(first), Self::of(second)]
    }

    /// Whose events it has.
    pub(super) fn tenants(&self) -> BTreeSet<TenantId> {
        self.appends.iter().map(|append| append.tenant.clone()).collect()
    }

    /// Tells all of them the same.
    pub(super) fn refuse(self, fault: NotAppended) {
        refuse(self.members, fault);
    }
}

/// Tells each of these what became of its events.
pub(super) fn answer(members: Vec<Member>, results: &[Appended]) {
    for (ticket, range) in members {
        let answer: Answer = results.get(range).map(<[_]>::to_vec).ok_or(NotAppended::Failed);
        ticket.answer(answer);
    }
}

/// Tells all of these the same.
pub(super) fn refuse(members: Vec<Member>, fault: NotAppended) {
    for (ticket, _) in members {
        ticket.answer(Err(fault));
    }
}
