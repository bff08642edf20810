//! Which other tenants may a connection come into?
//!
//! Beside the connections: one whose credentials are for one tenant alone is not in it and costs nothing.

use crate::authorize::Bearer;
use carillon_protocol::TenantId;
use std::collections::HashMap;
use std::sync::Arc;

/// The connections that may be in several tenants.
#[derive(Default)]
pub(super) struct Elsewhere {
    of: HashMap<u32, OfConnection>,
}

struct OfConnection {
    /// None: a newer token is for one tenant alone.
    bearer: Option<Arc<Bearer>>,
    /// Tenants that it is being let into, and whether for those it leaves all others.
    coming: Vec<(TenantId, bool)>,
}

impl Elsewhere {
    /// Which credentials a connection has shown from now on, if they are good for several tenants.
    pub(super) fn set_bearer(&mut self, key: u32, bearer: Option<Arc<Bearer>>) {
        match (bearer, self.of.get_mut(&key)) {
            (bearer, Some(own)) if bearer.is_some() || !own.coming.is_empty() => own.bearer = bearer,
            (Some(bearer), _) => {
                let own = OfConnection { bearer: Some(bearer), coming: Vec::new() };
                self.of.insert(key, own);
            }
            (None, _) => drop(self.of.remove(&key)),
        }
    }

    /// The credentials of a connection that may be in several tenants.
    pub(super) fn bearer(&self, key: u32) -> Option<&Arc<Bearer>> {
        self.of.get(&key)?.bearer.as_ref()
    }

    /// The tenants that a connection is being let into, and whether for those it leaves all others.
    pub(super) fn coming(&self, key: u32) -> &[(TenantId, bool)] {
        self.of.get(&key).map(|own| &*own.coming).unwrap_or_default()
    }

    /// A connection is being let into a tenant.
    pub(super) fn begin(&mut self, key: u32, tenant: TenantId, alone: bool) {
        if let Some(own) = self.of.get_mut(&key) {
            own.coming.push((tenant, alone));
        }
    }

    /// That has come to an end.
    pub(super) fn end(&mut self, key: u32, tenant: &TenantId) {
        if let Some(own) = self.of.get_mut(&key) {
            own.coming.retain(|(coming, _)| coming != tenant);
            own.coming.shrink_to_fit();
        }
    }

    /// A connection is gone.
    pub(super) fn gone(&mut self, key: u32) {
        self.of.remove(&key);
    }
}
