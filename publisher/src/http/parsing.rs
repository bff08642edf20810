//! Who may have a large body parsed now, and where?
//!
//! Parsing and checking 500 events takes a processor for milliseconds, and forty importers at a time would take all of
//! them. So large bodies are parsed on threads of a lower priority, and tenants, keys and users take turns: a tenant has half
//! of these threads at the most, so one tenant alone keeps no other's large body waiting.
//!
//! Whoever's request goes on to the log waits for its commit, and its batches have shares of their own. Whoever's does not could
//! send it again at once: it rests ([`FairPermits::with_rests`]).

use super::body::{BodyGroup, BodyHolder};
use super::problem::{Code, Problem};
use crate::batcher::Publisher;
use crate::metrics::Metrics;
use carillon_platform::share::{FairPermit, FairPermits, PermitLimits, Refused};
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle, Runtime};

/// From this many bytes on a body takes a turn. A hundred small events have less.
const LARGE: usize = 32 * 1024;
/// By so much the niceness of threads that parse large bodies is higher, and their priority lower: beside others that want all of
/// the processors they still have a third of what each of those has.
const NICER: i32 = 5;

/// Whether a body of so many bytes takes a turn.
pub(super) fn is_large(bytes: usize) -> bool {
    bytes >= LARGE
}

/// The turns, and the threads that work in them.
#[derive(Clone)]
pub struct Parsing {
    turns: FairPermits<BodyGroup, Publisher>,
    threads: Arc<Threads>,
    metrics: Arc<Metrics>,
}

/// One for each turn.
struct Threads {
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

/// The turn of a body: a small one takes none.
#[derive(Clone)]
pub(super) struct Turn(Option<Arc<Taken>>);

struct Taken {
    permit: FairPermit<BodyGroup, Publisher>,
    threads: Arc<Threads>,
}

impl Parsing {
    /// On a machine with so many processors.
    pub fn new(processors: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let total = processors.max(2);
        // Requests that wait have their bodies in memory already, and those are bounded.
        let limits = PermitLimits {
            total,
            per_group: total / 2,
            per_member: total / 2,
            waiting: 1_024,
            waiting_per_group: 512,
            waiting_per_member: 256,
        };
        let threads = Arc::new(Threads::start(total)?);
        Ok(Self { turns: FairPermits::with_rests(limits), threads, metrics })
    }

    /// Waits for a turn, if the body is large.
    pub(super) async fn turn(&self, bytes: usize, whose: BodyHolder) -> Result<Turn, Problem> {
        if !is_large(bytes) {
            return Ok(Turn(None));
        }
        let is_of_tenant = matches!(whose.group, BodyGroup::Tenant(_));
        match self.turns.acquire(whose).await {
            Ok(permit) => Ok(Turn(Some(Arc::new(Taken { permit, threads: self.threads.clone() })))),
            Err(refused) => {
                self.metrics.parsing_refused(refused);
                Err(match refused {
                    Refused::Total => {
                        Problem::new(Code::Overloaded, "too many large requests wait; nothing was stored")
                    }
                    Refused::Group if is_of_tenant => Problem::new(
                        Code::TenantShareFull,
                        "this tenant has as many large requests waiting as it may; nothing was stored",
                    ),
                    Refused::Group | Refused::Member => Problem::new(
                        Code::CallerShareFull,
                        "this key or user has as many large requests waiting as it may; nothing was stored",
                    ),
                })
            }
        }
    }
}

impl Turn {
    /// Does what takes a processor for a while: where a body has a turn, on a thread of its own, so that small requests do not
    /// wait behind it for a worker of the runtime. The turn is over when the work is, also if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let Some(turn) = self.0.clone() else { return work() };
        let handle = turn.threads.handle.clone();
        let done = handle.spawn(async move { (work(), drop(turn)).0 }).await;
        done.map_err(|_| Problem::new(Code::Internal, "the events could not be read"))?
    }

    /// The request goes on to the log: no rest follows.
    pub(super) fn leads_to_log(&self) {
        if let Some(turn) = &self.0 {
            turn.permit.was_light();
        }
    }

    /// Whether the body took one.
    pub(super) fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

impl Threads {
    fn start(count: usize) -> io::Result<Self> {
        let lower_priority = || {
            // Whoever may not even do that parses at the same one.
            let _ = rustix::process::nice(NICER);
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("parsing")
            .on_thread_start(lower_priority)
            .enable_time()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Within another runtime one may not wait for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_platform::share::Holder;
    use carillon_protocol::TenantId;
    use std::time::Duration;
    use tokio::time::timeout;

    fn of(tenant: &str, key: &str) -> BodyHolder {
        let member = Publisher { name: key.into(), several_tenants: false };
        Holder { group: BodyGroup::Tenant(TenantId::new(tenant).unwrap()), member }
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_take_turns_and_small_ones_pass() {
        let parsing = Parsing::new(2, Arc::new(Metrics::new())).unwrap();
        let importing = parsing.turn(LARGE, of("acme", "key:a")).await.ok().unwrap();
        assert!(importing.is_taken());
        assert!(!parsing.turn(LARGE - 1, of("acme", "key:a")).await.ok().unwrap().is_taken());
        let waits = timeout(Duration::from_secs(1), parsing.turn(LARGE, of("acme", "key:b"))).await;
        assert!(waits.is_err(), "a tenant has one at a time on two processors");
        let other = timeout(Duration::ZERO, parsing.turn(LARGE, of("umbrella", "key:c"))).await;
        assert!(other.is_ok(), "and there is one more for others");
        drop(importing);
        assert!(parsing.turn(LARGE, of("acme", "key:b")).await.is_ok_and(|turn| turn.is_taken()));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_s_request_never_leads_to_the_log_rests_while_others_send() {
        let parsing = Parsing::new(2, Arc::new(Metrics::new())).unwrap();
        let now = |who| timeout(Duration::ZERO, parsing.turn(LARGE, who));
        let other = parsing.turn(LARGE, of("umbrella", "key:b")).await.ok().unwrap();
        other.leads_to_log();
        drop(other);
        let refused = parsing.turn(LARGE, of("acme", "key:a")).await.ok().unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(refused);
        assert!(now(of("acme", "key:a")).await.is_err(), "it rests");
        let stored = now(of("umbrella", "key:b")).await.unwrap().ok().unwrap();
        stored.leads_to_log();
        drop(stored);
        assert!(now(of("umbrella", "key:b")).await.is_ok(), "no rest after what goes on to the log");
        tokio::time::sleep(Duration::from_millis(31)).await;
        assert!(now(of("acme", "key:a")).await.is_ok(), "three times as long as the work, and no longer");
    }

    #[tokio::test]
    async fn users_of_one_name_in_two_tenants_do_not_wait_for_each_other() {
        let parsing = Parsing::new(2, Arc::new(Metrics::new())).unwrap();
        let _working = parsing.turn(LARGE, of("acme", "key:a")).await.ok().unwrap();
        let mut waiting = Vec::new();
        for n in 0..256 {
            let mut waits = Box::pin(parsing.turn(LARGE, of("acme", "user:mila")));
            assert!(futures_util::poll!(&mut waits).is_pending(), "{n}");
            waiting.push(waits);
        }
        let refused = parsing.turn(LARGE, of("acme", "user:mila")).await.err().unwrap();
        assert_eq!(refused.code, Code::CallerShareFull);
        let namesake = parsing.turn(LARGE, of("umbrella", "user:mila")).await;
        assert!(namesake.is_ok_and(|turn| turn.is_taken()));
    }

    #[tokio::test]
    async fn a_body_that_has_a_turn_is_read_on_a_thread_of_lower_priority() {
        let parsing = Parsing::new(2, Arc::new(Metrics::new())).unwrap();
        let priority = || Ok(rustix::process::nice(0).unwrap());
        let small = parsing.turn(1, of("acme", "key:a")).await.ok().unwrap();
        let large = parsing.turn(LARGE, of("acme", "key:a")).await.ok().unwrap();
        let (mine, its) = (small.run(priority).await.ok().unwrap(), large.run(priority).await.ok().unwrap());
        assert_eq!(its, (mine + NICER).min(19));
    }
}
