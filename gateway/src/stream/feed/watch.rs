//! Does a stream still agree with its log, and what if not?
//!
//! The head watch: one query for all tenants of the node. It finds a lost last message, a publisher that died between
//! COMMIT and PUBLISH, and a deaf subscription. What it reads may come from a server that is behind, so it only raises
//! doubt: the server that writes looks again before an epoch ends (`carillon.end_epoch`), and clients are told by what
//! the table of epochs says.

use super::{Feed, Found, Tracked, oldest_of};
use crate::metrics::metrics;
use crate::stream::sequencer::{HeadVerdict, PATIENCE};
use carillon_backplane::log::{Log, LogError, Opened, Watched};
use carillon_platform::share::Holder;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Epoch, Seq, Tag, TenantId};
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

    pub(super) fn compare_heads(&mut self, result: Result<Vec<Watched>, LogError>) {
        let now = Instant::now();
        let bus_down = self.health.bus_down.load(Ordering::Relaxed);
        let interval = self.config.head_watch;
        self.heads.answered(now, if bus_down { WITHOUT_BUS.min(interval) } else { interval });
        let failed = result.is_err();
        self.health.heard_of_log(result.as_ref().err());
        let mut lag = 0;
        let mut changed = Vec::new();
        for Watched { head, settings } in result.unwrap_or_default() {
            let Some(Tracked::Open(open)) = self.tracked.get_mut(&head.tenant) else { continue };
            // A tenant that was left and opened again since: the answer may be older than its stream.
            let Some(asked) = open.asked.take() else { continue };
            if open.stream.rules().version() != settings {
                changed.push(head.tenant.clone());
            }
            lag += head.seq.0.saturating_sub(open.sequencer.head().0);
            let until = if bus_down { now } else { now + PATIENCE };
            match open.sequencer.observe(&head.epoch, head.seq, head.tag, &asked, until) {
                HeadVerdict::Level => {}
                HeadVerdict::Behind => self.after(&head.tenant),
                HeadVerdict::Regressed | HeadVerdict::Contradicts => self.doubt_head(&head.tenant),
                HeadVerdict::OtherEpoch => self.check(&head.tenant),
            }
        }
        self.read_settings(changed);
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
            let found = whole_head(&log, &tenant).await;
            let _ = finder.send(Found::Checked(tenant, found));
        });
    }

    pub(super) fn checked(&mut self, tenant: &TenantId, result: Result<Option<(Opened, Seq)>, LogError>) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        open.in_question = false;
        let Ok(Some((log, oldest))) = result else { return };
        match verdict(&log, oldest, open.sequencer.epoch(), open.sequencer.head()) {
            Verdict::GoesOn => {}
            Verdict::Renewed => self.renew(log),
            Verdict::Lost(reason) => self.restart(log, oldest, reason),
        }
    }

    /// What passed here last is not what the log has there, or so it seems.
    pub(super) fn doubt_head(&mut self, tenant: &TenantId) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        let (head, tag) = (open.sequencer.head(), open.sequencer.tag());
        self.doubt(tenant, head, tag);
    }

    /// Event `seq`, which passed here with the tag `seen`, may be lost or another by now. Whoever said so may be a server
    /// that is behind: the one that writes looks again, and ends the epoch if it is true.
    pub(super) fn doubt(&mut self, tenant: &TenantId, seq: Seq, seen: Option<Tag>) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        if std::mem::replace(&mut open.in_question, true) {
            return;
        }
        let old = open.sequencer.epoch().clone();
        let (log, finder, tenant) = (self.log.clone(), self.finder.clone(), tenant.clone());
        let repairs = self.repairs.clone();
        tokio::spawn(async move {
            let _permit = repairs.acquire(Holder::group(tenant.clone())).await;
            let ended = log.end_epoch(&tenant, &old, seq, seen).await;
            let _ = finder.send(Found::Doubted(tenant, ended));
        });
    }

    pub(super) fn doubted(&mut self, tenant: &TenantId, result: Result<bool, LogError>) {
        let Some(Tracked::Open(open)) = self.tracked.get_mut(tenant) else { return };
        open.in_question = false;
        match result {
            Ok(true) => self.check(tenant),
            Ok(false) => {
                tracing::warn!(%tenant, "a read found the log shorter or another, the server that writes did not");
            }
            Err(error) => tracing::warn!(%tenant, %error, "whether the log lost its end could not be asked"),
        }
    }

    /// The log goes on in another epoch, and everything that has passed here is in it.
    fn renew(&mut self, log: Opened) {
        let Opened { head, epochs, .. } = log;
        let Some(Tracked::Open(open)) = self.tracked.get_mut(&head.tenant) else { return };
        tracing::info!(tenant = %head.tenant, epoch = %head.epoch, "a new epoch, nothing was lost");
        open.sequencer.renew(head.epoch);
        open.held.set(0);
        let told = open.stream.renew(epochs);
        self.shards.tell(told, &open.stream);
        self.waking.remove(&head.tenant);
        // What came in the new epoch meanwhile was not taken.
        self.heads.wish(Instant::now());
    }

    fn restart(&mut self, log: Opened, oldest: Seq, reason: ResetReason) {
        let Opened { head, epochs, .. } = log;
        let Some(Tracked::Open(open)) = self.tracked.get_mut(&head.tenant) else { return };
        tracing::error!(tenant = %head.tenant, epoch = %head.epoch, seq = %head.seq, ?reason, "stream reset");
        metrics().stream_resets.increment(1);
        open.sequencer.restart(head.epoch, head.seq, head.tag);
        open.held.set(0);
        let told = open.stream.restart(epochs, head.seq, oldest, reason, self.config.ring);
        self.shards.tell(told, &open.stream);
        self.waking.remove(&head.tenant);
    }
}

/// A tenant's log and its oldest event; none if there is no such tenant.
async fn whole_head(log: &Log, tenant: &TenantId) -> Result<Option<(Opened, Seq)>, LogError> {
    let Some(opened) = log.open_tenant(tenant, false).await? else { return Ok(None) };
    let oldest = oldest_of(log, &opened).await?;
    Ok(Some((opened, oldest)))
}

/// What a log that was asked anew means for a stream.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes on as it is.
    GoesOn,
    /// It goes on in another epoch, and nothing was lost.
    Renewed,
    /// Continuity is lost.
    Lost(ResetReason),
}

/// What `log`, whose oldest event is `oldest`, means for a stream that stands at `head` in `epoch`.
fn verdict(log: &Opened, oldest: Seq, epoch: &Epoch, head: Seq) -> Verdict {
    if log.head.epoch == *epoch {
        let is_gone = oldest > head.next() && log.head.seq > head;
        return if is_gone { Verdict::Lost(ResetReason::TooOld) } else { Verdict::GoesOn };
    }
    match log.epochs.good_up_to(epoch) {
        Some(upto) if head <= upto => Verdict::Renewed,
        // A server in recovery that does not know our epoch is behind.
        None if !log.writable => Verdict::GoesOn,
        _ => Verdict::Lost(ResetReason::EpochChanged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::Head;
    use carillon_protocol::{Began, Epochs};

    #[test]
    fn only_a_server_that_knows_better_changes_a_stream() {
        let epoch = |name: &str| Epoch::new(name).unwrap();
        let log = |current: &str, older: &[(&str, u64)], seq, writable| {
            let known = older.iter().map(|(name, after)| Began { epoch: epoch(name), after: Seq(*after) });
            let epochs = Epochs::new(&epoch(current), known.collect());
            let tenant = TenantId::new("acme").unwrap();
            let head = Head { tenant, epoch: epoch(current), seq: Seq(seq), tag: None };
            Opened { head, epochs, writable }
        };
        let ours = epoch("e2");
        let about = |log: &Opened| verdict(log, Seq(1), &ours, Seq(50));
        assert_eq!(about(&log("e2", &[], 40, true)), Verdict::GoesOn, "a shorter log is doubted elsewhere");
        let history = [("e3", 50), ("e2", 20), ("e1", 0)];
        assert_eq!(about(&log("e3", &history, 70, true)), Verdict::Renewed);
        assert_eq!(
            about(&log("e3", &history, 70, false)),
            Verdict::Renewed,
            "a standby knows it from the primary"
        );
        let history = [("e3", 49), ("e2", 20)];
        assert_eq!(about(&log("e3", &history, 70, true)), Verdict::Lost(ResetReason::EpochChanged));
        let stale = log("e1", &[("e1", 0)], 30, false);
        assert_eq!(about(&stale), Verdict::GoesOn, "a standby that is behind");
        assert_eq!(about(&Opened { writable: true, ..stale }), Verdict::Lost(ResetReason::EpochChanged));
        let gone = log("e2", &[], 90, true);
        assert_eq!(verdict(&gone, Seq(60), &ours, Seq(50)), Verdict::Lost(ResetReason::TooOld));
    }
}
