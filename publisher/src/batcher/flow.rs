//! Which requests have their turn together?
//!
//! Those of a tenant: whoever publishes much waits behind itself. But a key or user with several tenants would have a turn
//! in each of them, and its requests with several tenants would make every other batch wait for their rows. So what such
//! a publisher brings in large requests, or for several tenants at once, has one turn for all of it. Its small requests of
//! one tenant stay with that tenant's: a platform publishes everything with one key, and its single events wait for no
//! import.

use super::queue::QUANTUM;
use super::request::Request;
use super::shares::Publisher;
use carillon_protocol::TenantId;
use std::sync::Arc;

/// Whose turn a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Flow {
    /// A tenant's.
    Tenant(TenantId),
    /// That of a publisher with several tenants, by name.
    Publisher(Arc<str>),
}

impl Flow {
    /// The tenant whose flow it is.
    pub(super) fn into_tenant(self) -> Option<TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Publisher(_) => None,
        }
    }

    /// The flow of a request; none if it has no events.
    pub(super) fn of<T>(request: &Request<T>, publisher: &Publisher) -> Option<Self> {
        let tenant = request.tenant()?;
        let in_bulk = || request.cost > QUANTUM || request.is_of_several();
        Some(if publisher.several_tenants && in_bulk() {
            Self::Publisher(publisher.name.clone())
        } else {
            Self::Tenant(tenant.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::append;
    use super::*;

    #[test]
    fn what_one_with_several_tenants_brings_in_bulk_has_one_turn() {
        let request = |of: &[&str]| Request::new(of.iter().map(|of| append(of, None, 10)).collect(), ());
        let key = |several_tenants| Publisher { name: "key:k".into(), several_tenants };
        let of_key = Some(Flow::Publisher("key:k".into()));
        let tenant = |of| Some(Flow::Tenant(TenantId::new(of).unwrap()));
        assert_eq!(Flow::of(&request(&["a", "b"]), &key(true)), of_key);
        assert_eq!(Flow::of(&request(&["a"; 40]), &key(true)), of_key);
        assert_eq!(Flow::of(&request(&["a"; 39]), &key(true)), tenant("a"));
        assert_eq!(Flow::of(&request(&["a"; 400]), &key(false)), tenant("a"));
        assert_eq!(Flow::of(&request(&[]), &key(true)), None);
    }
}
