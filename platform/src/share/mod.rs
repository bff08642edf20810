//! How is a bounded resource divided, so that no holder takes it from the others?
//!
//! A total bound keeps a process alive; only a share for each holder keeps it useful for everybody else. A [`Holder`]
//! belongs to a group (a tenant, an address) and is a member of it (a user, an API key). Two forms:
//!
//! | module | question it answers |
//! |---|---|
//! | [`FairPermits`] | who may work next? Callers wait; permits go round among groups, then among a group's members |
//! | [`Holdings`] | who may take so much more? Callers never wait; who has its share already is refused |
//! | [`KeyLookups`] | who may have an API key looked up now? |
//! | `rest` | how long does a holder rest after its work, while others want to work, too? (pure) |
//! | `turns` | in which order do waiting callers get permits? (pure) |
//! | `amounts` | how much may one holder have? (pure) |
//! | [`AddressGroup`] | which network addresses count as one? |
//!
//! Both forms are cheap to clone; clones share the resource. A lock is held for some table look-ups, never across a wait.

mod address;
mod amounts;
mod holdings;
mod key_lookups;
mod permits;
mod rest;
mod turns;

pub use address::AddressGroup;
pub use amounts::HoldingLimits;
pub use holdings::{Holding, Holdings};
pub use key_lookups::{KeyLookup, KeyLookups};
pub use permits::{FairPermit, FairPermits, PermitUsage};
pub use turns::PermitLimits;

use std::sync::Arc;

/// Who holds a share. Groups share first, then the members of a group share what the group gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder<G = Arc<str>, M = Arc<str>> {
    /// A tenant, an address.
    pub group: G,
    /// A user or an API key of the tenant.
    pub member: M,
}

impl Holder {
    /// A holder named by text.
    pub fn new(group: impl Into<Arc<str>>, member: impl Into<Arc<str>>) -> Self {
        Self { group: group.into(), member: member.into() }
    }
}

impl<G> Holder<G, ()> {
    /// A group without members.
    pub fn group(group: G) -> Self {
        Self { group, member: () }
    }
}

/// Which bound a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The resource is used up.
    #[error("all of it is in use")]
    Total,
    /// The holder's group has its share.
    #[error("the group has its share")]
    Group,
    /// The holder itself has its share.
    #[error("the holder has its share")]
    Member,
}

impl Refused {
    /// As a metric's label spells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Group => "group",
            Self::Member => "member",
        }
    }
}
