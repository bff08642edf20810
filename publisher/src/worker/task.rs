//! What is a task, and how long does it rest after a run?

use serde::Serialize;
use std::pin::Pin;
use std::time::Duration;

/// Something done again and again.
pub struct Task {
    pub(super) name: &'static str,
    pub(super) schedule: Schedule,
    pub(super) run: Box<dyn Fn() -> Run + Send + Sync>,
}

/// Longest time until somebody looks whether the process that does a task is still there.
const TAKE_OVER: Duration = Duration::from_secs(30);

/// One run under way.
pub(super) type Run = Pin<Box<dyn Future<Output = Report> + Send>>;

impl Task {
    /// A task that does `run` by this schedule. The name is a metric label and stays the same for ever.
    pub fn new<F, R>(name: &'static str, schedule: Schedule, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Report> + Send + 'static,
    {
        Self { name, schedule, run: Box::new(move || Box::pin(run())) }
    }
}

/// When a task runs. All pauses are from the end of a run to the start of the next.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The pause when there is nothing more to do. Cut by up to a tenth, so that publishers do not run in step.
    pub period: Duration,
    /// The pause while there is more to do: what is left of the database's time goes to others.
    pub more: Duration,
    /// The pause after the first run that failed or was postponed; it doubles up to the period.
    pub retry: Duration,
    /// Longest time of one run; then it is cut off.
    pub deadline: Duration,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was due is done.
    Done,
    /// Something is done and more is due: the next run follows after a short pause.
    More,
    /// Another process is doing it.
    Elsewhere,
    /// Somebody uses what is needed; it is tried again, ever more rarely, and nobody has waited for it.
    Postponed,
    /// It did not work.
    Failed,
    /// The deadline passed.
    TimedOut,
    /// A defect of ours.
    Panicked,
}

impl Outcome {
    pub(super) const ALL: [Self; 7] = [
        Self::Done,
        Self::More,
        Self::Elsewhere,
        Self::Postponed,
        Self::Failed,
        Self::TimedOut,
        Self::Panicked,
    ];

    /// Its word in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::More => "more",
            Self::Elsewhere => "elsewhere",
            Self::Postponed => "postponed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
        }
    }

    /// Whether operators should look when it happens again and again.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Panicked)
    }
}

/// What a run tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it came to.
    pub outcome: Outcome,
    /// What an operator should know, in one line; never a secret.
    pub detail: String,
}

impl Report {
    /// A report.
    pub fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, detail: detail.into() }
    }
}

impl Schedule {
    /// The pause after a run; `unsuccessful` runs in a row have now failed or been postponed.
    pub(super) fn pause(&self, outcome: Outcome, unsuccessful: u32, random: u64) -> Duration {
        match outcome {
            Outcome::Done => shortened(self.period, 10, random),
            Outcome::Elsewhere => shortened(self.period.min(TAKE_OVER), 10, random),
            Outcome::More => self.more,
            _ => {
                let doubled = self.retry.saturating_mul(1 << unsuccessful.saturating_sub(1).min(16));
                shortened(doubled.min(self.period), 4, random)
            }
        }
    }
}

/// `whole`, less a random part of its `nth`.
fn shortened(whole: Duration, nth: u32, random: u64) -> Duration {
    whole - (whole / nth).mul_f64((random % 1_024) as f64 / 1_023.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SCHEDULE: Schedule =
        Schedule { period: Duration::from_secs(600), more: SECOND, retry: SECOND, deadline: SECOND };

    #[test]
    fn pauses_after_failures_double_up_to_the_period() {
        let pauses = (1..=12).map(|n| SCHEDULE.pause(Outcome::Failed, n, 0).as_secs()).collect::<Vec<_>>();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_period_nor_shorter_than_the_shortest(
            at in 0..Outcome::ALL.len(), unsuccessful in any::<u32>(), random in any::<u64>()
        ) {
            let pause = SCHEDULE.pause(Outcome::ALL[at], unsuccessful, random);
            prop_assert!(pause <= SCHEDULE.period && pause >= SECOND * 3 / 4, "{pause:?}");
        }
    }

    #[test]
    fn labels_are_what_the_page_shows() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.label());
        }
    }
}
