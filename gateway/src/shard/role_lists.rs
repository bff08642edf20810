//! Which lists of roles do many sessions have in common?
//!
//! Most people of a tenant have one of a few lists of roles, and most people have the same ones in all of their tenants. Each list
//! that is in use is kept once.

use std::collections::HashSet;
use std::sync::Arc;

/// Below so many lists nothing is looked through.
const FEW: usize = 64;

/// The lists of roles that sessions have; among them some that nobody has any more, at most as many as are in use.
#[derive(Default)]
pub(super) struct RoleLists {
    known: HashSet<Arc<[String]>>,
    /// With so many, those that nobody has any more are forgotten.
    full_at: usize,
}

impl RoleLists {
    /// The one of equal lists that is kept.
    pub(super) fn shared(&mut self, roles: &Arc<[String]>) -> Arc<[String]> {
        if let Some(known) = self.known.get(roles) {
            return known.clone();
        }
        if self.known.len() >= self.full_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.full_at = (2 * self.known.len()).max(FEW);
        }
        self.known.insert(roles.clone());
        roles.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one_and_those_that_nobody_has_are_forgotten() {
        let list = |name: String| -> Arc<[String]> { [name].into() };
        let mut lists = RoleLists::default();
        let mut kept = vec![lists.shared(&list("teacher".into()))];
        assert!(Arc::ptr_eq(&kept[0], &lists.shared(&list("teacher".into()))));
        for n in 0..10_000 {
            let own = lists.shared(&list(format!("role-{n}")));
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
        assert!(Arc::ptr_eq(&kept[0], &lists.shared(&list("teacher".into()))));
    }
}
