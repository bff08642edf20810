//! On which threads do the hostile clients run? On threads of the lowest priority: in reality they run on other machines.

use crate::command::CommandError;
use crate::command::drill::DrillError;
use tokio::runtime::{Builder, Handle, Runtime};

/// The highest niceness there is.
const NICEST: i32 = 19;

/// A runtime whose threads have the lowest priority, so that what is measured is what the services do with a load, and not
/// what it costs to make it. What it still takes of the processors nobody else wanted.
#[derive(Debug)]
pub(super) struct LowPriorityThreads {
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl LowPriorityThreads {
    /// One thread: a load waits for its answers more than it computes.
    pub(super) fn start() -> Result<Self, CommandError> {
        let lower_priority = || {
            // Whoever may not even lower a priority measures the load's own cost, too.
            let _ = rustix::process::nice(NICEST);
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("load")
            .on_thread_start(lower_priority)
            .enable_all()
            .build()
            .map_err(|error| DrillError(format!("the load has no threads: {error}")))?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where tasks are started.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for LowPriorityThreads {
    fn drop(&mut self) {
        // Waits for nobody: it may be dropped within another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
