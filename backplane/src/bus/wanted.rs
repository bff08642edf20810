//! Which tenants does this gateway want, and for which of them has Redis confirmed it?
//!
//! Pure: a state per tenant. A new connection starts with nothing confirmed. Link state is kept here, under the same
//! lock as the wishes, so a wish can never fall between "everything is subscribed" and "the link is up".

use carillon_protocol::ident::TenantId;
use std::collections::{HashMap, HashSet, VecDeque};
use tokio::sync::oneshot;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be sent to Redis, which may have it subscribed all the same: it was given up and wanted again before an
    /// UNSUBSCRIBE went out.
    Pending {
        subscribed: bool,
    },
    /// Sent, not confirmed.
    Sent,
    Confirmed,
}

#[derive(Debug)]
struct Wish {
    state: State,
    waiters: Vec<oneshot::Sender<()>>,
}

/// What a caller who wants a tenant has to do.
#[derive(Debug)]
pub(super) enum Want {
    /// Nothing: it is confirmed.
    Confirmed,
    /// Wait; an error means the link went down (the wish stays).
    Wait(oneshot::Receiver<()>),
    /// Not wait: the link is down (the wish stays).
    Down,
}

#[derive(Debug, Default)]
pub(super) struct Wanted {
    wishes: HashMap<TenantId, Wish>,
    /// Candidates for [`Wanted::take_batch`]; an entry whose wish is not `Pending` any more is skipped.
    pending: VecDeque<TenantId>,
    leaving: HashSet<TenantId>,
    /// How many wishes are not `Confirmed`.
    unconfirmed: usize,
    /// Round robin of [`Wanted::audit`].
    audit: VecDeque<TenantId>,
    up: bool,
}

impl Wanted {
    pub(super) fn want(&mut self, tenant: &TenantId) -> Want {
        if !self.wishes.contains_key(tenant) {
            self.compact();
            let subscribed = self.leaving.remove(tenant);
            self.pending.push_back(tenant.clone());
            self.unconfirmed += 1;
            let state = State::Pending { subscribed };
            self.wishes.insert(tenant.clone(), Wish { state, waiters: Vec::new() });
        }
        match self.wishes.get_mut(tenant) {
            Some(wish) if self.up && wish.state == State::Confirmed => Want::Confirmed,
            Some(wish) if self.up => {
                wish.waiters.retain(|waiter| !waiter.is_closed());
                let (sender, receiver) = oneshot::channel();
                wish.waiters.push(sender);
                Want::Wait(receiver)
            }
            _ => Want::Down,
        }
    }

    /// Returns whether Redis has to be told.
    pub(super) fn unwant(&mut self, tenant: &TenantId) -> bool {
        let Some(wish) = self.wishes.remove(tenant) else { return false };
        self.unconfirmed -= usize::from(wish.state != State::Confirmed);
        let known_to_redis = wish.state != State::Pending { subscribed: false };
        if known_to_redis {
            self.leaving.insert(tenant.clone());
        }
        known_to_redis
    }

    pub(super) fn len(&self) -> usize {
        self.wishes.len()
    }

    /// A new connection: Redis knows nothing of us.
    pub(super) fn start_over(&mut self) {
        self.up = false;
        self.leaving.clear();
        self.audit.clear();
        for wish in self.wishes.values_mut() {
            wish.state = State::Pending { subscribed: false };
            wish.waiters.clear();
        }
        self.pending = self.wishes.keys().cloned().collect();
        self.unconfirmed = self.wishes.len();
    }

    /// The connection is gone: nobody should wait for it.
    pub(super) fn down(&mut self) {
        self.up = false;
        for wish in self.wishes.values_mut() {
            wish.waiters.clear();
        }
    }

    /// Wishes that come and go during a long outage must not pile up.
    fn compact(&mut self) {
        if self.pending.len() > 2 * self.wishes.len() + 64 {
            let mut seen = HashSet::new();
            self.pending.retain(|tenant| self.wishes.contains_key(tenant) && seen.insert(tenant.clone()));
        }
    }

    /// Tenants to unsubscribe from. They have to be sent before the next batch is taken.
    pub(super) fn take_leaving(&mut self) -> Vec<TenantId> {
        self.leaving.drain().collect()
    }

    /// Up to `max` tenants to subscribe to, now `Sent`.
    pub(super) fn take_batch(&mut self, max: usize) -> Vec<TenantId> {
        let mut batch = Vec::new();
        while batch.len() < max
            && let Some(tenant) = self.pending.pop_front()
        {
            if let Some(wish) = self.wishes.get_mut(&tenant)
                && matches!(wish.state, State::Pending { .. })
            {
                wish.state = State::Sent;
                batch.push(tenant);
            }
        }
        batch
    }

    /// Redis confirmed these. One that was given up and wanted again meanwhile is `Pending` and will be sent again.
    pub(super) fn confirm(&mut self, batch: &[TenantId]) {
        for tenant in batch {
            if let Some(wish) = self.wishes.get_mut(tenant)
                && wish.state == State::Sent
            {
                wish.state = State::Confirmed;
                self.unconfirmed -= 1;
                for waiter in wish.waiters.drain(..) {
                    // Who does not wait any more needs no answer.
                    let _ = waiter.send(());
                }
            }
        }
    }

    /// Up from now on, if nothing is left to do. Returns whether it is.
    pub(super) fn settle(&mut self) -> bool {
        let settled = self.leaving.is_empty() && self.unconfirmed == 0;
        self.up |= settled;
        settled
    }

    /// Up to `max` confirmed tenants, another part at every call until all were named.
    pub(super) fn audit(&mut self, max: usize) -> Vec<TenantId> {
        if self.audit.is_empty() {
            self.audit = self.wishes.keys().cloned().collect();
        }
        let count = max.min(self.audit.len());
        let mut part: Vec<_> = self.audit.drain(..count).collect();
        part.retain(|t| self.wishes.get(t).is_some_and(|wish| wish.state == State::Confirmed));
        part
    }
}

#[cfg(test)]
#[path = "wanted_model_tests.rs"]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    fn t(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    /// A registry whose link is up.
    fn up() -> Wanted {
        let mut wanted = Wanted::default();
        wanted.start_over();
        assert!(wanted.settle());
        wanted
    }

    #[test]
    fn a_wish_waits_for_the_confirmation() {
        let mut wanted = up();
        let Want::Wait(mut answer) = wanted.want(&t("a")) else { panic!("no wait") };
        assert_eq!(wanted.take_batch(10), [t("a")]);
        assert!(answer.try_recv().is_err());
        wanted.confirm(&[t("a")]);
        assert!(answer.try_recv().is_ok());
        assert!(matches!(wanted.want(&t("a")), Want::Confirmed));
        assert!(wanted.take_batch(10).is_empty());
    }

    #[test]
    fn a_wish_made_while_down_holds_up_the_link_until_it_is_confirmed() {
        let mut wanted = Wanted::default();
        assert!(matches!(wanted.want(&t("a")), Want::Down));
        wanted.start_over();
        assert!(!wanted.settle());
        let batch = wanted.take_batch(10);
        assert!(matches!(wanted.want(&t("b")), Want::Down));
        wanted.confirm(&batch);
        assert!(!wanted.settle(), "b came while a was under way");
        let batch = wanted.take_batch(10);
        wanted.confirm(&batch);
        assert!(wanted.settle());
    }

    #[test]
    fn a_lost_link_fails_who_waits_and_asks_for_everything_again() {
        let mut wanted = up();
        let Want::Wait(mut answer) = wanted.want(&t("a")) else { panic!("no wait") };
        wanted.take_batch(10);
        wanted.down();
        assert!(answer.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed));
        assert!(matches!(wanted.want(&t("a")), Want::Down));
        wanted.start_over();
        assert_eq!(wanted.take_batch(10), [t("a")]);
    }

    #[test]
    fn leaving_and_coming_back_ends_subscribed() {
        let mut wanted = up();
        let _ = wanted.want(&t("a"));
        let sent = wanted.take_batch(10);
        // Left and wanted again while SUBSCRIBE was under way: the old confirmation does not count.
        assert!(wanted.unwant(&t("a")));
        let _ = wanted.want(&t("a"));
        assert!(wanted.take_leaving().is_empty());
        wanted.confirm(&sent);
        assert_eq!(wanted.take_batch(10), [t("a")]);
        wanted.confirm(&[t("a")]);
        // Left, Redis told, wanted again: subscribed once more, after the UNSUBSCRIBE.
        assert!(wanted.unwant(&t("a")));
        assert_eq!(wanted.take_leaving(), [t("a")]);
        let _ = wanted.want(&t("a"));
        assert_eq!(wanted.take_batch(10), [t("a")]);
    }

    #[test]
    fn given_up_wanted_and_given_up_again_ends_unsubscribed() {
        let mut wanted = up();
        let _ = wanted.want(&t("a"));
        let sent = wanted.take_batch(10);
        wanted.confirm(&sent);
        assert!(wanted.unwant(&t("a")));
        let _ = wanted.want(&t("a"));
        assert!(wanted.unwant(&t("a")), "Redis still has it subscribed");
        assert_eq!(wanted.take_leaving(), [t("a")]);
    }

    #[test]
    fn what_redis_never_heard_of_needs_no_unsubscribe() {
        let mut wanted = up();
        let _ = wanted.want(&t("a"));
        assert!(!wanted.unwant(&t("a")));
        assert!(wanted.take_batch(10).is_empty() && wanted.take_leaving().is_empty() && wanted.settle());
        assert_eq!(wanted.len(), 0);
    }

    #[test]
    fn i10_wishes_that_come_and_go_during_an_outage_do_not_pile_up() {
        let mut wanted = Wanted::default();
        for n in 0..10_000 {
            let tenant = t(&(n % 500).to_string());
            let _ = wanted.want(&tenant);
            wanted.unwant(&tenant);
        }
        let _ = wanted.want(&t("last"));
        assert!(wanted.pending.len() < 100, "{}", wanted.pending.len());
        assert_eq!(wanted.take_batch(10), [t("last")]);
    }

    #[test]
    fn an_audit_names_every_tenant_in_turn() {
        let mut wanted = up();
        let names: Vec<_> = (0..5).map(|n| t(&n.to_string())).collect();
        names.iter().for_each(|name| drop(wanted.want(name)));
        let batch = wanted.take_batch(10);
        wanted.confirm(&batch);
        let mut seen: Vec<_> = (0..3).flat_map(|_| wanted.audit(2)).collect();
        seen.sort();
        assert_eq!(seen, names);
    }
}
