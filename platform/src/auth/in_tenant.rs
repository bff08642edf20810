//! Which tenants and roles do many people have in common?
//!
//! Most people of a tenant have one of a few lists of roles there. Each pair of a tenant and such a list that is in use is kept once.

use super::identity::Identity;
use carillon_protocol::TenantId;
use std::collections::HashSet;
use std::sync::Arc;

/// Below so many pairs nothing is looked through.
const FEW: usize = 64;

/// A tenant, and the roles that somebody has there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// The roles, each once.
    pub roles: Arc<[String]>,
}

impl InTenant {
    /// Whether this is what an identity says.
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.tenant == identity.tenant && self.roles == identity.roles
    }
}

/// The pairs that people have; among them some that nobody has any more, at most as many as are in use.
#[derive(Debug, Default)]
pub struct InTenants {
    known: HashSet<Arc<InTenant>>,
    /// With so many, those that nobody has any more are forgotten.
    full_at: usize,
}

impl InTenants {
    /// The one of equal pairs that is kept.
    pub fn shared(&mut self, of: InTenant) -> Arc<InTenant> {
        if let Some(known) = self.known.get(&of) {
            return known.clone();
        }
        if self.known.len() >= self.full_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.full_at = (2 * self.known.len()).max(FEW);
        }
        let of = Arc::new(of);
        self.known.insert(of.clone());
        of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one_and_those_that_nobody_has_are_forgotten() {
        let of = |tenant: &str, role: String| InTenant {
            tenant: TenantId::new(tenant).unwrap(),
            roles: [role].into(),
        };
        let teacher = || of("school-1", "teacher".into());
        let mut lists = InTenants::default();
        let mut kept = vec![lists.shared(teacher())];
        assert!(Arc::ptr_eq(&kept[0], &lists.shared(teacher())));
        assert!(!Arc::ptr_eq(&kept[0], &lists.shared(of("school-2", "teacher".into()))));
        for n in 0..10_000 {
            let own = lists.shared(of("school-1", format!("role-{n}")));
            if n % 100 == 0 {
                kept.push(own);
            }
            assert!(
                lists.known.len() <= FEW.max(2 * kept.len() + 1),
                "{} of {}",
                lists.known.len(),
                kept.len()
            );
        }
        assert!(Arc::ptr_eq(&kept[0], &lists.shared(teacher())));
    }
}
