//! Who asks, how many at a time, and what is counted?
//!
//! A question that is under way is not asked again: whoever has the same waits for it. At most [`AT_A_TIME`] are under way in a
//! process, half of them of one tenant, so that one whose application is slow leaves the others theirs; those who wait do so in
//! turn.

use super::endpoint::Endpoint;
use super::known::{Key, Known, Look};
use super::question::Question;
use super::verdict::{Said, Verdict, read};
use crate::outbound::{Bounds, Outbound, signature};
use crate::share::{FairPermits, Holder, PermitLimits};
use crate::telemetry::{Metric, MetricKind, Seldom, describe};
use carillon_protocol::{TenantId, UserId};
use futures_util::{FutureExt, StreamExt};
use http::HeaderMap;
use metrics::{counter, gauge, histogram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::warn;

/// What an answer may take.
const BOUNDS: Bounds = Bounds { within: Duration::from_secs(2), answer_bytes: 16 * 1024 };
/// Questions under way in a process, and those that wait.
const AT_A_TIME: PermitLimits = PermitLimits {
    total: 64,
    per_group: 32,
    per_member: 8,
    waiting: 8_192,
    waiting_per_group: 4_096,
    waiting_per_member: 256,
};
/// Longest wait for a turn.
const TURN: Duration = Duration::from_secs(3);
/// Longest time for all that somebody wants together.
const TOGETHER: Duration = Duration::from_secs(10);
/// Tenants whose application's faults are told in the log apart.
const TOLD: usize = 64;

const QUESTIONS: Metric = Metric {
    name: "carillon_ask_questions_total",
    kind: MetricKind::Counter,
    labels: "result: cached, shared (it was being asked), allowed, refused, unavailable",
    what: "times a tenant's application decided what somebody may do, by where its verdict came from and what it was",
};
const UNAVAILABLE: Metric = Metric {
    name: "carillon_ask_unavailable_total",
    kind: MetricKind::Counter,
    labels: "reason: address (it may not be called), connection (or TLS), timeout, too_large, status, answer (it is none), busy (no turn)",
    what: "questions to tenants' applications without a verdict",
};
const SECONDS: Metric = Metric {
    name: "carillon_ask_duration_seconds",
    kind: MetricKind::Histogram,
    labels: "",
    what: "one question to a tenant's application, until its answer or until it was given up; the wait for a turn is not in it",
};
const KNOWN: Metric = Metric {
    name: "carillon_ask_known",
    kind: MetricKind::Gauge,
    labels: "",
    what: "verdicts that are kept, and questions under way",
};

/// What is counted of questions.
pub const METRICS: &[Metric] = &[QUESTIONS, UNAVAILABLE, SECONDS, KNOWN];

const RESULTS: [&str; 5] = ["cached", "shared", "allowed", "refused", "unavailable"];
const REASONS: [&str; 7] = ["address", "connection", "timeout", "too_large", "status", "answer", "busy"];

/// Asks tenants' applications. Clones share everything.
#[derive(Clone)]
pub struct Asker(Arc<Inner>);

struct Inner {
    outbound: Outbound,
    turns: FairPermits<TenantId, UserId>,
    known: Mutex<Known>,
    /// Which tenants' faults were told.
    told: Seldom<usize>,
}

impl Asker {
    /// Who asks through this client.
    pub fn new(outbound: Outbound) -> Self {
        describe(METRICS);
        for result in RESULTS {
            counter!(QUESTIONS.name, "result" => result).increment(0);
        }
        for reason in REASONS {
            counter!(UNAVAILABLE.name, "reason" => reason).increment(0);
        }
        gauge!(KNOWN.name).set(0.0);
        let turns = FairPermits::new(AT_A_TIME);
        Self(Arc::new(Inner { outbound, turns, known: Mutex::default(), told: Seldom::new() }))
    }

    /// Through which client.
    pub fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    /// The verdict on a question; one that is known, or being asked for, does.
    pub async fn ask(&self, endpoint: &Arc<Endpoint>, question: Question) -> Verdict {
        self.ask_again(endpoint, question, 0).await
    }

    /// The verdict on a question whose verdict of this number is known to the caller, and getting old.
    pub async fn ask_again(&self, endpoint: &Arc<Endpoint>, question: Question, newer_than: u64) -> Verdict {
        let key = (endpoint.generation(), question);
        let flight = {
            let now = Instant::now();
            let mut known = self.0.known();
            match known.look(&key, newer_than, now) {
                Look::Known(verdict) => {
                    count("cached");
                    return verdict;
                }
                Look::UnderWay(flight) => {
                    count("shared");
                    flight
                }
                Look::Nothing => {
                    let number = known.next_number();
                    // It goes on when nobody waits for it any more, and ends when finding its answer panics.
                    let asking = tokio::spawn(self.clone().carry_out(endpoint.clone(), key.clone(), number));
                    let flight =
                        asking.map(|verdict| verdict.unwrap_or(Verdict::Unavailable)).boxed().shared();
                    known.begin(key, number, flight.clone(), now);
                    gauge!(KNOWN.name).set(known.len() as f64);
                    flight
                }
            }
        };
        flight.await
    }

    /// The verdicts on what somebody wants together, each question with the number of the verdict that is known of it. One
    /// without a verdict is enough to ask no further: the rest has none either.
    pub async fn ask_all(
        &self,
        endpoint: &Arc<Endpoint>,
        questions: Vec<(Question, u64)>,
    ) -> Vec<(Question, Verdict)> {
        let deadline = tokio::time::Instant::now() + TOGETHER;
        let ended = AtomicBool::new(false);
        let ended = &ended;
        let asking = questions.into_iter().map(|(question, newer_than)| async move {
            if ended.load(Ordering::Relaxed) {
                return (question, Verdict::Unavailable);
            }
            let asked = self.ask_again(endpoint, question.clone(), newer_than);
            let verdict = tokio::time::timeout_at(deadline, asked).await.unwrap_or(Verdict::Unavailable);
            if matches!(verdict, Verdict::Unavailable | Verdict::Busy) {
                ended.store(true, Ordering::Relaxed);
            }
            (question, verdict)
        });
        futures_util::stream::iter(asking).buffered(AT_A_TIME.per_member).collect().await
    }

    async fn carry_out(self, endpoint: Arc<Endpoint>, key: Key, number: u64) -> Verdict {
        let (asker, question) = (self.clone(), key.1.clone());
        let said = tokio::spawn(async move { asker.0.call(&endpoint, &question).await }).await;
        let said = said.unwrap_or(Err(Verdict::Unavailable));
        count(match said {
            Ok(Said { allowed: true, .. }) => "allowed",
            Ok(_) => "refused",
            Err(_) => "unavailable",
        });
        let mut known = self.0.known();
        let verdict = known.end(&key, number, said.ok(), Instant::now());
        gauge!(KNOWN.name).set(known.len() as f64);
        said.err().unwrap_or(verdict)
    }
}

impl Inner {
    /// What the application says; or that it said nothing that counts, or was not asked.
    async fn call(&self, endpoint: &Endpoint, question: &Question) -> Result<Said, Verdict> {
        let holder = Holder { group: question.tenant.clone(), member: question.user.clone() };
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.turns.acquire(holder)).await else {
            self.unavailable(question, "busy", "too many questions are before this one");
            return Err(Verdict::Busy);
        };
        let target = match self.outbound.target(endpoint.url()) {
            Ok(target) => target,
            Err(fault) => return Err(self.unavailable(question, "address", &fault.to_string())),
        };
        let body = question.body();
        let id = format!("ask_{}", uuid::Uuid::new_v4().simple());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let headers: HeaderMap =
            signature::headers(&endpoint.secrets(now), &id, now, &body).into_iter().collect();
        let began = Instant::now();
        let answer = self.outbound.post(&question.tenant, &target, headers, body, BOUNDS).await;
        histogram!(SECONDS.name).record(began.elapsed().as_secs_f64());
        match answer {
            Ok(answer) => match read(&answer) {
                Ok(said) => Ok(said),
                Err(why) if answer.status != 200 => {
                    let why = format!("{why} but {}", answer.status.as_u16());
                    Err(self.unavailable(question, "status", &why))
                }
                Err(why) => Err(self.unavailable(question, "answer", why)),
            },
            Err(fault) => Err(self.unavailable(question, fault.label(), &fault.to_string())),
        }
    }

    fn unavailable(&self, question: &Question, reason: &'static str, why: &str) -> Verdict {
        counter!(UNAVAILABLE.name, "reason" => reason).increment(1);
        // Few lines, and for each tenant some: its administrators look for theirs.
        let apart =
            question.tenant.as_str().bytes().fold(0, |sum: usize, byte| sum * 31 % TOLD + usize::from(byte));
        if let Some(times) = self.told.due(apart % TOLD) {
            warn!(tenant = %question.tenant, reason, why, times, "the tenant's application gave no verdict");
        }
        Verdict::Unavailable
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(result: &'static str) {
    counter!(QUESTIONS.name, "result" => result).increment(1);
}

#[cfg(test)]
#[path = "asker_tests.rs"]
mod tests;
