//! How does one wait for something to become true?

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// The condition did not come true in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what} did not happen within {waited:?}")]
pub struct Timeout {
    what: String,
    waited: Duration,
}

/// Looks again and again until `check` gives a value, at most for `limit`.
pub async fn until<T, F, Fut>(what: impl fmt::Display, limit: Duration, mut check: F) -> Result<T, Timeout>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(value) = check().await {
            return Ok(value);
        }
        if begun.elapsed() >= limit {
            return Err(Timeout { what: what.to_string(), waited: limit });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until `condition` holds, at most for `limit`.
pub async fn until_true(
    what: impl fmt::Display,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<(), Timeout> {
    until(what, limit, || std::future::ready(condition().then_some(()))).await
}
