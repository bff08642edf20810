//! How does this node begin to follow a tenant?
//!
//! It subscribes first and reads the head afterwards: an event is either below that head or heard. Many tenants may come
//! at once (a node that restarts gets all of its tenants back within seconds): [`OPENINGS`] of them are read at a time,
//! the others wait in the order they came. A tenant waits once, however many of its clients do, so that order is fair.

use super::ask::{OpenError, OpenedStream};
use super::early::Early;
use super::{Feed, Found, Open, Tracked, oldest_of, readable};
use crate::metrics::metrics;
use crate::rules::RuleBook;
use crate::stream::Stream;
use crate::stream::sequencer::Sequencer;
use carillon_backplane::log::{Log, LogError, Opened};
use carillon_platform::rules::RuleSet;
use carillon_platform::telemetry::Seldom;
use carillon_protocol::envelope::Message;
use carillon_protocol::{Seq, TenantId};
use std::collections::VecDeque;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Tenants whose head is read at a time.
const OPENINGS: usize = 4;
/// Tenants that may be on their way in; further ones are refused by name.
const ON_THEIR_WAY: usize = 16_384;
/// How long a new tenant waits for Redis to confirm before the head watch alone has to do.
const CONFIRM: Duration = Duration::from_secs(2);

static NOT_OPENED: Seldom<Discriminant<LogError>> = Seldom::new();

/// A tenant that is being opened.
pub(super) struct Opening {
    waiting: Vec<oneshot::Sender<OpenedStream>>,
    pub(super) early: Early,
}

impl Opening {
    fn join(&mut self, waiter: oneshot::Sender<OpenedStream>) {
        // Looked through only when the list would grow, so that clients that come and go do not pile up.
        if self.waiting.len() == self.waiting.capacity() {
            self.waiting.retain(|waiter| !waiter.is_closed());
        }
        self.waiting.push(waiter);
    }

    fn is_wanted(&self) -> bool {
        self.waiting.iter().any(|waiter| !waiter.is_closed())
    }
}

/// What is read of a tenant that is opened.
pub(super) struct Newly {
    pub(super) log: Opened,
    pub(super) oldest: Seq,
    pub(super) rules: Arc<RuleSet>,
}

/// A tenant's log, its oldest event and its rules; none if there is no such tenant.
async fn open(
    log: &Log,
    rules: &RuleBook,
    tenant: &TenantId,
    create: bool,
) -> Result<Option<Newly>, LogError> {
    let Some(opened) = log.open_tenant(tenant, create).await? else { return Ok(None) };
    let asked = [(tenant.clone(), None)];
    let (oldest, rules) = tokio::join!(oldest_of(log, &opened), rules.read(&asked));
    let rules = rules?.pop().map(|(_, rules)| rules).unwrap_or_default();
    Ok(Some(Newly { log: opened, oldest: oldest?, rules }))
}

/// Whose turn it is to be read. (pure)
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// All that are on their way in: subscribing, waiting or being read.
    begun: usize,
    reading: usize,
    turns: VecDeque<TenantId>,
}

impl Openings {
    /// Whether one more may begin; if so, it has begun.
    fn begin(&mut self) -> bool {
        let fits = self.begun < ON_THEIR_WAY;
        self.begun += usize::from(fits);
        fits
    }

    /// It is subscribed and waits for its turn.
    fn wait(&mut self, tenant: TenantId) {
        self.turns.push_back(tenant);
    }

    /// Whose turn it is now, if one more may be read.
    fn next(&mut self) -> Option<TenantId> {
        let tenant = if self.reading < OPENINGS { self.turns.pop_front() } else { None };
        self.reading += usize::from(tenant.is_some());
        tenant
    }

    /// One that had its turn is open, refused, or not wanted any more.
    fn end(&mut self) {
        debug_assert!(self.reading > 0, "only who had a turn ends it");
        self.reading -= 1;
        self.begun -= 1;
    }
}

impl Feed {
    pub(super) fn open(&mut self, tenant: TenantId, answer: oneshot::Sender<OpenedStream>) {
        match self.tracked.get_mut(&tenant) {
            Some(Tracked::Open(open)) => {
                open.idle_since = None;
                // A waiter that went away needs no answer.
                let _ = answer.send(Ok(open.stream.clone()));
            }
            Some(Tracked::Opening(opening)) => opening.join(answer),
            None if self.openings.begin() => {
                let opening = Opening { waiting: vec![answer], early: Early::new(self.arrivals.clone()) };
                self.tracked.insert(tenant.clone(), Tracked::Opening(opening));
                self.subscribe(tenant);
            }
            None => {
                metrics().openings_refused.increment(1);
                let _ = answer.send(Err(OpenError::Busy("too many tenants are being opened".into())));
            }
        }
    }

    fn subscribe(&self, tenant: TenantId) {
        let (listener, finder) = (self.listener.clone(), self.finder.clone());
        tokio::spawn(async move {
            // Without a confirmation the head watch finds what was not heard.
            let confirmed = tokio::time::timeout(CONFIRM, listener.subscribe(&tenant)).await;
            if !matches!(confirmed, Ok(Ok(()))) {
                tracing::debug!(%tenant, "subscription not confirmed, delivering from the log meanwhile");
            }
            let _ = finder.send(Found::Subscribed(tenant));
        });
    }

    pub(super) fn subscribed(&mut self, tenant: TenantId) {
        self.openings.wait(tenant);
        self.read_next();
    }

    /// Reads the heads of those whose turn it is. Nobody reads for clients that have gone meanwhile.
    fn read_next(&mut self) {
        while let Some(tenant) = self.openings.next() {
            if !matches!(self.tracked.get(&tenant), Some(Tracked::Opening(opening)) if opening.is_wanted()) {
                self.openings.end();
                self.tracked.remove(&tenant);
                self.leave(&tenant);
                continue;
            }
            let (log, rules, finder) = (self.log.clone(), self.rules.clone(), self.finder.clone());
            let create = self.config.create_tenants;
            tokio::spawn(async move {
                let found = open(&log, &rules, &tenant, create).await;
                let _ = finder.send(Found::Opened(tenant, found));
            });
        }
    }

    pub(super) fn opened(&mut self, tenant: TenantId, result: Result<Option<Newly>, LogError>) {
        self.openings.end();
        self.finish_opening(tenant, result);
        self.read_next();
    }

    fn finish_opening(&mut self, tenant: TenantId, result: Result<Option<Newly>, LogError>) {
        let Some(Tracked::Opening(Opening { waiting, early })) = self.tracked.remove(&tenant) else { return };
        let error = match result {
            Ok(Some(Newly { log: Opened { head, epochs, .. }, oldest, rules })) => {
                let stream = Stream::new(tenant.clone(), epochs, head.seq, oldest, self.config.ring);
                stream.set_rules(rules);
                let stream = Arc::new(stream);
                self.config.limits.watch(&stream);
                let open = Open {
                    stream: stream.clone(),
                    sequencer: Sequencer::new(head.epoch, head.seq, head.tag),
                    held: self.arrivals.charge(0),
                    asked: None,
                    in_question: false,
                    idle_since: None,
                };
                self.tracked.insert(tenant.clone(), Tracked::Open(Box::new(open)));
                if early.is_incomplete() {
                    self.heads.wish(Instant::now());
                }
                for message in early.into_payloads().filter_map(|payload| readable(&tenant, payload)) {
                    match message {
                        Message::Batch(batch) => self.offer(batch),
                        Message::Settings(_) => self.heads.wish(Instant::now()),
                        Message::Live(_) => {}
                        // Nobody is here yet who could have asked.
                        Message::Presence(..) => {}
                    }
                }
                for waiter in waiting {
                    let _ = waiter.send(Ok(stream.clone()));
                }
                self.count_streams();
                return;
            }
            Ok(None) => OpenError::UnknownTenant,
            Err(error) => {
                if let Some(times) = NOT_OPENED.due(discriminant(&error)) {
                    tracing::warn!(%tenant, %error, times, "a stream could not be opened");
                }
                OpenError::from(&error)
            }
        };
        self.leave(&tenant);
        for waiter in waiting {
            let _ = waiter.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> TenantId {
        TenantId::new(format!("tenant-{n}")).unwrap()
    }

    #[test]
    fn i10_tenants_are_read_a_few_at_a_time_in_the_order_they_came() {
        let mut openings = Openings::default();
        for n in 0..5_000 {
            assert!(openings.begin());
            openings.wait(tenant(n));
        }
        let mut reading: VecDeque<TenantId> = VecDeque::new();
        let mut read = 0;
        loop {
            while let Some(next) = openings.next() {
                assert_eq!(next, tenant(read), "first come, first served");
                reading.push_back(next);
                read += 1;
            }
            assert!(reading.len() <= OPENINGS);
            if reading.pop_back().is_none() {
                break;
            }
            openings.end();
        }
        assert_eq!((read, openings.begun, openings.reading), (5_000, 0, 0), "all come in");
    }

    #[test]
    fn i10_so_many_may_be_on_their_way_and_the_next_is_refused() {
        let mut openings = Openings::default();
        assert_eq!((0..ON_THEIR_WAY + 10).filter(|_| openings.begin()).count(), ON_THEIR_WAY);
        openings.wait(tenant(1));
        assert!(openings.next().is_some());
        openings.end();
        assert!(openings.begin(), "the place of one that came in");
    }

    #[test]
    fn clients_that_hang_up_do_not_pile_up_while_their_tenant_waits() {
        let early = Early::new(crate::budget::Budget::new(0));
        let mut opening = Opening { waiting: Vec::new(), early };
        for _ in 0..10_000 {
            let (answer, _gone) = oneshot::channel();
            opening.join(answer);
        }
        assert!(opening.waiting.len() < 100 && !opening.is_wanted(), "{}", opening.waiting.len());
        let (answer, _waits) = oneshot::channel();
        opening.join(answer);
        assert!(opening.is_wanted());
    }
}
