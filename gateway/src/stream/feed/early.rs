//! What was heard of a tenant while it was being opened?
//!
//! Bounded in batches and in bytes, for a tenant and for all tenants together (I10). What does not fit is dropped and
//! counted, and the heads are asked for as soon as the tenant is open. Payloads are copied: the ones that come share
//! their memory with their neighbours on the wire.

use crate::budget::{Budget, Charge};
use crate::metrics::metrics;
use bytes::Bytes;
use std::sync::Arc;

/// Most batches kept for a tenant.
const BATCHES: usize = 256;
/// Most bytes kept for a tenant.
const BYTES: usize = 1024 * 1024;
/// What a payload costs beside its bytes: its place in the list, the allocation, the charge.
const FIXED_BYTES: usize = size_of::<(Bytes, Charge)>() + 64;

/// Payloads that wait for their tenant's stream.
pub(super) struct Early {
    kept: Vec<(Bytes, Charge)>,
    bytes: usize,
    incomplete: bool,
    budget: Arc<Budget>,
}

impl Early {
    /// Nothing yet. `budget` is what all tenants share.
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { kept: Vec::new(), bytes: 0, incomplete: false, budget }
    }

    /// Keeps a payload, if it fits.
    pub(super) fn keep(&mut self, payload: &Bytes) {
        let weight = FIXED_BYTES + payload.len();
        let fits = self.kept.len() < BATCHES && self.bytes + weight <= BYTES;
        match fits.then(|| self.budget.try_reserve(weight)).flatten() {
            Some(charge) => {
                self.bytes += weight;
                self.kept.push((Bytes::copy_from_slice(payload), charge));
            }
            None => {
                self.incomplete = true;
                metrics().early_dropped.increment(1);
            }
        }
    }

    /// Whether something did not fit.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// What was kept, in the order it came.
    pub(super) fn into_payloads(self) -> impl Iterator<Item = Bytes> {
        self.kept.into_iter().map(|(payload, _)| payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bytes: usize) -> Bytes {
        Bytes::from(vec![b'x'; bytes])
    }

    #[test]
    fn i10_what_comes_early_is_bounded_in_batches_and_bytes_for_each_and_for_all() {
        let budget = Budget::new(3 * BYTES / 2);
        let mut many = Early::new(budget.clone());
        (0..BATCHES + 5).for_each(|_| many.keep(&payload(10)));
        assert!(many.is_incomplete() && many.kept.len() == BATCHES);
        drop(many);
        assert_eq!(budget.used(), 0, "what is gone counts no more");

        let mut one = Early::new(budget.clone());
        (0..30).for_each(|_| one.keep(&payload(100_000)));
        assert!(one.is_incomplete() && one.kept.len() == 10 && one.bytes <= BYTES, "one tenant's bytes");
        let mut other = Early::new(budget.clone());
        (0..30).for_each(|_| other.keep(&payload(100_000)));
        assert!(other.is_incomplete() && other.kept.len() == 5, "everybody's bytes: {}", other.kept.len());
        assert!(budget.used() <= budget.limit());
        other.keep(&payload(10));
        assert_eq!(other.into_payloads().map(|kept| kept.len()).last(), Some(10), "small ones still fit");
    }

    #[test]
    fn a_small_payload_does_not_pin_a_large_buffer() {
        let mut early = Early::new(Budget::new(BYTES));
        let wire = payload(60_000);
        early.keep(&wire.slice(10..20));
        let kept = early.into_payloads().next().unwrap();
        assert!(!wire.as_ptr_range().contains(&kept.as_ptr()));
    }
}
