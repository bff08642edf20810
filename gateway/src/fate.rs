//! What happens when a part that the node cannot do without ends?
//!
//! The process ends. A shard's connections belong to it alone, a stream has no other feeder and a request nobody else who
//! answers it, so a node that lost one would look ready and be deaf. Its clients come back to other nodes with their
//! cursors; nothing is lost.

use tokio_util::sync::CancellationToken;

/// Held by a thread for as long as it works: unless its end was [`fulfilled`](SharedFate::fulfilled), the process ends
/// with it, whether it panicked or returned.
pub(crate) struct SharedFate {
    part: &'static str,
    fulfilled: bool,
}

impl SharedFate {
    pub(crate) fn of(part: &'static str) -> Self {
        Self { part, fulfilled: false }
    }

    /// The part has ended because it was told to.
    pub(crate) fn fulfilled(mut self) {
        self.fulfilled = true;
    }
}

impl Drop for SharedFate {
    fn drop(&mut self) {
        if !self.fulfilled {
            end(self.part);
        }
    }
}

/// Runs a task that the node cannot do without: if it panics, or returns before the node is `stopping`, the process ends.
pub(crate) fn spawn(
    part: &'static str,
    stopping: CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) {
    tokio::spawn(async move {
        let panics = IfPanicking(part);
        work.await;
        if !stopping.is_cancelled() {
            end(part);
        }
        drop(panics);
    });
}

/// A task that is dropped because its runtime ends is no fault; one that unwinds is.
struct IfPanicking(&'static str);

impl Drop for IfPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end(self.0);
        }
    }
}

fn end(part: &str) {
    tracing::error!(part, "ended; the node ends with it, its clients resume elsewhere");
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Names the scene that a child process plays.
    const SCENE: &str = "CARILLON_TEST_OF_FATE";

    fn scene(name: &str) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let stopping = CancellationToken::new();
        let forever = || std::thread::park_timeout(std::time::Duration::from_secs(60));
        match name {
            "a thread returns" => {
                std::thread::spawn(|| drop(SharedFate::of("shard")));
                forever();
            }
            "a thread panics" => {
                std::thread::spawn(|| {
                    let _fate = SharedFate::of("shard");
                    panic!("a fault");
                });
                forever();
            }
            "a task returns" => {
                runtime.block_on(async { spawn("feed", stopping, async {}) });
                forever();
            }
            "a task panics" => {
                runtime.block_on(async { spawn("feed", stopping, async { panic!("a fault") }) });
                forever();
            }
            // These end well.
            "a thread has done its work" => {
                std::thread::spawn(|| SharedFate::of("shard").fulfilled()).join().unwrap();
            }
            "a task has done its work" => runtime.block_on(async {
                stopping.cancel();
                spawn("feed", stopping, async {});
                tokio::task::yield_now().await;
            }),
            "the runtime ends" => {
                runtime.block_on(async { spawn("feed", stopping, std::future::pending()) });
            }
            other => panic!("no scene {other}"),
        }
    }

    #[test]
    fn a_node_ends_with_a_part_it_cannot_do_without() {
        if let Ok(name) = std::env::var(SCENE) {
            return scene(&name);
        }
        let signal = |name: &str| {
            let test = "fate::tests::a_node_ends_with_a_part_it_cannot_do_without";
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test])
                .env(SCENE, name)
                .output()
                .unwrap();
            (child.status.success(), child.status.signal())
        };
        for fatal in ["a thread returns", "a thread panics", "a task returns", "a task panics"] {
            assert_eq!(signal(fatal), (false, Some(6)), "{fatal}");
        }
        for well in ["a thread has done its work", "a task has done its work", "the runtime ends"] {
            assert_eq!(signal(well), (true, None), "{well}");
        }
    }
}
