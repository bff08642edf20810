//! Who reads what Redis did not bring?
//!
//! Repairs have permits of their own, so they never wait for resumes or histories. Tenants take turns, a page at a time:
//! a tenant that misses much does not keep others from their few events.

use super::{Feed, Found, Open, Tracked};
use crate::budget::Budget;
use crate::metrics::metrics;
use crate::stream::sequencer::{Missing, Repaired};
use carillon_backplane::log::{LogError, LogPage};
use carillon_platform::share::{Holder, PermitLimits};
use carillon_platform::telemetry::Seldom;
use carillon_protocol::envelope::EnvelopeEvent;
use carillon_protocol::{Epoch, TenantId};
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Reads of the log at a time for streams that miss something or are in question: one for a tenant. Those that wait are
/// bounded by tenants: a stream has one repair and one question under way at most.
pub(super) const LIMITS: PermitLimits = PermitLimits {
    total: 2,
    per_group: 1,
    per_member: 1,
    waiting: usize::MAX,
    waiting_per_group: usize::MAX,
    waiting_per_member: usize::MAX,
};

static FAILED: Seldom<Discriminant<LogError>> = Seldom::new();

impl Feed {
    /// Starts what a sequencer asks for, or remembers when to ask it again.
    pub(super) fn after(&mut self, tenant: &TenantId) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        bound_held(open, &self.arrivals);
        if let Some(missing) = open.sequencer.due(Instant::now()) {
            metrics().gaps.increment(1);
            metrics().tally.gaps.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%tenant, after = %missing.after, upto = %missing.upto, "reading what is missing");
            let epoch = open.sequencer.epoch().clone();
            self.begin_repair(tenant.clone(), epoch, missing);
        } else if open.sequencer.wakes_at().is_some() {
            self.waking.insert(tenant.clone());
            return;
        }
        self.waking.remove(tenant);
    }

    fn begin_repair(&self, tenant: TenantId, epoch: Epoch, missing: Missing) {
        let (log, finder, repairs) = (self.log.clone(), self.finder.clone(), self.repairs.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let _permit = repairs.acquire(Holder::group(tenant.clone())).await;
            // With the event at the head, to see that the log still has it.
            let page = log.read(&tenant, missing.after.previous(), missing.upto).await;
            metrics().repair_seconds.record(began.elapsed().as_secs_f64());
            let _ = finder.send(Found::Read(tenant, epoch, page));
        });
    }

    pub(super) fn read(&mut self, tenant: &TenantId, epoch: &Epoch, result: Result<LogPage, LogError>) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        if open.sequencer.epoch() != epoch {
            return;
        }
        let now = Instant::now();
        let mut out = Vec::new();
        match result {
            Ok(page) => {
                let events = page.events.into_iter().map(|event| {
                    (
                        event.seq,
                        EnvelopeEvent { channels: event.channels, body: event.body.into(), except: None },
                    )
                });
                match open.sequencer.repaired(events, now, &mut out) {
                    Repaired::Continued => {}
                    Repaired::Gone => {
                        open.sequencer.repair_failed(now);
                        self.check(tenant);
                    }
                    Repaired::Contradicts => self.doubt_head(tenant),
                }
                // What was held and passes with them did come by Redis.
                let from_log = out.iter().filter(|sequenced| sequenced.at_micros == 0).count();
                metrics().events_repaired.increment(from_log as u64);
                metrics().tally.events_repaired.fetch_add(from_log as u64, Ordering::Relaxed);
            }
            Err(error) => {
                if let Some(times) = FAILED.due(discriminant(&error)) {
                    tracing::warn!(%tenant, %error, times, "a repair failed, trying again");
                }
                open.sequencer.repair_failed(now);
            }
        }
        self.deliver(tenant, out);
        self.after(tenant);
    }
}

/// Counts what a stream holds of events that came before their turn. If those of all streams are too many, this one
/// lets its own go.
fn bound_held(open: &mut Open, arrivals: &Arc<Budget>) {
    let held = open.sequencer.held_bytes();
    if held != open.held.bytes() {
        open.held.set(held);
        if held > 0 && arrivals.used() > arrivals.limit() {
            open.sequencer.let_go_of_held();
            open.held.set(0);
        }
    }
    let gone = open.sequencer.take_let_go();
    if gone > 0 {
        metrics().held_dropped.increment(gone as u64);
    }
}
