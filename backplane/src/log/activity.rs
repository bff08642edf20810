//! What did people do, as their pages say?
//!
//! Gateways store it in batches; a batch that is stored again is the same rows. Publishers read it, newest first, and let it go by days.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::TenantId;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const STORE: &str = "SELECT carillon.store_activity($1, $2, $3, $4, $5, $6, $7, $8)";
/// What is read; what is asked for follows.
const COLUMNS: &str =
    "SELECT at, id::text AS id, user_id, device, connection, name, data FROM carillon.activity WHERE ";
const FOLLOW: &str = "SELECT created, dropped, due FROM carillon.follow_activity($1, $2)";

/// Something that somebody did.
#[derive(Debug, Clone, Copy)]
pub struct Did<'a> {
    /// In which tenant.
    pub tenant: &'a str,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// A UUID: what is stored under it twice is one.
    pub id: &'a str,
    /// Who.
    pub user: &'a str,
    /// On which device, if it has a name.
    pub device: Option<&'a str>,
    /// On which connection.
    pub connection: &'a str,
    /// What.
    pub name: &'a str,
    /// A JSON object.
    pub data: &'a str,
}

/// The same as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredActivity {
    /// When.
    pub at: Timestamp,
    /// Its UUID.
    pub id: String,
    /// Who.
    pub user: String,
    /// On which device, if it has a name.
    pub device: Option<String>,
    /// On which connection.
    pub connection: String,
    /// What.
    pub name: String,
    /// A JSON object.
    pub data: String,
}

/// What is asked for; what is none is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct ActivityQuery<'a> {
    /// Of this person.
    pub user: Option<&'a str>,
    /// Of this name.
    pub name: Option<&'a str>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Older than this place, its `at` and UUID.
    pub after: Option<(Timestamp, &'a str)>,
    /// Most rows.
    pub limit: u32,
}

/// What became of the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityPartitions {
    /// So many came.
    pub created: u32,
    /// So many went.
    pub dropped: u32,
    /// So many should have gone before.
    pub due: u32,
}

impl Log {
    /// Stores what people did. Answers how many were left out, because there is no partition for their day or no such tenant.
    pub async fn store_activity(&self, all: &[Did<'_>]) -> Result<u64, LogError> {
        let at: Vec<i64> = all.iter().map(|did| i64::try_from(did.at_ms).unwrap_or(i64::MAX)).collect();
        let column = |of: fn(&Did<'_>) -> String| all.iter().map(of).collect::<Vec<String>>();
        let texts = [
            column(|did| did.tenant.to_owned()),
            column(|did| did.id.to_owned()),
            column(|did| did.user.to_owned()),
            column(|did| did.connection.to_owned()),
            column(|did| did.name.to_owned()),
            column(|did| did.data.to_owned()),
        ];
        let [tenants, ids, users, connections, names, data] = &texts;
        let devices: Vec<Option<&str>> = all.iter().map(|did| did.device).collect();
        let params: [&(dyn ToSql + Sync); 8] = [tenants, &at, ids, users, &devices, connections, names, data];
        exchange(self.client(Work::Upkeep, "activity").await?, async |client| {
            let statement = client.prepare_cached(STORE).await?;
            Ok(client.query_one(&statement, &params).await?.get::<_, i64>(0) as u64)
        })
        .await
    }

    /// Reads what people did, newest first.
    pub async fn activity(
        &self,
        tenant: &TenantId,
        query: ActivityQuery<'_>,
    ) -> Result<Vec<StoredActivity>, LogError> {
        let (name, limit) = (tenant.as_str(), i64::from(query.limit));
        let (after, id) = query.after.unzip();
        // Only what is asked for stands in the statement, so that each has the index that fits.
        let mut asked: Vec<(&str, &(dyn ToSql + Sync), &str)> = vec![("tenant_id = ", &name, "")];
        if let Some(user) = &query.user {
            asked.push((" AND user_id = ", user, ""));
        }
        if let Some(name) = &query.name {
            asked.push((" AND name = ", name, ""));
        }
        if let Some(from) = &query.from {
            asked.push((" AND at >= ", from, ""));
        }
        if let Some(to) = &query.to {
            asked.push((" AND at < ", to, ""));
        }
        if let (Some(after), Some(id)) = (&after, &id) {
            asked.extend([
                (" AND (at, id) < (", after as &(dyn ToSql + Sync), ", "),
                ("", id, "::text::uuid)"),
            ]);
        }
        asked.push((" ORDER BY at DESC, id DESC LIMIT ", &limit, ""));
        let mut sql = String::from(COLUMNS);
        for (number, (before, _, behind)) in (1..).zip(&asked) {
            sql.push_str(&format!("{before}${number}{behind}"));
        }
        let params: Vec<&(dyn ToSql + Sync)> = asked.iter().map(|(_, value, _)| *value).collect();
        let client = self.client(Work::Search, "activity").await?;
        let rows = scoped(client, std::iter::once(tenant), &sql, &params).await?;
        Ok(rows.iter().map(stored).collect())
    }

    /// Makes the partitions of the next days and drops one that is older than so many days, if one is due and can be had.
    pub async fn follow_activity(&self, ahead: u32, keep: u32) -> Result<ActivityPartitions, LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(FOLLOW).await?;
            let row = client.query_one(&statement, &[&(ahead as i32), &(keep as i32)]).await?;
            let number = |column: &str| row.get::<_, i32>(column) as u32;
            Ok(ActivityPartitions {
                created: number("created"),
                dropped: number("dropped"),
                due: number("due"),
            })
        })
        .await
    }
}

fn stored(row: &Row) -> StoredActivity {
    StoredActivity {
        at: row.get("at"),
        id: row.get("id"),
        user: row.get("user_id"),
        device: row.get("device"),
        connection: row.get("connection"),
        name: row.get("name"),
        data: row.get("data"),
    }
}
