//! What waits in the outbox, and what became of what could not be appended?

use super::tenant;
use crate::log::error::LogError;
use crate::log::pool::{Log, exchange};
use crate::log::work::Work;
use carillon_protocol::TenantId;
use std::time::SystemTime;

const STATE: &str = "SELECT waiting, seconds, parked FROM carillon.outbox_state($1)";
const LIST: &str = "SELECT * FROM carillon.list_parked($1, $2)";
const RELEASE: &str = "SELECT carillon.release_parked($1, $2)";
/// Only the owner of the schema looks at what is parked.
const OWNER: &str = "SET ROLE carillon_owner; SET search_path = carillon, pg_temp";

/// How the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OutboxState {
    /// Events that wait to be moved; of more than 10,000: 10,001.
    pub waiting: u64,
    /// How long ago the oldest of them was published; 0 when none waits.
    pub seconds: f64,
    /// Events that could not be appended; of more than 10,000: 10,001.
    pub parked: u64,
}

/// An event that could not be appended.
#[derive(Debug, Clone)]
pub struct ParkedEvent {
    /// Its number in the outbox.
    pub id: i64,
    /// Whose log it is for.
    pub tenant: TenantId,
    /// When it was published.
    pub at: SystemTime,
    /// Its type.
    pub kind: String,
    /// Its id, when the application chose one.
    pub event_id: Option<String>,
    /// Why it was not appended: a stable name.
    pub reason: String,
    /// The same, for people.
    pub detail: String,
    /// Since when.
    pub parked_at: SystemTime,
}

impl Log {
    /// How the outbox is: of this tenant, or of all.
    pub async fn outbox_state(&self, of: Option<&TenantId>) -> Result<OutboxState, LogError> {
        let row = exchange(self.client(Work::Upkeep, "outbox state").await?, async |client| {
            let ask = client.prepare_cached(STATE).await?;
            Ok(client.query_one(&ask, &[&of.map(TenantId::as_str)]).await?)
        })
        .await?;
        let number = |column: &str| row.get::<_, i64>(column) as u64;
        Ok(OutboxState { waiting: number("waiting"), seconds: row.get("seconds"), parked: number("parked") })
    }

    /// What is parked after a number, oldest first. For a log of the role [`Owner`](super::super::Role::Owner).
    pub async fn parked(&self, after: i64, most: u32) -> Result<Vec<ParkedEvent>, LogError> {
        let rows = exchange(self.client(Work::Ask, "parked").await?, async |client| {
            client.batch_execute(OWNER).await?;
            Ok(client.query(LIST, &[&after, &(most as i32)]).await?)
        })
        .await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(ParkedEvent {
                id: row.get("id"),
                tenant: tenant(row.get("tenant"))?,
                at: row.get("at"),
                kind: row.get("type"),
                event_id: row.get("event_id"),
                reason: row.get("reason"),
                detail: row.get("detail"),
                parked_at: row.get("parked_at"),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts these parked events, or all, back into the outbox (`keep`), or discards them; how many. For a log of the role
    /// [`Owner`](super::super::Role::Owner).
    pub async fn release_parked(&self, ids: Option<&[i64]>, keep: bool) -> Result<u64, LogError> {
        let row = exchange(self.client(Work::Ask, "parked").await?, async |client| {
            client.batch_execute(OWNER).await?;
            Ok(client.query_one(RELEASE, &[&ids, &keep]).await?)
        })
        .await?;
        Ok(row.get::<_, i64>(0) as u64)
    }
}
