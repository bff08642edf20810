//! Could an event be stored now?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::work::Work;

/// Writes a row that needs new room on the disk, after looking for a partition of the present day.
const PROVE: &str = "SELECT carillon.prove_writable()";

impl Log {
    /// Proves that the log takes events, by writing. What keeps it from doing so is told as an append would be told.
    pub async fn prove_writable(&self) -> Result<(), LogError> {
        exchange(self.client(Work::Watch, "prove").await?, async |client| {
            let prove = client.prepare_cached(PROVE).await?;
            Ok(client.query_one(&prove, &[]).await.map(drop)?)
        })
        .await
    }
}
