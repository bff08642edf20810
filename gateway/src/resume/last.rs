//! Is the event that a client says it got last the one that the log has there?
//!
//! Most who come back ask about the same event, the newest, and after a restart no ring has it. So the log is asked once
//! for all who come within [`KEPT`]; else a tenant's clients would come in one read of the log after another.

use super::{CursorChecks, Sight, unreadable};
use crate::authorize::Refusal;
use crate::stream::Stream;
use carillon_backplane::log::LoggedEvent;
use carillon_protocol::{Channel, LastEvent, Seq, TenantId};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of the log is believed.
const KEPT: Duration = Duration::from_secs(2);
/// Most answers kept. What does not fit is asked for again.
const ANSWERS: usize = 256;

/// What the log has under a number.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// An event of this id, in these channels.
    Event(Option<Box<str>>, Vec<Channel>),
    /// Retention has dropped it: it cannot be compared.
    Dropped,
    /// Nothing, and it never dropped that.
    Nothing,
}

impl Found {
    fn of(event: LoggedEvent) -> Self {
        Self::Event(id_of(event.body.as_bytes()).map(Into::into), event.channels)
    }

    /// Where the log has no event: it begins with `oldest` and ends with `head`. One whose every event is past retention
    /// has no oldest.
    fn without(seq: Seq, oldest: Option<Seq>, head: Seq) -> Self {
        let dropped = oldest.map_or(seq <= head, |oldest| seq < oldest);
        if dropped { Self::Dropped } else { Self::Nothing }
    }

    /// Whether a client may say that it got this event. One that it may not see is none to it, whatever its id: else ids
    /// could be guessed.
    fn is(&self, last: &LastEvent, sight: Sight<'_>) -> bool {
        match self {
            Self::Event(id, channels) => {
                id.as_deref() == Some(last.id.as_str()) && sight.has_one_of(channels)
            }
            Self::Dropped => true,
            Self::Nothing => false,
        }
    }
}

/// Whether the log, as it stands in generation `life` with its end at `head`, has this event under its number.
pub(super) async fn is_in_log(
    checks: &CursorChecks,
    stream: &Stream,
    (life, head): (u32, Seq),
    last: &LastEvent,
    sight: Sight<'_>,
) -> Result<bool, Refusal> {
    if let Some(entry) = stream.get(last.seq) {
        let is_same = id_of(entry.body()).is_some_and(|id| id == last.id.as_str());
        return Ok(is_same && sight.has_one_of(&entry.channels));
    }
    let question = (stream.tenant.clone(), life, last.seq);
    if let Some(found) = checks.answers.get(&question, Instant::now()) {
        return Ok(found.is(last, sight));
    }
    let permit = checks.permit(sight.identity).await?;
    // Whoever had the turn before may have asked the same.
    let found = match checks.answers.get(&question, Instant::now()) {
        Some(found) => found,
        None => {
            let found = Arc::new(ask(checks, &stream.tenant, last.seq, head).await?);
            // What is not there may be a moment later.
            if *found != Found::Nothing {
                checks.answers.put(question, found.clone(), Instant::now());
            }
            found
        }
    };
    let is_there = found.is(last, sight);
    // Of what retention has dropped anybody can say that they got it.
    if is_there && *found != Found::Dropped {
        permit.was_light();
    }
    Ok(is_there)
}

async fn ask(checks: &CursorChecks, tenant: &TenantId, seq: Seq, head: Seq) -> Result<Found, Refusal> {
    if let Some(event) = checks.log.event_at(tenant, seq).await.map_err(unreadable)? {
        return Ok(Found::of(event));
    }
    let oldest = checks.log.oldest(tenant).await.map_err(unreadable)?;
    Ok(Found::without(seq, oldest, head))
}

/// The id in an event's JSON.
fn id_of(body: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    serde_json::from_slice(body).ok().map(|Event { id }| id)
}

/// The tenant, the generation of its stream, and the event's number.
type Question = (TenantId, u32, Seq);

/// Answers, and when they came.
type Kept = HashMap<Question, (Instant, Arc<Found>)>;

/// What the log answered a moment ago. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Kept>>);

impl Answers {
    fn get(&self, question: &Question, now: Instant) -> Option<Arc<Found>> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = answers.get(question).filter(|(at, _)| now.saturating_duration_since(*at) < KEPT);
        fresh.map(|(_, found)| found.clone())
    }

    fn put(&self, question: Question, found: Arc<Found>, now: Instant) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.retain(|_, (at, _)| now.saturating_duration_since(*at) < KEPT);
        }
        if answers.len() < ANSWERS {
            answers.insert(question, (now, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_its_id() {
        assert_eq!(id_of(br#"{"specversion":"1.0","id":"a\"b","data":{"id":"c"}}"#).as_deref(), Some("a\"b"));
        assert_eq!(id_of(br#"{"data":1}"#), None);
    }

    #[test]
    fn an_event_that_retention_has_dropped_is_told_from_one_that_never_was() {
        let without = |seq, oldest: Option<u64>| Found::without(Seq(seq), oldest.map(Seq), Seq(10));
        assert_eq!((without(4, Some(5)), without(5, Some(5))), (Found::Dropped, Found::Nothing));
        assert_eq!(
            (without(10, None), without(11, None)),
            (Found::Dropped, Found::Nothing),
            "all are past it"
        );
    }

    #[test]
    fn i10_answers_are_kept_for_a_moment_and_not_too_many() {
        let (answers, began) = (Answers::default(), Instant::now());
        let question = |n| (TenantId::new("acme").unwrap(), 1, Seq(n));
        for n in 0..ANSWERS as u64 + 10 {
            answers.put(question(n), Arc::new(Found::Dropped), began);
        }
        assert_eq!(answers.get(&question(0), began).as_deref(), Some(&Found::Dropped));
        assert_eq!(answers.get(&question(ANSWERS as u64), began), None, "no room for it");
        let later = began + KEPT;
        assert_eq!(answers.get(&question(0), later), None);
        answers.put(question(1_000), Arc::new(Found::Dropped), later);
        assert_eq!(answers.0.lock().unwrap().len(), 1, "old ones make room");
        assert_eq!(answers.get(&question(1_000), later).as_deref(), Some(&Found::Dropped));
    }
}
