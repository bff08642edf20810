//! What is at hand of a tenant's signals a second on this node? (no I/O: what is settled with Redis is only noted)

use carillon_backplane::bus::{Take, Taken};
use carillon_protocol::TenantId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedSender;

/// A node spends so many parts of a second's worth on credit.
const PARTS: u32 = 20;
/// A clock that goes back by more was set.
const SET_BACK_MS: u64 = 60_000;
/// After Redis did not answer it is asked again then.
const AGAIN_MS: u64 = 1_000;

/// What was spent on credit, to be settled.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    tenant: TenantId,
    limit: u32,
    need: u32,
}

impl Ask {
    pub(super) fn take<'a>(&'a self, me: &'a str) -> Take<'a> {
        let (rate, need) = (self.limit, self.need);
        Take { tenant: &self.tenant, kind: "signals", rate, need, more: 0, asker: me }
    }
}

/// The shares of all tenants that have a limit here.
pub(super) struct Shares {
    shares: Mutex<HashMap<TenantId, Share>>,
    asks: Option<UnboundedSender<Ask>>,
    nodes: AtomicU64,
}

#[derive(Debug)]
struct Share {
    /// At hand.
    credit: u32,
    state: State,
    /// Of this node's own part while Redis is away: thousandths, and when that was.
    own_milli: u64,
    at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Redis may be asked from this time on.
    From(u64),
    /// It is being asked.
    Asking,
    /// It did not answer: this node has its own part until then.
    Away(u64),
}

impl Shares {
    pub(super) fn new(asks: Option<UnboundedSender<Ask>>) -> Self {
        Self { shares: Mutex::default(), asks, nodes: AtomicU64::new(1) }
    }

    pub(super) fn know(&self, nodes: u64) {
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    pub(super) fn nodes(&self) -> u64 {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Takes one; else says in how many milliseconds to try again.
    pub(super) fn take(&self, tenant: &TenantId, limit: u32, now_ms: u64) -> Result<(), u64> {
        let (limit, full) = (limit.max(1), (limit / PARTS).max(1));
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(tenant.clone()).or_insert_with(|| Share::new(full, limit, now_ms));
        let Some(asks) = &self.asks else { return share.take_own(limit, self.nodes(), now_ms) };
        share.credit = share.credit.min(full);
        if matches!(share.state, State::From(at) | State::Away(at) if at > now_ms + SET_BACK_MS) {
            share.state = State::From(now_ms);
        }
        if let State::Away(until_ms) = share.state {
            if now_ms < until_ms {
                return share.take_own(limit, self.nodes(), now_ms);
            }
            share.state = State::From(now_ms);
        }
        let had = share.credit;
        share.credit = had.saturating_sub(1);
        if matches!(share.state, State::From(from_ms) if now_ms >= from_ms) && share.credit <= full / 2 {
            share.state = State::Asking;
            // What was spent, and this one too where nothing was left.
            let need = full - share.credit;
            let _ = asks.send(Ask { tenant: tenant.clone(), limit, need });
        }
        if had > 0 {
            return Ok(());
        }
        Err(match share.state {
            State::From(from_ms) => from_ms.saturating_sub(now_ms).max(1),
            _ => (1_000 / u64::from(limit)).clamp(1, 100),
        })
    }

    /// What Redis said; nothing: it did not answer.
    pub(super) fn settled(&self, ask: &Ask, taken: Option<Taken>) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(share) = shares.get_mut(&ask.tenant) else { return };
        share.state = match taken {
            Some(Taken { given, .. }) if given > 0 => {
                share.credit = share.credit.saturating_add(given as u32);
                State::From(now_ms)
            }
            Some(Taken { left, .. }) => {
                let missing = u64::from(ask.need.min(ask.limit)).saturating_sub(left).max(1);
                State::From(now_ms + (missing * 1_000).div_ceil(u64::from(ask.limit)))
            }
            None => State::Away(now_ms + AGAIN_MS),
        };
    }
}

impl Share {
    fn new(credit: u32, limit: u32, now_ms: u64) -> Self {
        Self { credit, state: State::From(now_ms), own_milli: u64::from(limit) * 1_000, at_ms: now_ms }
    }

    fn take_own(&mut self, limit: u32, nodes: u64, now_ms: u64) -> Result<(), u64> {
        let full = (u64::from(limit) * 1_000 / nodes.max(1)).max(1_000);
        let since = now_ms.saturating_sub(self.at_ms).min(60_000);
        let has = (self.own_milli + since * full / 1_000).min(full);
        (self.own_milli, self.at_ms) = (has, now_ms);
        match has.checked_sub(1_000) {
            Some(left) => {
                self.own_milli = left;
                Ok(())
            }
            None => Err(((1_000 - has) * 1_000).div_ceil(full)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    fn now_ms() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }

    fn passed(shares: &Shares, limit: u32, tries: usize, now_ms: u64) -> usize {
        (0..tries).filter(|_| shares.take(&tenant(), limit, now_ms).is_ok()).count()
    }

    #[test]
    fn a_node_spends_a_little_on_credit_and_goes_on_with_what_redis_gives() {
        let (ask, mut asks) = unbounded_channel();
        let (shares, now) = (Shares::new(Some(ask)), now_ms());
        assert_eq!(passed(&shares, 100, 50, now), 5);
        let asked = asks.try_recv().unwrap();
        assert_eq!(asked.need, 3, "asked when half was spent");
        assert!(asks.try_recv().is_err(), "once at a time");
        shares.settled(&asked, Some(Taken { given: 3, left: 97, asking: 1 }));
        assert_eq!(passed(&shares, 100, 50, now_ms()), 3);
        let asked = asks.try_recv().unwrap();
        shares.settled(&asked, Some(Taken { given: 0, left: 0, asking: 1 }));
        assert_eq!(passed(&shares, 100, 50, now_ms()), 0);
        let retry = shares.take(&tenant(), 100, now_ms()).unwrap_err();
        assert!((1..=50).contains(&retry), "{retry}");
    }

    #[test]
    fn while_redis_is_away_a_node_has_its_part() {
        let (ask, mut asks) = unbounded_channel();
        let (shares, now) = (Shares::new(Some(ask)), now_ms());
        shares.know(4);
        assert_eq!(passed(&shares, 100, 50, now), 5);
        shares.settled(&asks.try_recv().unwrap(), None);
        assert_eq!(passed(&shares, 100, 100, now), 25);
        let later = passed(&shares, 100, 100, now + 400);
        assert_eq!(later, 10, "as time gives it back");
        let alone = Shares::new(None);
        assert_eq!(passed(&alone, 100, 500, now), 100);
    }
}
