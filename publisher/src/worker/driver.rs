//! How is each task run, alone and within its deadline?
//!
//! One tokio task for each of ours: it runs, rests, and runs again. The run itself is spawned, so a panic in it is a
//! failed run.

use super::metrics::TaskMetrics;
use super::status::Statuses;
use super::task::{Outcome, Report, Schedule, Task};
use jiff::Timestamp;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shortest pause between two runs of a task, however often it is activated.
const SHORTEST: Duration = Duration::from_millis(50);

/// Runs every task of the process.
#[derive(Debug, Default)]
pub struct Driver {
    statuses: Statuses,
    stopping: CancellationToken,
    loops: TaskTracker,
}

/// Wakes a task. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Activation(Arc<Notify>);

impl Activation {
    /// The task runs at once, or once more after the run under way. Many calls before it begins lead to one run.
    pub fn activate(&self) {
        self.0.notify_one();
    }
}

impl Driver {
    /// Begins a task: its first run starts now. Panics when there is a task of that name.
    pub fn start(&self, task: Task) -> Activation {
        let activation = Activation::default();
        self.start_with(task, activation.clone());
        activation
    }

    /// As [`start`](Self::start), for an activation that somebody has already.
    pub fn start_with(&self, task: Task, activation: Activation) {
        self.statuses.add(task.name);
        let (statuses, stopping) = (self.statuses.clone(), self.stopping.clone());
        let metrics = TaskMetrics::of(task.name);
        self.loops.spawn(async move {
            let running = Loop { task, activation, statuses, metrics };
            stopping.run_until_cancelled(running.for_ever()).await;
        });
    }

    /// How the tasks are doing.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Stops all tasks; runs under way are cut off. Returns when none runs any more.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.loops.close();
        self.loops.wait().await;
    }
}

struct Loop {
    task: Task,
    activation: Activation,
    statuses: Statuses,
    metrics: TaskMetrics,
}

impl Loop {
    async fn for_ever(&self) {
        let mut unsuccessful = 0;
        loop {
            let outcome = self.once().await;
            unsuccessful = match outcome.is_failure() || outcome == Outcome::Postponed {
                true => unsuccessful + 1,
                false => 0,
            };
            self.rest(self.task.schedule.pause(outcome, unsuccessful, random())).await;
        }
    }

    async fn once(&self) -> Outcome {
        let Task { name, schedule, .. } = self.task;
        let began = Instant::now();
        self.statuses.begin(name, Timestamp::now());
        let report = self.within_deadline(&schedule).await;
        let (outcome, took, now) = (report.outcome, began.elapsed(), Timestamp::now());
        let (before, failures) = self.statuses.end(name, report.clone(), took, now);
        self.metrics.ended(&report, took, failures, now);
        let detail = report.detail;
        match (before, failures) {
            (_, 1..) => {
                tracing::warn!(task = name, outcome = outcome.label(), failures, detail, "a task failed")
            }
            (1.., 0) => tracing::info!(task = name, outcome = outcome.label(), detail, "a task works again"),
            _ => tracing::debug!(task = name, outcome = outcome.label(), detail, "a task ran"),
        }
        outcome
    }

    async fn within_deadline(&self, schedule: &Schedule) -> Report {
        let mut run = JoinSet::new();
        run.spawn((self.task.run)());
        match tokio::time::timeout(schedule.deadline, run.join_next()).await {
            Ok(Some(Ok(report))) => report,
            Ok(_) => Report::new(Outcome::Panicked, "it panicked; the log has the place"),
            Err(_) => {
                // Waits until it is gone, so that two runs never overlap.
                run.shutdown().await;
                Report::new(Outcome::TimedOut, format!("cut off after {} s", schedule.deadline.as_secs_f64()))
            }
        }
    }

    async fn rest(&self, pause: Duration) {
        let shortest = SHORTEST.min(pause);
        tokio::time::sleep(shortest).await;
        tokio::select! {
            () = tokio::time::sleep(pause - shortest) => {}
            () = self.activation.0.notified() => {}
        }
    }
}

/// A number nobody can foresee; the standard library's hasher keys are random per value.
fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::mpsc;

    const HOUR: Duration = Duration::from_secs(3_600);
    const SCHEDULE: Schedule = Schedule {
        period: HOUR,
        more: Duration::from_secs(1),
        retry: Duration::from_secs(10),
        deadline: Duration::from_secs(60),
    };

    /// A task that tells the instant of each start and then does as `script` says of that run.
    fn scripted(
        script: impl Fn(u32) -> Outcome + Send + Sync + Copy + 'static,
    ) -> (Task, mpsc::UnboundedReceiver<Instant>) {
        let (told, starts) = mpsc::unbounded_channel();
        let runs = Arc::new(AtomicU32::new(0));
        let task = Task::new("scripted", SCHEDULE, move || {
            let (told, n) = (told.clone(), runs.fetch_add(1, Ordering::Relaxed));
            async move {
                told.send(Instant::now()).unwrap();
                match script(n) {
                    Outcome::TimedOut => std::future::pending().await,
                    Outcome::Panicked => panic!("as the script says"),
                    outcome => Report::new(outcome, format!("run {n}")),
                }
            }
        });
        (task, starts)
    }

    async fn between(starts: &mut mpsc::UnboundedReceiver<Instant>) -> Duration {
        let first = starts.recv().await.unwrap();
        starts.recv().await.unwrap() - first
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_runs_at_the_start_and_after_each_period() {
        let driver = Driver::default();
        let (task, mut starts) = scripted(|_| Outcome::Done);
        let began = Instant::now();
        driver.start(task);
        let first = starts.recv().await.unwrap();
        assert_eq!(first, began);
        let pause = starts.recv().await.unwrap() - first;
        assert!(pause <= HOUR && pause >= HOUR * 9 / 10, "{pause:?}");
        driver.stop().await;
        assert!(starts.recv().await.is_none(), "nothing runs after the stop");
    }

    #[tokio::test(start_paused = true)]
    async fn an_activation_is_a_run_at_once_and_many_are_one() {
        let driver = Driver::default();
        let (task, mut starts) = scripted(|_| Outcome::Done);
        let activation = driver.start(task);
        let first = starts.recv().await.unwrap();
        (0..100).for_each(|_| activation.activate());
        let second = starts.recv().await.unwrap();
        assert!(second - first <= Duration::from_secs(1));
        let third = starts.recv().await.unwrap();
        assert!(third - second > HOUR / 2, "one run more, not a hundred");
    }

    #[tokio::test(start_paused = true)]
    async fn while_more_is_due_the_next_run_follows_soon() {
        let driver = Driver::default();
        let (task, mut starts) = scripted(|_| Outcome::More);
        driver.start(task);
        assert_eq!(between(&mut starts).await, SCHEDULE.more);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_missed_deadline_are_failed_runs_and_the_task_goes_on() {
        let driver = Driver::default();
        let (task, mut starts) = scripted(|n| match n {
            0 => Outcome::Panicked,
            1 => Outcome::TimedOut,
            _ => Outcome::Done,
        });
        let statuses = driver.statuses();
        driver.start(task);
        let pause = between(&mut starts).await;
        assert!(pause <= SCHEDULE.retry && pause >= SCHEDULE.retry * 3 / 4, "{pause:?}");
        assert_eq!(statuses.of("scripted").unwrap().last.unwrap().outcome, Outcome::Panicked);
        let began = Instant::now();
        starts.recv().await.unwrap();
        let (pause, longest) = (began.elapsed() - SCHEDULE.deadline, SCHEDULE.retry * 2);
        assert!(pause <= longest && pause >= longest * 3 / 4, "{pause:?}: two failures in a row");
        tokio::time::sleep(SHORTEST).await;
        let status = statuses.of("scripted").unwrap();
        assert_eq!((status.consecutive_failures, status.runs), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn two_runs_of_one_task_never_overlap() {
        let driver = Driver::default();
        let (running, overlaps) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let task = {
            let (running, overlaps) = (running.clone(), overlaps.clone());
            Task::new("slow", Schedule { period: SHORTEST, ..SCHEDULE }, move || {
                let (running, overlaps) = (running.clone(), overlaps.clone());
                async move {
                    overlaps.fetch_add(running.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    Report::new(Outcome::Done, "")
                }
            })
        };
        let activation = driver.start(task);
        for _ in 0..1_000 {
            activation.activate();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(overlaps.load(Ordering::SeqCst), 0);
        assert!(driver.statuses().of("slow").unwrap().runs >= 15);
    }

    #[tokio::test(start_paused = true)]
    async fn the_stop_cuts_a_run_off_and_does_not_wait_for_it() {
        let driver = Driver::default();
        let (task, mut starts) = scripted(|_| Outcome::TimedOut);
        driver.start(task);
        starts.recv().await.unwrap();
        let asked = Instant::now();
        driver.stop().await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
}
