//! What time is it, on the clock all processes of this machine share?

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock. The same in every process, so a stamp of one can be read in another.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// A name no earlier run had, for tenants of its own: letters and digits.
pub(crate) fn run_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:x}{:x}", since.map_or(0, |since| since.as_micros()), std::process::id())
}
