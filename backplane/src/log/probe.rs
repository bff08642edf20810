//! Could an event be stored now, and in which database?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::work::Work;

/// Writes a row that needs new room on the disk, after looking for a partition of the present day.
const PROVE: &str = "SELECT carillon.prove_writable()";

/// The server's identifier, which its standbys share, and the database's name.
const DATABASE: &str = "SELECT split_part(carillon.lineage(), ':', 1) || '/' || current_database()";

impl Log {
    /// Which database this is, among all; none where the provider hides the server's identifier, and on a standby.
    pub async fn database(&self) -> Result<Option<String>, LogError> {
        exchange(self.client(Work::Ask, "database").await?, async |client| {
            let ask = client.prepare_cached(DATABASE).await?;
            Ok(client.query_one(&ask, &[]).await?.get(0))
        })
        .await
    }

    /// Proves that the log takes events, by writing. What keeps it from doing so is told as an append would be told.
    pub async fn prove_writable(&self) -> Result<(), LogError> {
        exchange(self.client(Work::Watch, "prove").await?, async |client| {
            let prove = client.prepare_cached(PROVE).await?;
            Ok(client.query_one(&prove, &[]).await.map(drop)?)
        })
        .await
    }
}
