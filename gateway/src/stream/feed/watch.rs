//! Does a stream still agree with its log, and what if not?
//!
//! The head watch: one query for all tenants of the node. It finds a lost last message, a publisher that died between
//! COMMIT and PUBLISH, and a deaf subscription. A log that lost its end gets a new epoch, and every client is told.

use super::{Feed, Found, Tracked, whole_head};
use crate::metrics::metrics;
use crate::stream::sequencer::{HeadVerdict, PATIENCE};
use carillon_backplane::log::{Head, LogError};
use carillon_platform::share::Holder;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Seq, TenantId};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the heads are asked for while Redis is away, unless they are asked for more often anyway.
const WITHOUT_BUS: Duration = Duration::from_millis(200);

impl Feed {
    pub(super) fn ask_heads(&mut self) {
        let mut tenants = Vec::with_capacity(self.tracked.len());
        for (tenant, tracked) in &mut self.tracked {
            if let Tracked::Open(open) = tracked {
                open.asked = Some((open.sequencer.epoch().clone(), open.sequencer.head()));
                tenants.push(tenant.clone());
            }
        }
        let (log, finder) = (self.log.clone(), self.finder.clone());
        metrics().head_queries.increment(1);
        tokio::spawn(async move {
            // A node without tenants still finds out whether its database is there, schema and all.
            let _ = finder.send(Found::Heads(log.heads(&tenants).await));
        });
    }

    pub(super) fn compare_heads(&mut self, result: Result<Vec<Head>, LogError>) {
        let now = Instant::now();
        let bus_down = self.health.bus_down.load(Ordering::Relaxed);
        let interval = self.config.head_watch;
        self.heads.answered(now, if bus_down { WITHOUT_BUS.min(interval) } else { interval });
        let failed = result.is_err();
        self.health.heard_of_log(result.as_ref().err());
        let mut lag = 0;
        for head in result.unwrap_or_default() {
            let Some(Tracked::Open(open)) = self.tracked.get_mut(&head.tenant) else { continue };
            // A tenant that was left and opened again since: the answer may be older than its stream.
            let Some(asked) = open.asked.take() else { continue };
            lag += head.seq.0.saturating_sub(open.sequencer.head().0);
            let until = if bus_down { now } else { now + PATIENCE };
            match open.sequencer.observe(&head.epoch, head.seq, &asked, until) {
                HeadVerdict::Level => {}
                HeadVerdict::Behind => self.after(&head.tenant),
                HeadVerdict::Regressed => self.rotate(&head.tenant),
                HeadVerdict::OtherEpoch => self.check(&head.tenant),
            }
        }
        if !failed {
            metrics().head_lag.set(lag as f64);
        }
    }

    /// Asks for head, epoch and oldest event of one tenant, because its stream cannot go on as it is.
    pub(super) fn check(&mut self, tenant: &TenantId) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        if std::mem::replace(&mut open.in_question, true) {
            return;
        }
        let (log, finder, tenant) = (self.log.clone(), self.finder.clone(), tenant.clone());
        let repairs = self.repairs.clone();
        tokio::spawn(async move {
            let _permit = repairs.acquire(Holder::group(tenant.clone())).await;
            let found = whole_head(&log, &tenant, false).await;
            let _ = finder.send(Found::Checked(tenant, found));
        });
    }

    pub(super) fn checked(&mut self, tenant: &TenantId, result: Result<Option<(Head, Seq)>, LogError>) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        open.in_question = false;
        let Ok(Some((head, oldest))) = result else { return };
        if head.epoch != *open.sequencer.epoch() {
            self.restart(head, oldest, ResetReason::EpochChanged);
        } else if oldest > open.sequencer.head().next() && head.seq > open.sequencer.head() {
            self.restart(head, oldest, ResetReason::TooOld);
        }
    }

    pub(super) fn rotate(&mut self, tenant: &TenantId) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        if std::mem::replace(&mut open.in_question, true) {
            return;
        }
        let old = open.sequencer.epoch().clone();
        let (log, finder, tenant) = (self.log.clone(), self.finder.clone(), tenant.clone());
        let repairs = self.repairs.clone();
        tokio::spawn(async move {
            let _permit = repairs.acquire(Holder::group(tenant.clone())).await;
            let head = log.rotate_epoch(&tenant, &old).await;
            let _ = finder.send(Found::Rotated(tenant, head));
        });
    }

    pub(super) fn rotated(&mut self, tenant: &TenantId, result: Result<Option<Head>, LogError>) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        open.in_question = false;
        if let Ok(Some(head)) = result {
            let oldest = open.stream.position().0.oldest;
            self.restart(head, oldest, ResetReason::EpochChanged);
        }
    }

    fn restart(&mut self, head: Head, oldest: Seq, reason: ResetReason) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(&head.tenant) else { return };
        tracing::error!(tenant = %head.tenant, epoch = %head.epoch, seq = %head.seq, ?reason, "stream reset");
        metrics().stream_resets.increment(1);
        open.sequencer.restart(head.epoch.clone(), head.seq);
        open.held.set(0);
        let told = open.stream.restart(head.epoch, head.seq, oldest, reason, self.config.ring);
        self.shards.tell(told, &open.stream);
        self.waking.remove(&head.tenant);
    }
}
