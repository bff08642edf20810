//! What does one process of a crowd do?
//!
//! One runtime of one thread runs its clients; a second thread reads orders.

use std::cell::RefCell;
use std::io::{BufRead, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use super::TOLD;
use super::client::Client;
use super::plan::{Group, Habit, Order, PartReport, Plan, Word};
use super::spread::Spread;
use crate::failure::Failure;
use crate::procfs::allow_files;
use crate::target::Address;

/// First handshakes under way at the same time.
const HANDSHAKES: usize = 64;
/// Bytes one read takes at most.
const SCRATCH: usize = 64 * 1024;

/// How far the measurement is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    /// Everybody reads.
    Calm,
    /// Habits are followed, since then.
    Marked(Instant),
    /// Everybody reads again.
    Recovering,
    /// Everybody leaves once everything is there, at that time at the latest.
    Finishing(Instant),
}

/// What the thread that reads orders tells the clients.
pub(super) struct Known {
    /// Last acknowledged event of each tenant.
    heads: Vec<AtomicU64>,
    mark_ns: AtomicU64,
    recover_ns: AtomicU64,
}

impl Known {
    pub(super) fn new(tenants: usize) -> Self {
        let heads = (0..tenants).map(|_| AtomicU64::new(0)).collect();
        Self { heads, mark_ns: AtomicU64::new(u64::MAX), recover_ns: AtomicU64::new(u64::MAX) }
    }

    /// The last event of a tenant known to be acknowledged.
    pub(super) fn head(&self, tenant: usize) -> u64 {
        self.heads.get(tenant).map_or(0, |head| head.load(Ordering::Relaxed))
    }

    /// When habits began, if they have.
    pub(super) fn mark_ns(&self) -> Option<u64> {
        Some(self.mark_ns.load(Ordering::Relaxed)).filter(|mark| *mark != u64::MAX)
    }

    /// 0 before the mark, 1 from there to the recovery, 2 after it.
    fn phase(&self, stamp_ns: u64) -> usize {
        let passed = |limit: &AtomicU64| usize::from(stamp_ns >= limit.load(Ordering::Relaxed));
        passed(&self.mark_ns) + passed(&self.recover_ns)
    }

    /// The stage an order leads to, if it does.
    pub(super) fn take(&self, order: &Order) -> Option<Stage> {
        match *order {
            Order::Head { tenant, seq } => {
                self.heads.get(tenant)?.fetch_max(seq, Ordering::Relaxed);
                None
            }
            Order::Mark(ns) => {
                self.mark_ns.store(ns, Ordering::Relaxed);
                Some(Stage::Marked(Instant::now()))
            }
            Order::Recover(ns) => {
                self.recover_ns.store(ns, Ordering::Relaxed);
                Some(Stage::Recovering)
            }
            Order::Finish { seconds } => {
                Some(Stage::Finishing(Instant::now() + Duration::from_secs(seconds)))
            }
        }
    }
}

/// What all clients of the process share.
pub(super) struct Desk {
    /// All of them read into this.
    pub(super) scratch: Vec<u8>,
    /// Clients that were welcomed once.
    pub(super) welcomed: watch::Sender<usize>,
    latency: [Spread; 3],
    pub(super) replay: Spread,
    pub(super) live_again: Spread,
    report: PartReport,
}

impl Desk {
    /// With nothing on it.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            scratch: vec![0; SCRATCH],
            welcomed: watch::Sender::new(0),
            latency: [Spread::new()?, Spread::new()?, Spread::new()?],
            replay: Spread::new()?,
            live_again: Spread::new()?,
            report: PartReport::default(),
        })
    }

    /// The figures of a habit.
    pub(super) fn group(&mut self, habit: Habit) -> &mut Group {
        self.report.groups.entry(habit.name().to_owned()).or_default()
    }

    /// Tells the first faults in words. What is `expected` of a bad network leaves room for what is not.
    pub(super) fn tell(&mut self, client: u64, what: &str, expected: bool) {
        if self.report.told.len() < if expected { TOLD / 3 } else { TOLD } {
            self.report.told.push(format!("client {client}: {what}"));
        }
    }

    /// An event came to a client that is live.
    pub(super) fn arrived(&mut self, known: &Known, stamp_ns: u64, now_ns: u64) {
        self.latency[known.phase(stamp_ns)].between(stamp_ns, now_ns);
    }

    /// Everything that was counted.
    pub(super) fn report(mut self) -> PartReport {
        self.report.latency = self.latency.each_ref().map(Spread::buckets);
        self.report.replay = self.replay.buckets();
        self.report.live_again = self.live_again.buckets();
        self.report
    }
}

/// Everything a client needs besides its own plan.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) addresses: Rc<[Address]>,
    pub(super) comeback: super::plan::Comeback,
    pub(super) known: Arc<Known>,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) desk: Rc<RefCell<Desk>>,
    pub(super) handshakes: Rc<Semaphore>,
}

/// `carillon-loadtest crowd-part`: reads its plan and orders from stdin, writes words to stdout.
pub(crate) fn play() -> Result<(), Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line).map_err(std::io::Error::from)?;
    let word = match act(plan) {
        Ok(report) => Word::Report(Box::new(report)),
        Err(failure) => Word::Failed(failure.to_string()),
    };
    say(&word)
}

fn say(word: &Word) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(word).map_err(std::io::Error::from)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

fn act(plan: Plan) -> Result<PartReport, Failure> {
    allow_files(plan.clients.len() as u64 + 64)?;
    let known = Arc::new(Known::new(plan.tenants));
    let (stages, stage) = watch::channel(Stage::Calm);
    let heard = Arc::clone(&known);
    std::thread::Builder::new().name("orders".into()).spawn(move || obey(&heard, &stages))?;

    let desk = Rc::new(RefCell::new(Desk::new()?));
    let mut welcomed = desk.borrow().welcomed.subscribe();
    let around = Surroundings {
        addresses: plan.addresses.into_iter().map(|(authority, path)| Address { authority, path }).collect(),
        comeback: plan.comeback,
        known,
        stage,
        desk: Rc::clone(&desk),
        handshakes: Rc::new(Semaphore::new(HANDSHAKES)),
    };
    let (count, patience) = (plan.clients.len(), Duration::from_secs(plan.connect_seconds));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clients = LocalSet::new();
    let playing: Vec<_> = plan
        .clients
        .into_iter()
        .map(|plan| clients.spawn_local(Client::new(plan, around.clone()).play()))
        .collect();
    drop(around);
    runtime.block_on(clients.run_until(async {
        let ready = timeout(patience, welcomed.wait_for(|welcomed| *welcomed == count)).await;
        if !matches!(ready, Ok(Ok(_))) {
            let first = desk.borrow().report.told.first().cloned().unwrap_or_default();
            let what = format!("a welcome for each of {count} clients ({first})");
            return Err(Failure::Late { what, patience });
        }
        say(&Word::Ready)?;
        for client in playing {
            client.await.map_err(|_| Failure::Usage("a client panicked".into()))?;
        }
        Ok(())
    }))?;
    drop((clients, welcomed));
    let desk = Rc::into_inner(desk).ok_or_else(|| Failure::Usage("a client did not end".into()))?;
    Ok(desk.into_inner().report())
}

/// Reads orders until there are no more. Whoever gave them is gone then, and the process with him.
fn obey(known: &Known, stages: &watch::Sender<Stage>) {
    for line in std::io::stdin().lock().lines() {
        let Some(order) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
        if let Some(stage) = known.take(&order) {
            stages.send_replace(stage);
        }
    }
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_move_heads_and_stages() {
        let known = Known::new(2);
        assert_eq!(known.take(&Order::Head { tenant: 1, seq: 5 }), None);
        known.take(&Order::Head { tenant: 1, seq: 4 });
        known.take(&Order::Head { tenant: 9, seq: 4 });
        assert_eq!((known.head(0), known.head(1), known.head(9)), (0, 5, 0));
        assert_eq!((known.mark_ns(), known.phase(100)), (None, 0));
        assert!(matches!(known.take(&Order::Mark(100)), Some(Stage::Marked(_))));
        assert_eq!(known.take(&Order::Recover(200)), Some(Stage::Recovering));
        assert_eq!((known.mark_ns(), [99, 100, 200].map(|ns| known.phase(ns))), (Some(100), [0, 1, 2]));
    }
}
