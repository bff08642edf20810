//! Who is the bearer of this API key, and when is the database asked?
//!
//! However many requests and connections come, each key is asked for once in ten seconds: whoever needs one that is being
//! asked for waits for that answer. Who has to ask takes a turn first, which the service gives out: whoever asks has not
//! proven anything, and made-up keys cost nothing to invent. All who come with one key from one address need one turn
//! together, and nobody waits for another address's turn: a made-up secret behind a key's id holds up nobody who has the key.

use super::cache::KeyCache;
use super::flights::{Failure, Flights, Name};
use super::metrics::KeyMetrics;
use super::text::Presented;
use crate::log::{ApiKey, LogError};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Why it is not known who it is.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It is nobody's key.
    #[error("the API key does not exist, was revoked or has expired")]
    Invalid,
    /// There is no turn to ask, or the log did not answer.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The keys that are in use. `A` says where a key is brought from.
pub struct KeyRing<A: Name> {
    cache: KeyCache,
    /// Who waits for a turn, by the key's id and where from.
    turns: Flights<(Box<str>, A)>,
    /// Which ids are being asked for.
    questions: Flights<Box<str>>,
    /// A database that is away is not asked for each key.
    away: Mutex<Failure>,
    metrics: KeyMetrics,
}

impl<A: Name> Default for KeyRing<A> {
    fn default() -> Self {
        Self {
            cache: KeyCache::default(),
            turns: Flights::default(),
            questions: Flights::default(),
            away: Mutex::default(),
            metrics: KeyMetrics::default(),
        }
    }
}

impl<A: Name> KeyRing<A> {
    /// The key that `text`, brought `from` somewhere, proves to be. If that was not asked lately, it is asked with `ask`, in
    /// a turn of `turn`, which hears whether there was such a key when it was asked last.
    pub async fn prove<T, Turn, Asking>(
        &self,
        text: &str,
        from: A,
        turn: impl FnOnce(bool) -> Turn,
        ask: impl FnOnce(String) -> Asking,
    ) -> Result<ApiKey, KeyFault>
    where
        Turn: Future<Output = Result<T, LogError>>,
        Asking: Future<Output = Result<Option<ApiKey>, LogError>>,
    {
        let presented = Presented::parse(text).ok_or(KeyFault::Invalid)?;
        let stored = self.stored(presented.id, from, turn, ask).await?.ok_or(KeyFault::Invalid)?;
        // What was looked up may be older than the expiry.
        if is_alive(&stored, SystemTime::now()) && presented.proves(&stored) {
            Ok(stored)
        } else {
            Err(KeyFault::Invalid)
        }
    }

    /// Counts somebody who got no turn to have something else looked up.
    pub fn note_refused(&self) {
        self.metrics.refused.increment(1);
    }

    async fn stored<T, Turn, Asking>(
        &self,
        id: &str,
        from: A,
        turn: impl FnOnce(bool) -> Turn,
        ask: impl FnOnce(String) -> Asking,
    ) -> Result<Option<ApiKey>, LogError>
    where
        Turn: Future<Output = Result<T, LogError>>,
        Asking: Future<Output = Result<Option<ApiKey>, LogError>>,
    {
        if let Some(answer) = self.known(id, &Failure::default()) {
            return answer;
        }
        let question = self.questions.join(id.into());
        // It is being asked for: that needs no turn.
        if question.is_under_way()
            && let Some(answer) = self.known(id, &*question.turn().await)
        {
            return answer;
        }
        let turns = self.turns.join((id.into(), from));
        let mut waits = turns.turn().await;
        if let Some(refused) = waits.recent(Instant::now()) {
            self.metrics.refused.increment(1);
            return Err(refused.clone());
        }
        if let Some(answer) = self.known(id, &Failure::default()) {
            return answer;
        }
        let _turn = match turn(self.cache.was_known(id)).await {
            Ok(turn) => turn,
            Err(refused) => {
                // Somebody else's turn may have come meanwhile.
                if let Some(answer) = self.known(id, &Failure::default()) {
                    return answer;
                }
                if refused.is_overload() {
                    self.metrics.refused.increment(1);
                }
                waits.note(&refused);
                return Err(refused);
            }
        };
        let mut failure = question.turn().await;
        if let Some(answer) = self.known(id, &failure) {
            return answer;
        }
        self.metrics.asked.increment(1);
        let answer = ask(id.to_owned()).await.inspect_err(|error| {
            failure.note(error);
            if error.is_down() {
                self.away.lock().unwrap_or_else(PoisonError::into_inner).note(error);
            }
        })?;
        self.cache.put(id, answer.clone(), Instant::now());
        Ok(answer)
    }

    /// What needs no question: an answer of late, or that there is none now.
    fn known(&self, id: &str, failure: &Failure) -> Option<Result<Option<ApiKey>, LogError>> {
        let now = Instant::now();
        if let Some(answer) = self.cache.get(id, now) {
            self.metrics.cached.increment(1);
            return Some(Ok(answer));
        }
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        failure.recent(now).or_else(|| away.recent(now)).map(|error| Err(error.clone()))
    }
}

/// Whether a key has not ended yet.
fn is_alive(key: &ApiKey, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    key.expires_at_secs.is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::super::text::Fresh;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn stored(fresh: &Fresh) -> ApiKey {
        ApiKey {
            id: fresh.id.clone(),
            hash: fresh.hash,
            tenant: None,
            publish: false,
            read: true,
            admin: false,
            relay: false,
            expires_at_secs: None,
        }
    }

    async fn free(_: bool) -> Result<(), LogError> {
        Ok(())
    }

    async fn none(_: bool) -> Result<(), LogError> {
        Err(LogError::Busy("no turn".to_owned()))
    }

    #[tokio::test]
    async fn many_at_once_ask_once_and_a_wrong_secret_asks_no_more() {
        let (ring, fresh, asked) = (KeyRing::default(), Fresh::make().unwrap(), AtomicUsize::new(0));
        let turns = AtomicUsize::new(0);
        let ask = |_: String| async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Some(stored(&fresh)))
        };
        let turn = |_: bool| async {
            turns.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(())
        };
        // A thousand connections from one address, and as many each from another.
        let all = (0..2_000_u32).map(|n| ring.prove(&fresh.text, n.saturating_sub(1_000), turn, ask));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        let forged = format!("{}x", fresh.text);
        assert!(matches!(ring.prove(&forged, 1, free, ask).await, Err(KeyFault::Invalid)));
        assert!(matches!(ring.prove("no key", 1, free, ask).await, Err(KeyFault::Invalid)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(turns.load(Ordering::Relaxed) <= 1_001, "the thousand of one address took one: {turns:?}");
        assert_eq!((ring.turns.len(), ring.questions.len()), (0, 0));
        let ended = Fresh::make().unwrap();
        let past = |_: String| async { Ok(Some(ApiKey { expires_at_secs: Some(1), ..stored(&ended) })) };
        assert!(matches!(ring.prove(&ended.text, 1, free, past).await, Err(KeyFault::Invalid)));
    }

    #[tokio::test]
    async fn an_address_that_waits_for_its_turn_with_somebodys_key_holds_up_nobody_who_has_it() {
        let (ring, fresh) = (KeyRing::default(), Fresh::make().unwrap());
        let forged = format!("{}x", fresh.text);
        let never = |_: bool| std::future::pending::<Result<(), LogError>>();
        let ask = |_: String| async { Ok(Some(stored(&fresh))) };
        let mut hostile = Box::pin(ring.prove(&forged, 1, never, ask));
        assert!(futures_util::poll!(&mut hostile).is_pending());
        assert!(ring.prove(&fresh.text, 2, free, ask).await.is_ok());
    }

    #[tokio::test]
    async fn who_gets_no_turn_is_told_with_all_behind_and_the_next_tries_for_itself() {
        let (ring, fresh) = (KeyRing::default(), Fresh::make().unwrap());
        let ask = |_: String| async { Ok(Some(stored(&fresh))) };
        let late = |_: bool| async {
            tokio::task::yield_now().await;
            none(false).await
        };
        let all = (0..100).map(|_| ring.prove(&fresh.text, 1, late, ask));
        let refused = futures_util::future::join_all(all).await;
        assert!(refused.iter().all(|answer| matches!(answer, Err(KeyFault::Log(LogError::Busy(_))))));
        assert!(ring.prove(&fresh.text, 1, free, ask).await.is_ok());
    }

    #[tokio::test]
    async fn who_has_to_ask_takes_a_turn_that_hears_whether_the_key_was_known() {
        let (ring, fresh) = (KeyRing::default(), Fresh::make().unwrap());
        let known = |_: String| async { Ok(Some(stored(&fresh))) };
        let nobody = |_: String| async { Ok(None) };
        let only_known =
            |known: bool| async move { known.then_some(()).ok_or(LogError::Busy("made up".to_owned())) };
        assert!(matches!(ring.prove("crln_1_secret", 1, only_known, nobody).await, Err(KeyFault::Log(_))));
        assert!(matches!(ring.prove("crln_1_secret", 1, free, nobody).await, Err(KeyFault::Invalid)));
        assert!(matches!(ring.prove("crln_1_secret", 1, only_known, nobody).await, Err(KeyFault::Invalid)));
        ring.cache.put(&fresh.id, Some(stored(&fresh)), Instant::now() - Duration::from_secs(60));
        assert!(ring.prove(&fresh.text, 1, only_known, known).await.is_ok(), "old, and no stranger");
    }

    #[tokio::test]
    async fn a_log_that_does_not_answer_is_not_asked_for_everyone() {
        let (ring, fresh, asked) = (KeyRing::default(), Fresh::make().unwrap(), AtomicUsize::new(0));
        for (at_once, error) in [
            (100, LogError::Busy("others are in the way".to_owned())),
            (1, LogError::Down("away".to_owned())),
        ] {
            let failing = |_: String| async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Err(error.clone())
            };
            for _ in 0..100 / at_once {
                let all = (0..at_once).map(|n| ring.prove(&fresh.text, n, free, failing));
                let answers = futures_util::future::join_all(all).await;
                assert!(answers.iter().all(|answer| matches!(answer, Err(KeyFault::Log(_)))));
            }
        }
        assert!(asked.load(Ordering::Relaxed) < 10, "{asked:?}");
    }
}
