//! What do single tenants publish?
//!
//! Counted in memory, for `/metrics/tenants`.

use carillon_platform::ops::TenantMetrics;
use carillon_platform::telemetry::{Metric, MetricKind, TenantBoard};
use carillon_protocol::TenantId;
use carillon_protocol::envelope::Batch;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What `/metrics/tenants` tells. Places on it go by the first.
pub const OF_TENANTS: &[Metric; 2] = &[
    Metric {
        name: "carillon_tenant_events_published_total",
        kind: MetricKind::Counter,
        labels: "tenant",
        what: "Events of the tenant that this process stored",
    },
    Metric {
        name: "carillon_tenant_bytes_published_total",
        kind: MetricKind::Counter,
        labels: "tenant",
        what: "Bytes of their JSON",
    },
];

/// Most tenants counted singly; what others publish is seen in `carillon_events_published_total` alone.
const TENANTS: usize = 100_000;

/// Counts by tenant. Clones share the counts.
#[derive(Clone, Default)]
pub struct Usage(Arc<Mutex<HashMap<TenantId, [u64; 2]>>>);

impl Usage {
    /// Notes what a transaction stored for one tenant.
    pub(crate) fn stored(&self, batch: &Batch) {
        let bytes: usize = batch.events.iter().map(|event| event.body.len()).sum();
        let mut counts = self.lock();
        if counts.len() >= TENANTS && !counts.contains_key(&batch.tenant) {
            return;
        }
        let row = counts.entry(batch.tenant.clone()).or_default();
        *row = [row[0] + batch.events.len() as u64, row[1] + bytes as u64];
    }

    /// The text of `/metrics/tenants`, with so many tenants by name.
    pub(crate) fn metrics(&self, places: usize) -> TenantMetrics {
        let board = Arc::new(Mutex::new(TenantBoard::new(OF_TENANTS, places)));
        let usage = self.clone();
        Arc::new(move || {
            let rows: Vec<_> = usage.lock().iter().map(|(tenant, row)| (tenant.clone(), *row)).collect();
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            board.read(rows);
            Box::pin(std::future::ready(board.render()))
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, [u64; 2]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
