//! What becomes of the events of a batch, and what is to be kept of it? (pure)

use super::attempt::{Attempt, Verdict};
use super::missed::Missed;
use super::schedule;
use super::track::Track;
use carillon_backplane::log::{FailedDelivery, OpenWebhook, PendingDelivery, WebhookProgress};
use carillon_protocol::{Epoch, Seq};
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};

/// Attempts that are kept of one delivery.
const ATTEMPTS: usize = 10;

/// An event that is sent.
pub(super) struct Item {
    seq: Seq,
    /// None: the log does not have it any more.
    body: Option<Vec<u8>>,
    /// Whom it names who may have taken note since.
    missed: Option<Missed>,
    /// Whether the cursor waits for it; else it failed before, and the cursor is past it.
    is_of_page: bool,
    /// Whether a row is kept of it.
    is_kept: bool,
    failures: u32,
    attempts: Vec<Box<RawValue>>,
}

impl Item {
    /// An event that the cursor is past, and whose delivery failed.
    pub(super) fn again(pending: &PendingDelivery, body: Option<Vec<u8>>) -> Self {
        Self { is_of_page: false, ..Self::of_page(pending.seq, body, Some(pending)) }
    }

    /// The same of an event that names people.
    pub(super) fn naming(self, missed: Option<Missed>) -> Self {
        Self { missed, ..self }
    }

    /// An event after the cursor, and how its delivery failed before.
    pub(super) fn of_page(seq: Seq, body: Option<Vec<u8>>, before: Option<&PendingDelivery>) -> Self {
        Self {
            seq,
            body,
            missed: None,
            is_of_page: true,
            is_kept: before.is_some(),
            failures: before.map_or(0, |before| before.failures),
            attempts: before
                .and_then(|before| serde_json::from_str(&before.attempts).ok())
                .unwrap_or_default(),
        }
    }
}

/// A message that is sent next.
pub(super) struct Next {
    /// Its place in the batch.
    pub(super) index: usize,
    /// Of which event.
    pub(super) seq: Seq,
    pub(super) body: Vec<u8>,
    /// Whom it names who may have taken note since.
    pub(super) missed: Option<Missed>,
}

/// Events that are sent in one go.
pub(super) struct Batch {
    webhook: OpenWebhook,
    items: Vec<Item>,
    next: usize,
    track: Track,
    saved_cursor: Seq,
    failed: Vec<FailedDelivery>,
    done: Vec<Seq>,
    delivered: bool,
    failing: bool,
    has_delivered: bool,
    parked: u64,
    waits_until: Option<Timestamp>,
    disabled: Option<&'static str>,
    /// Whether it was told that the webhook is disabled: of several that are under way each may say so.
    is_told: bool,
    /// Nothing more is sent for now.
    is_halted: bool,
}

impl Batch {
    /// These events, up to `end` of the log.
    pub(super) fn new(webhook: OpenWebhook, items: Vec<Item>, end: Seq) -> Self {
        let of_page = items.iter().filter(|item| item.is_of_page).map(|item| item.seq);
        Self {
            track: Track::new(of_page, end),
            saved_cursor: webhook.cursor,
            webhook,
            items,
            next: 0,
            failed: Vec::new(),
            done: Vec::new(),
            delivered: false,
            failing: false,
            has_delivered: false,
            parked: 0,
            waits_until: None,
            disabled: None,
            is_told: false,
            is_halted: false,
        }
    }

    /// As many failed deliveries are kept as may be: the cursor waits, until some are gone; if all wait for a person, the webhook is
    /// disabled.
    pub(super) fn is_full(&mut self, until: Timestamp, most: u32) {
        if self.webhook.parked >= most {
            (self.disabled, self.is_halted) = (Some("too_many_failed"), true);
        } else {
            self.waits_until = Some(until);
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.webhook.ordered
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.webhook.epoch
    }

    /// Whether nothing more is sent for now.
    pub(super) fn is_halted(&self) -> bool {
        self.is_halted || self.waits_until.is_some()
    }

    /// What is sent next.
    pub(super) fn next(&mut self) -> Option<Next> {
        while !self.is_halted {
            let (index, item) = (self.next, self.items.get_mut(self.next)?);
            self.next += 1;
            match item.body.take() {
                Some(body) => return Some(Next { index, seq: item.seq, body, missed: item.missed.take() }),
                None => self.done.push(item.seq),
            }
        }
        None
    }

    /// It names nobody any more, so it is not sent.
    pub(super) fn is_needless(&mut self, index: usize) {
        let Some(item) = self.items.get(index) else { return };
        if item.is_kept {
            self.done.push(item.seq);
        }
        self.track.settle(item.seq);
    }

    /// What an attempt came to.
    pub(super) fn heard(
        &mut self,
        index: usize,
        verdict: Verdict,
        attempt: &Attempt,
        now: Timestamp,
        random: f64,
    ) {
        let Some(item) = self.items.get_mut(index) else { return };
        if verdict == Verdict::Delivered {
            (self.delivered, self.has_delivered, self.failing) = (true, true, false);
            if item.is_kept {
                self.done.push(item.seq);
            }
            self.track.settle(item.seq);
            return;
        }
        self.failing = true;
        if verdict == Verdict::Failed {
            item.failures += 1;
        }
        let next_at = match verdict {
            Verdict::Rests(until) => Some(until),
            _ => schedule::next(item.failures, now, random),
        };
        item.attempts.extend(to_raw_value(attempt).ok());
        let surplus = item.attempts.len().saturating_sub(ATTEMPTS);
        item.attempts.drain(..surplus);
        self.failed.push(FailedDelivery {
            seq: item.seq,
            failures: item.failures,
            next_at,
            attempts: serde_json::to_string(&item.attempts).unwrap_or_else(|_| "[]".to_owned()),
            answer: attempt.answer.clone(),
        });
        let waits = item.is_of_page && self.webhook.ordered && next_at.is_some();
        if !waits && verdict != Verdict::Gone {
            self.track.settle(item.seq);
        }
        self.parked += u64::from(next_at.is_none());
        if waits || matches!(verdict, Verdict::Rests(_)) {
            (self.waits_until, self.is_halted) = (self.waits_until.max(next_at), true);
        }
        let too_long =
            !self.has_delivered && schedule::has_failed_for_too_long(self.webhook.failing_since, now);
        if verdict == Verdict::Gone || too_long {
            self.disabled = Some(if verdict == Verdict::Gone { "gone" } else { "failing" });
            self.is_halted = true;
        }
    }

    /// Whether something has happened that is not kept yet.
    pub(super) fn is_unsaved(&self) -> bool {
        self.delivered
            || self.failing
            || self.disabled.is_some()
            || self.waits_until.is_some()
            || !self.done.is_empty()
            || self.track.cursor() != self.saved_cursor
    }

    /// What is to be kept.
    pub(super) fn progress(&self) -> WebhookProgress<'_> {
        WebhookProgress {
            generation: self.webhook.generation,
            version: self.webhook.version,
            epoch: &self.webhook.epoch,
            cursor: self.track.cursor(),
            delivered: self.delivered,
            failing: self.failing,
            waits_until: self.waits_until,
            disable: self.disabled,
            failed: &self.failed,
            done: &self.done,
        }
    }

    /// It is kept; how many were parked in it, and why the webhook was disabled, if it was.
    pub(super) fn saved(&mut self) -> (u64, Option<&'static str>) {
        self.saved_cursor = self.track.cursor();
        (self.delivered, self.failing) = (false, false);
        self.failed.clear();
        self.done.clear();
        let disabled = self.disabled.take();
        let is_new = !self.is_told;
        self.is_told |= disabled.is_some();
        (std::mem::take(&mut self.parked), disabled.filter(|_| is_new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    fn webhook(ordered: bool) -> OpenWebhook {
        OpenWebhook {
            url: String::new(),
            types: Vec::new(),
            channels: Vec::new(),
            ordered,
            secrets: Vec::new(),
            generation: 1,
            version: 1,
            failing_since: None,
            epoch: Epoch::new("e1").unwrap(),
            cursor: Seq(0),
            head: Seq(9),
            kept: 0,
            parked: 0,
            pending: Vec::new(),
        }
    }

    fn batch(ordered: bool) -> Batch {
        let items = [2, 4, 6].map(|seq| Item::of_page(Seq(seq), Some(vec![]), None)).into();
        Batch::new(webhook(ordered), items, Seq(9))
    }

    fn attempt() -> Attempt {
        Attempt {
            at: String::new(),
            status: Some(500),
            ms: 1,
            error: Some("no".to_owned()),
            answer: "why".to_owned(),
        }
    }

    fn sent(batch: &mut Batch) -> Option<(usize, Seq)> {
        batch.next().map(|next| (next.index, next.seq))
    }

    fn after(seconds: i64) -> Option<Timestamp> {
        NOW.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    #[test]
    fn an_ordered_webhook_waits_for_the_event_that_failed() {
        let mut batch = batch(true);
        assert_eq!(sent(&mut batch), Some((0, Seq(2))));
        batch.heard(0, Verdict::Delivered, &attempt(), NOW, 0.5);
        assert_eq!(sent(&mut batch), Some((1, Seq(4))));
        batch.heard(1, Verdict::Failed, &attempt(), NOW, 0.5);
        assert_eq!(sent(&mut batch), None);
        let kept = batch.progress();
        assert_eq!((kept.cursor, kept.waits_until, kept.failed.len()), (Seq(3), after(5), 1));
        assert_eq!(
            (kept.failed[0].seq, kept.failed[0].failures, kept.failed[0].answer.as_str()),
            (Seq(4), 1, "why")
        );
        assert!(batch.is_halted());
    }

    #[test]
    fn the_others_go_on_where_no_order_is_wanted() {
        let mut batch = batch(false);
        let all: Vec<_> = std::iter::from_fn(|| sent(&mut batch)).collect();
        assert_eq!(all.len(), 3);
        batch.heard(1, Verdict::Failed, &attempt(), NOW, 0.5);
        assert_eq!(batch.progress().cursor, Seq(1), "the first is under way");
        batch.heard(0, Verdict::Delivered, &attempt(), NOW, 0.5);
        assert_eq!(batch.progress().cursor, Seq(5));
        batch.heard(2, Verdict::Delivered, &attempt(), NOW, 0.5);
        let kept = batch.progress();
        assert_eq!((kept.cursor, kept.waits_until), (Seq(9), None));
        assert_eq!((kept.failed[0].next_at, kept.delivered, kept.failing), (after(5), true, false));
        assert!(!batch.is_halted());
    }

    #[test]
    fn the_seventh_failure_parks_and_an_ordered_webhook_goes_on_after_it() {
        let before =
            PendingDelivery { seq: Seq(2), failures: 6, attempts: "[1,2,3,4,5,6,7,8,9,10]".to_owned() };
        let items = vec![
            Item::of_page(Seq(2), Some(vec![]), Some(&before)),
            Item::of_page(Seq(4), Some(vec![]), None),
        ];
        let mut batch = Batch::new(webhook(true), items, Seq(9));
        sent(&mut batch);
        batch.heard(0, Verdict::Failed, &attempt(), NOW, 0.5);
        assert_eq!(sent(&mut batch), Some((1, Seq(4))));
        let kept = batch.progress();
        assert_eq!((kept.cursor, kept.failed[0].next_at, kept.failed[0].failures), (Seq(3), None, 7));
        assert!(kept.failed[0].attempts.starts_with("[2,3,"), "ten are kept: {}", kept.failed[0].attempts);
        assert_eq!(batch.saved(), (1, None));
    }

    #[test]
    fn a_rest_is_no_failure_and_holds_the_endpoint() {
        for ordered in [true, false] {
            let mut batch = batch(ordered);
            sent(&mut batch);
            batch.heard(0, Verdict::Rests(after(60).unwrap()), &attempt(), NOW, 0.5);
            assert_eq!(sent(&mut batch), None);
            let kept = batch.progress();
            assert_eq!((kept.waits_until, kept.failed[0].failures), (after(60), 0));
            assert_eq!(kept.cursor, if ordered { Seq(1) } else { Seq(3) });
        }
    }

    #[test]
    fn a_receiver_that_is_gone_or_has_failed_for_five_days_is_disabled_and_its_event_waits() {
        let mut gone = batch(false);
        sent(&mut gone);
        gone.heard(0, Verdict::Gone, &attempt(), NOW, 0.5);
        assert_eq!(sent(&mut gone), None);
        assert_eq!((gone.progress().disable, gone.progress().cursor), (Some("gone"), Seq(1)));
        let mut twice = batch(false);
        sent(&mut twice);
        sent(&mut twice);
        for (index, told) in [(0, Some("gone")), (1, None)] {
            twice.heard(index, Verdict::Gone, &attempt(), NOW, 0.5);
            assert_eq!(twice.saved().1, told, "it is told once");
        }
        let days = |hours| NOW.checked_sub(SignedDuration::from_hours(hours)).ok();
        for (hours, expected) in [(121, Some("failing")), (119, None)] {
            let items = vec![Item::of_page(Seq(2), Some(vec![]), None)];
            let mut batch =
                Batch::new(OpenWebhook { failing_since: days(hours), ..webhook(true) }, items, Seq(9));
            sent(&mut batch);
            batch.heard(0, Verdict::Failed, &attempt(), NOW, 0.5);
            assert_eq!(batch.progress().disable, expected);
        }
    }

    #[test]
    fn what_failed_before_is_forgotten_when_it_is_delivered_or_the_log_has_it_no_more() {
        let pending = |seq| PendingDelivery { seq: Seq(seq), failures: 1, attempts: "[]".to_owned() };
        let items = vec![Item::again(&pending(1), None), Item::again(&pending(2), Some(vec![]))];
        let mut batch = Batch::new(OpenWebhook { cursor: Seq(9), ..webhook(true) }, items, Seq(9));
        assert_eq!(sent(&mut batch), Some((1, Seq(2))));
        batch.heard(1, Verdict::Delivered, &attempt(), NOW, 0.5);
        assert_eq!((batch.progress().done, batch.progress().cursor), (&[Seq(1), Seq(2)][..], Seq(9)));
    }

    #[test]
    fn a_webhook_with_too_many_failures_waits_and_with_too_many_parked_is_disabled() {
        let mut full = Batch::new(OpenWebhook { parked: 999, ..webhook(false) }, vec![], Seq(0));
        full.is_full(after(5).unwrap(), 1_000);
        assert_eq!((full.progress().waits_until, full.progress().disable), (after(5), None));
        let mut parked = Batch::new(OpenWebhook { parked: 1_000, ..webhook(false) }, vec![], Seq(0));
        parked.is_full(after(5).unwrap(), 1_000);
        assert_eq!(parked.progress().disable, Some("too_many_failed"));
    }

    #[test]
    fn what_names_nobody_any_more_is_passed_as_if_it_was_delivered_and_says_nothing_of_the_endpoint() {
        let pending = PendingDelivery { seq: Seq(1), failures: 2, attempts: "[]".into() };
        let items = vec![
            Item::of_page(Seq(1), Some(Vec::new()), Some(&pending)),
            Item::of_page(Seq(2), Some(Vec::new()), None),
        ];
        let mut batch = Batch::new(webhook(true), items, Seq(2));
        let (first, _) = sent(&mut batch).unwrap();
        batch.is_needless(first);
        let progress = batch.progress();
        assert_eq!((progress.cursor, progress.done), (Seq(1), &[Seq(1)][..]));
        assert!(!progress.delivered && !progress.failing && batch.is_unsaved());
        assert_eq!(sent(&mut batch), Some((1, Seq(2))));
    }
}
