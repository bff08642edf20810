//! What becomes of a shard to which everything happens?
//!
//! A shard, the streams it follows and the clients it serves, in a world that a seed decides: sockets that take little, break
//! at any write or were gone before they were seen; first bytes that came with the request; compression; batches that come
//! late, twice, in another order or never; logs that
//! lose their end; rings that let go; pages of the log that come late, partly or not; tokens that expire; clocks that are
//! set; connections that are sent away; rules of channels that change, and with them who is seen; clients that come into more tenants
//! and leave them. After every step the invariants must hold, and at the end nothing may be left.
//!
//! A failure prints its seed and the fewest steps that still fail. `CARILLON_SIMULATION_SEED=n` runs one seed again;
//! `CARILLON_SIMULATION_MINUTES=n` (`make simulate`) draws seeds for so long, on every core.
//!
//! | module | question it answers |
//! |---|---|
//! | [`scenario`] | what happens, and what is the shortest of it that still fails? |
//! | [`world`] | what are sockets, time and requests here? |
//! | [`tenant`] | what is a tenant's log in truth? |
//! | [`feed`] | how does it get to the tenant's stream? |
//! | [`client`] | what may a client be told? (the oracle) |
//! | [`seat`] | what does a client know of its connection, and of each tenant that it is in? |
//! | [`several`] | which tenant is a frame about, and in which is a client? (the oracle of several tenants) |
//! | [`rules`] | which channels may a client be in, and read back, in truth? |
//! | [`joined`] | which channels is a client in, as far as it knows? |
//! | [`latest`] | does a client hold the latest event of every key? (the oracle of latest values) |
//! | [`rights`] | what may a client hear, and a connection have, by its token and the rules? (the oracle of rights) |
//! | [`seen`] | who is seen in which channel, in truth? (the oracle of presence) |
//! | [`tap`] | what went to a client, and when? (the oracle of time) |
//! | [`outside`] | what does the world outside say and answer? |
//! | [`answering`] | what becomes of the shard's requests? |
//! | [`run`] | what happens in which order? |
//! | [`scripts`] | what happens when single steps come in one order? (tests without a seed) |
//! | [`judge`] | what must be true after every step, at rest, and at the end? |

mod answering;
mod client;
mod feed;
mod joined;
mod judge;
mod latest;
mod outside;
mod rights;
mod rules;
mod run;
mod scenario;
mod scripts;
mod seat;
mod seen;
mod several;
mod tap;
mod tenant;
mod tests;
mod world;

use client::Kinds;
use scenario::{shrink, steps};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

thread_local! {
    /// Whether panics of this thread are findings: their text stands in the report.
    static SIMULATES: Cell<bool> = const { Cell::new(false) };
}

/// What comes of a list of steps: what its clients heard, or what is wrong.
fn outcome(steps: &[scenario::Step]) -> Result<Kinds, String> {
    SIMULATES.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| run::run(steps)));
    SIMULATES.set(false);
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(text.unwrap_or_default())
        }
    }
}

/// Tries a seed. Answers what its clients heard, or what is wrong, with the fewest steps that show it.
fn try_seed(seed: u64) -> Result<Kinds, String> {
    let all = steps(seed);
    outcome(&all).map_err(|what| {
        let fewest = shrink(all, |steps| outcome(steps).is_err());
        let now = outcome(&fewest).err().unwrap_or_default();
        let steps: Vec<String> = fewest.iter().map(|step| format!("  {step:?}")).collect();
        format!("seed {seed}: {what}\nfewest steps: {now}\n{}", steps.join("\n"))
    })
}

/// Tries seeds on every core while `next` has one. The first that fails ends it. Answers how many there were and what
/// their clients heard.
fn try_all(next: impl Fn() -> Option<u64> + Sync) -> (u64, Kinds) {
    let (tried, found, heard) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Kinds::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            while let (false, Some(seed)) = (found.load(Ordering::Relaxed), next()) {
                tried.fetch_add(1, Ordering::Relaxed);
                match try_seed(seed) {
                    Ok(kinds) => {
                        let mut heard = heard.lock().unwrap();
                        kinds.into_iter().for_each(|(kind, count)| *heard.entry(kind).or_default() += count);
                    }
                    Err(what) => {
                        found.store(true, Ordering::Relaxed);
                        return Some(what);
                    }
                }
            }
            None
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    (tried.into_inner(), heard.into_inner().unwrap())
}
