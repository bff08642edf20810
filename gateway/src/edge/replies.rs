//! How large may a poll's answer become?
//!
//! An answer stays in memory until its reader has taken it, and nobody makes a reader read. A small one fits into the
//! kernel's buffer of its socket. A large one needs a share by tenant and user, for as long as its connection lives;
//! whoever has used theirs up gets small answers and asks more often. Nothing is refused.

use crate::metrics::metrics;
use carillon_platform::share::{Holder, Holding, HoldingLimits, Holdings};
use carillon_protocol::{TenantId, UserId};

/// JSON of events beyond which an answer takes no more; the next poll gets them.
pub(super) const LARGE: usize = 256 * 1024;
/// The same, for whoever has used up their share.
pub(super) const SMALL: usize = 16 * 1024;
/// All large answers together: 256 of them, 16 of one user. A tenant never has more than is free.
const LIMITS: HoldingLimits =
    HoldingLimits { total: 256 * LARGE, per_group: 256 * LARGE, per_member: 16 * LARGE };

/// A large answer's share.
pub(crate) type Reply = Holding<TenantId, UserId>;

/// The answers of all polls.
pub(crate) struct Replies(Holdings<TenantId, UserId>);

impl Default for Replies {
    fn default() -> Self {
        Self(Holdings::new(LIMITS))
    }
}

impl Replies {
    /// A share for a large answer, if there is one.
    pub(super) fn large(&self, tenant: &TenantId, user: &UserId) -> Option<Reply> {
        let holder = Holder { group: tenant.clone(), member: user.clone() };
        let reply = self.0.try_take(holder, LARGE).ok();
        if reply.is_none() {
            metrics().small_replies.increment(1);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i10_large_answers_are_shared_by_tenant_and_user() {
        let replies = Replies::default();
        let take = |tenant: &str, user: usize| {
            replies.large(&TenantId::new(tenant).unwrap(), &UserId::new(format!("u{user}")).unwrap())
        };
        let one_user: Vec<Reply> = (0..100).filter_map(|_| take("acme", 1)).collect();
        assert_eq!(one_user.len(), 16);
        let others: Vec<Reply> = (0..1_000).filter_map(|n| take("acme", 2 + n)).collect();
        assert_eq!(one_user.len() + others.len(), 128, "one tenant leaves half");
        assert!(take("other", 1).is_some());
        drop(one_user);
        assert!(take("acme", 1).is_some(), "what is taken is given back");
    }
}
