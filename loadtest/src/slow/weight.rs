//! How much memory do the gateways take while a measurement goes on?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::failure::{Failure, join, spawn};
use crate::procfs::memory;

/// How often they are weighed.
const EVERY: Duration = Duration::from_millis(100);

/// Weighs some processes again and again, together.
pub(super) struct Weighing {
    pids: Vec<u32>,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Weighing {
    /// Begins.
    pub(super) fn start(pids: Vec<u32>) -> Result<Self, Failure> {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (weighed, highest, stopped) = (pids.clone(), Arc::clone(&peak), Arc::clone(&stop));
        let thread = spawn("weighing", move || {
            while !stopped.load(Ordering::Relaxed) {
                highest.fetch_max(resident_kib(&weighed)?, Ordering::Relaxed);
                std::thread::sleep(EVERY);
            }
            Ok(())
        })?;
        Ok(Self { pids, peak, stop, thread })
    }

    /// Resident KiB now.
    pub(super) fn now(&self) -> Result<u64, Failure> {
        resident_kib(&self.pids)
    }

    /// The most since the last time this was asked, in KiB.
    pub(super) fn peak(&self) -> Result<u64, Failure> {
        let now = self.now()?;
        Ok(self.peak.swap(now, Ordering::Relaxed).max(now))
    }

    /// Ends.
    pub(super) fn stop(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        join(self.thread)
    }
}

fn resident_kib(pids: &[u32]) -> Result<u64, Failure> {
    pids.iter().map(|pid| memory(*pid).map(|memory| memory.resident_kib)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_one_phase() {
        let weighing = Weighing::start(vec![std::process::id()]).unwrap();
        // Every page is written to, so that it is resident.
        let ballast = std::hint::black_box(vec![1_u8; 64 << 20]);
        let with = weighing.peak().unwrap();
        drop(ballast);
        weighing.peak().unwrap();
        let without = weighing.peak().unwrap();
        weighing.stop().unwrap();
        assert!(with > without + 30_000, "{with} KiB with ballast, {without} KiB without");
    }
}
