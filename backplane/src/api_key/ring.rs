//! Who is the bearer of this API key, and when is the database asked?
//!
//! However many requests and connections come, each key is asked for once in ten seconds: whoever needs one that is being
//! asked for waits for that answer. Who has to ask takes a turn first, which the service gives out: whoever asks has not
//! proven anything, and made-up keys cost nothing to invent.

use super::cache::KeyCache;
use super::text::Presented;
use crate::log::{ApiKey, LogError};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex as Flight;

/// Questions under way at a time; keys that fall together wait for each other.
const FLIGHTS: usize = 16;
/// How long a question that failed is not repeated.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

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

/// The keys that are in use.
pub struct KeyRing {
    cache: KeyCache,
    flights: [Flight<Option<(Instant, LogError)>>; FLIGHTS],
    places: RandomState,
}

impl Default for KeyRing {
    fn default() -> Self {
        Self {
            cache: KeyCache::default(),
            flights: std::array::from_fn(|_| Flight::new(None)),
            places: RandomState::new(),
        }
    }
}

impl KeyRing {
    /// The key that `text` proves to be. If that was not asked lately, it is asked with `ask`, in a turn of `turn`, which hears
    /// whether there was such a key when it was asked last.
    pub async fn prove<T, Turn, Asking>(
        &self,
        text: &str,
        turn: impl FnOnce(bool) -> Turn,
        ask: impl FnOnce(String) -> Asking,
    ) -> Result<ApiKey, KeyFault>
    where
        Turn: Future<Output = Result<T, LogError>>,
        Asking: Future<Output = Result<Option<ApiKey>, LogError>>,
    {
        let presented = Presented::parse(text).ok_or(KeyFault::Invalid)?;
        let stored = self.stored(presented.id, turn, ask).await?.ok_or(KeyFault::Invalid)?;
        // What was looked up may be older than the expiry.
        if is_alive(&stored, SystemTime::now()) && presented.proves(&stored) {
            Ok(stored)
        } else {
            Err(KeyFault::Invalid)
        }
    }

    async fn stored<T, Turn, Asking>(
        &self,
        id: &str,
        turn: impl FnOnce(bool) -> Turn,
        ask: impl FnOnce(String) -> Asking,
    ) -> Result<Option<ApiKey>, LogError>
    where
        Turn: Future<Output = Result<T, LogError>>,
        Asking: Future<Output = Result<Option<ApiKey>, LogError>>,
    {
        if let Some(answer) = self.cache.get(id, Instant::now()) {
            return Ok(answer);
        }
        let _turn = turn(self.cache.was_known(id)).await?;
        // Not before the turn: nobody waits in a flight for what is somebody else's.
        let flight = &self.flights[self.places.hash_one(id) as usize % FLIGHTS];
        let mut failure = flight.lock().await;
        let now = Instant::now();
        if let Some(answer) = self.cache.get(id, now) {
            return Ok(answer);
        }
        if let Some((at, error)) = &*failure
            && now.duration_since(*at) < AFTER_FAILURE
        {
            return Err(error.clone());
        }
        let answer = ask(id.to_owned()).await;
        *failure = answer.as_ref().err().map(|error| (Instant::now(), error.clone()));
        let answer = answer?;
        self.cache.put(id, answer.clone(), Instant::now());
        Ok(answer)
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

    fn stored(fresh: &Fresh) -> ApiKey {
        ApiKey {
            id: fresh.id.clone(),
            hash: fresh.hash,
            tenant: None,
            publish: false,
            read: true,
            admin: false,
            expires_at_secs: None,
        }
    }

    async fn free(_: bool) -> Result<(), LogError> {
        Ok(())
    }

    #[tokio::test]
    async fn many_at_once_ask_once_and_a_wrong_secret_asks_no_more() {
        let (ring, fresh, asked) = (KeyRing::default(), Fresh::make().unwrap(), AtomicUsize::new(0));
        let ask = |_: String| async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Some(stored(&fresh)))
        };
        let all = (0..100).map(|_| ring.prove(&fresh.text, free, ask));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        let forged = format!("{}x", fresh.text);
        assert!(matches!(ring.prove(&forged, free, ask).await, Err(KeyFault::Invalid)));
        assert!(matches!(ring.prove("no key", free, ask).await, Err(KeyFault::Invalid)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let ended = Fresh::make().unwrap();
        let past = |_: String| async { Ok(Some(ApiKey { expires_at_secs: Some(1), ..stored(&ended) })) };
        assert!(matches!(ring.prove(&ended.text, free, past).await, Err(KeyFault::Invalid)));
    }

    #[tokio::test]
    async fn who_has_to_ask_takes_a_turn_that_hears_whether_the_key_was_known() {
        let (ring, fresh) = (KeyRing::default(), Fresh::make().unwrap());
        let known = |_: String| async { Ok(Some(stored(&fresh))) };
        let nobody = |_: String| async { Ok(None) };
        let only_known =
            |known: bool| async move { known.then_some(()).ok_or(LogError::Busy("made up".to_owned())) };
        assert!(matches!(ring.prove("crln_1_secret", only_known, nobody).await, Err(KeyFault::Log(_))));
        assert!(matches!(ring.prove("crln_1_secret", free, nobody).await, Err(KeyFault::Invalid)));
        assert!(matches!(ring.prove("crln_1_secret", only_known, nobody).await, Err(KeyFault::Invalid)));
        ring.cache.put(&fresh.id, Some(stored(&fresh)), Instant::now() - Duration::from_secs(60));
        assert!(ring.prove(&fresh.text, only_known, known).await.is_ok(), "old, and no stranger");
    }

    #[tokio::test]
    async fn a_log_that_does_not_answer_is_not_asked_for_everyone() {
        let (ring, fresh, asked) = (KeyRing::default(), Fresh::make().unwrap(), AtomicUsize::new(0));
        let away = |_: String| async {
            asked.fetch_add(1, Ordering::Relaxed);
            Err(LogError::Busy("away".to_owned()))
        };
        for _ in 0..100 {
            assert!(matches!(ring.prove(&fresh.text, free, away).await, Err(KeyFault::Log(_))));
        }
        assert!(asked.load(Ordering::Relaxed) < 10, "{asked:?}");
    }
}
