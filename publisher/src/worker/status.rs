//! How is each task doing?

use super::task::{Outcome, Report};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One task, as `GET /tasks` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStatus {
    /// Its name.
    pub name: &'static str,
    /// Since when the run under way runs, if one does.
    pub running_since: Option<Timestamp>,
    /// The last run that ended.
    pub last: Option<LastRun>,
    /// When a run last ended without a failure.
    pub last_success: Option<Timestamp>,
    /// Failed runs since then.
    pub consecutive_failures: u32,
    /// Runs that ended since the process began.
    pub runs: u64,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastRun {
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// What it came to.
    pub outcome: Outcome,
    /// What it told.
    pub detail: String,
}

impl TaskStatus {
    fn new(name: &'static str) -> Self {
        let (running_since, last, last_success) = (None, None, None);
        Self { name, running_since, last, last_success, consecutive_failures: 0, runs: 0 }
    }

    fn begin(&mut self, now: Timestamp) {
        self.running_since = Some(now);
    }

    fn end(&mut self, report: Report, took: Duration, now: Timestamp) {
        let Report { outcome, detail } = report;
        self.runs += 1;
        if outcome.is_failure() {
            self.consecutive_failures += 1;
        } else {
            self.consecutive_failures = 0;
            self.last_success = Some(now);
        }
        let started = self.running_since.take().unwrap_or(now);
        self.last = Some(LastRun { started, seconds: took.as_secs_f64(), outcome, detail });
    }
}

/// The statuses of all tasks of a process. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Statuses(Arc<Mutex<BTreeMap<&'static str, TaskStatus>>>);

impl Statuses {
    /// All of them, by name.
    pub fn all(&self) -> Vec<TaskStatus> {
        self.with(|tasks| tasks.values().cloned().collect())
    }

    /// One of them.
    pub fn of(&self, name: &str) -> Option<TaskStatus> {
        self.with(|tasks| tasks.get(name).cloned())
    }

    pub(super) fn add(&self, name: &'static str) {
        let before = self.with(|tasks| tasks.insert(name, TaskStatus::new(name)));
        assert!(before.is_none(), "two tasks are called {name}");
    }

    pub(super) fn begin(&self, name: &'static str, now: Timestamp) {
        self.with(|tasks| tasks.get_mut(name).map(|task| task.begin(now)));
    }

    /// Notes how a run went. Answers the failures in a row, before it and now.
    pub(super) fn end(
        &self,
        name: &'static str,
        report: Report,
        took: Duration,
        now: Timestamp,
    ) -> (u32, u32) {
        self.with(|tasks| {
            let Some(task) = tasks.get_mut(name) else { return (0, 0) };
            let before = task.consecutive_failures;
            task.end(report, took, now);
            (before, task.consecutive_failures)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<&'static str, TaskStatus>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `GET /tasks` for the ops port.
pub fn page(statuses: Statuses) -> Router {
    let show = move || -> Response {
        ([(header::CACHE_CONTROL, "no-store")], axum::Json(statuses.all())).into_response()
    };
    Router::new().route("/tasks", get(move || std::future::ready(show())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_until_a_run_succeeds() {
        let statuses = Statuses::default();
        statuses.add("sweep");
        let second = |n| Timestamp::from_second(n).unwrap();
        let end = |outcome, n| {
            statuses.begin("sweep", second(n));
            let report = Report::new(outcome, "told");
            statuses.end("sweep", report, Duration::from_millis(500), second(n + 1))
        };
        assert_eq!(end(Outcome::Failed, 10), (0, 1));
        assert_eq!(end(Outcome::TimedOut, 20), (1, 2));
        assert_eq!(statuses.of("sweep").unwrap().last_success, None);
        assert_eq!(end(Outcome::Postponed, 30), (2, 0));
        let status = statuses.of("sweep").unwrap();
        assert_eq!((status.runs, status.last_success), (3, Some(second(31))));
        let last = LastRun {
            started: second(30),
            seconds: 0.5,
            outcome: Outcome::Postponed,
            detail: "told".to_owned(),
        };
        assert_eq!(status.last, Some(last));
        assert_eq!(statuses.of("another"), None);
    }
}
