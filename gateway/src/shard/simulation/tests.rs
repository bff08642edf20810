//! The simulation in every test run, and for hours.

use super::{SIMULATES, try_all, try_seed};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seeds that every test run tries.
const FIXED: u64 = 2_000;
/// How long all processors together try others after them.
const OTHERS: Duration = Duration::from_secs(60);

/// What clients hear in some thousand seeds.
const HEARD: &[&str] = &[
    "welcome",
    "event",
    "nothing of an event that it is excepted from",
    "history",
    "replayed",
    "latest events of keys",
    "compressed",
    "compact",
    "reset",
    "heartbeat",
    "ping",
    "pong",
    "ok",
    "error",
    "expiring",
    "goaway",
    "answer",
    "attached",
    "switched",
    "left",
    "detached",
    "event that names its tenant",
    "heartbeat that names its tenant",
    "reset that names its tenant",
    "replayed that names its tenant",
    "not changed: forbidden",
    "not changed: unavailable",
    "not changed: already_attached",
    "not changed: last_tenant",
    "refused by rule",
    "taken out by rule",
    "past forbidden",
    "published",
    "not published: unavailable",
    "not published: forbidden",
    "close 1000",
    "close 1012",
    "close 4401",
    "close 4403",
    "close 4408",
    "close 4429",
    "close 4503",
    "close 4508",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn i2_i3_i4_i5_i6_i8_i10_a_shard_keeps_its_promises_whatever_happens() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !SIMULATES.get() {
            before(panic)
        }
    }));
    if let Some(seed) = number("CARILLON_SIMULATION_SEED") {
        return assert_eq!(try_seed(seed).err(), None);
    }
    let minutes = number("CARILLON_SIMULATION_MINUTES");
    let began = Instant::now();
    let fixed = AtomicU64::new(0);
    let first = fastrand::u64(FIXED..);
    let others = AtomicU64::new(first);
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    let within = minutes.map_or(OTHERS / processors, |minutes| Duration::from_secs(60 * minutes));
    let next = || {
        let seed = fixed.fetch_add(1, Ordering::Relaxed);
        let is_time = began.elapsed() < within;
        if seed < FIXED { Some(seed) } else { is_time.then(|| others.fetch_add(1, Ordering::Relaxed)) }
    };
    let (tried, heard) = try_all(next);
    let a_minute = tried as f64 * 60.0 / began.elapsed().as_secs_f64();
    println!("{tried} seeds ({FIXED} fixed, then from {first}), {a_minute:.0} a minute; heard: {heard:?}");
    // A simulation in which something never happens proves nothing about it.
    for kind in HEARD {
        assert!(heard.contains_key(*kind), "nobody heard {kind}: {heard:?}");
    }
}
