//! How does one run go? Start, publish, strike, heal, become quiet, look at everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::api::ProofError;
use super::collect::collect;
use super::fault::Fault;
use super::history::{Allowed, History};
use super::meddler::Trick;
use super::oracle::{Report, check};
use super::result::RunResult;
use super::workload;
use super::world::{Peaks, World};
use crate::client::dice::Dice;

/// Events a second of the workload.
const RATE: f64 = 60.0;
/// Acknowledged before the fault begins.
const BEFORE: usize = 60;
/// Between two looks at the memory of processes.
const LOOK: Duration = Duration::from_millis(250);

/// A run and what it showed.
#[derive(Debug)]
pub struct Outcome {
    /// One line of docs/proof.
    pub result: RunResult,
    /// What the checker says.
    pub report: Report,
    /// Everything that was seen.
    pub history: History,
}

/// Runs a fault under this seed.
pub async fn run(fault: Fault, seed: u64) -> Result<Outcome, ProofError> {
    let begun = Instant::now();
    let world = World::start(seed, &fault.shape()).await?;
    let mut dice = Dice::seeded(seed);
    let (mut peaks, started) = (Peaks::new(), Instant::now());
    let body = async {
        let load = world.load(RATE)?;
        // Whoever marks goes on until the fault is over and healed.
        let stop = AtomicBool::new(false);
        let marking = workload::mark(&world.api, &world.people, &world.marks, seed, &stop);
        let hurt = async {
            let healed = async {
                world.acknowledged_more(BEFORE).await?;
                fault.strike(&world, &mut dice).await?;
                let healing = Instant::now();
                world.round(0).await?;
                Ok::<_, ProofError>(healing.elapsed())
            };
            let healed = healed.await;
            stop.store(true, Ordering::Relaxed);
            healed
        };
        let (healed, marked) = tokio::join!(hurt, marking);
        marked?;
        let healed = healed?;
        let published = load.stop().await;
        if published.abandoned > 0 {
            return Err(ProofError(format!("events were given up: {published:?}")));
        }
        world.round(1).await?;
        Ok((healed, published))
    };
    let (healed, published) = beside(body, &world, &mut peaks).await?;
    let mut history = collect(&world, &peaks).await?;
    history.allowed = fault.allowed();
    let report = check(&history);
    // What was not looked at has broken no promise.
    if report.expected == 0 || report.messages == 0 || history.memory.is_empty() || history.inboxes.is_empty()
    {
        return Err(ProofError("the run shows nothing: no deliveries, messages, memory or inboxes".into()));
    }
    let slowest = history.clients.iter().flat_map(|client| history.ledger.delays(client)).max();
    let result = RunResult {
        fault: fault.name.into(),
        seed,
        took_ms: millis(begun.elapsed()),
        load_ms: millis(started.elapsed()),
        heal_ms: millis(healed),
        slowest_ack_ms: millis(published.slowest),
        slowest_delivery_ms: millis(slowest.unwrap_or_default()),
        ..RunResult::of(&report)
    };
    Ok(Outcome { result, report, history })
}

/// Runs the workload with tricks on the way to clients and in what lies still, and no fault: every oracle that can be
/// deceived from outside must find what was done.
pub async fn deceive(seed: u64) -> Result<Report, ProofError> {
    let shape = super::world::Shape {
        tricks: vec![Trick::Drop, Trick::Double, Trick::Swap, Trick::Alter, Trick::Stranger, Trick::Hang],
        forgets: Some(7),
        ..super::world::Shape::default()
    };
    let world = World::start(seed, &shape).await?;
    let load = world.load(RATE)?;
    world.acknowledged_more(BEFORE * 3).await?;
    load.stop().await;
    world.round(0).await?;
    let mut history = super::tamper::collect_tampered(&world).await?;
    history.allowed = Allowed::default();
    Ok(check(&history))
}

/// Looks at the memory of gateways and publishers while the body runs.
async fn beside<T>(body: impl Future<Output = T>, world: &World, peaks: &mut Peaks) -> T {
    let look = async {
        loop {
            for service in world.stack.gateways().iter().chain(world.stack.publishers()) {
                if let Some(bytes) = service.process().memory() {
                    let most = peaks.entry(service.name().to_owned()).or_default();
                    *most = bytes.max(*most);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        value = body => value,
        never = look => never,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
