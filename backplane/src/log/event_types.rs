//! What is stored about a tenant's types of events, and of which version is it?
//!
//! Whoever writes names the version that it has read: a write moves it in the same statement, or finds that somebody was quicker.
//! Publishers ask once a second whose version moved.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::{scoped_as, scoped_by_names};
use super::settings::{Owner, RuleChange};
use super::work::Work;
use tokio_postgres::Row;

/// A type as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredType {
    /// Its name.
    pub kind: String,
    /// What is said about it, as JSON.
    pub definition: String,
}

/// All types of one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredTypes {
    /// Of this version; 0: nothing was ever set.
    pub version: u64,
    /// By name.
    pub types: Vec<StoredType>,
}

/// One statement, so that the version belongs to the types.
const OF: &str = "
SELECT s.version, t.kinds, t.definitions
FROM (SELECT $1::text AS id) AS o
LEFT JOIN carillon.event_type_sets AS s ON s.tenant_id = o.id
CROSS JOIN LATERAL (SELECT array_agg(type ORDER BY type) AS kinds, array_agg(definition ORDER BY type) AS definitions
         FROM carillon.event_types WHERE tenant_id = o.id) AS t";
const SINCE: &str = "SELECT owner, version FROM carillon.event_types_since($1)";

/// A row is answered exactly if the version was still the one that was named and the owner exists.
macro_rules! moved {
    ($change:literal) => {
        concat!(
            "
WITH moved AS (
    INSERT INTO carillon.event_type_sets AS s (tenant_id, version)
    SELECT $1, carillon.next_version(0)
    WHERE $1 = '*' OR EXISTS (SELECT FROM carillon.tenants WHERE id = $1)
    ON CONFLICT (tenant_id) DO UPDATE SET version = carillon.next_version(s.version) WHERE s.version = $2
    RETURNING tenant_id, version)",
            $change
        )
    };
}
const PUT: &str = moved!(
    "
, put AS (
    INSERT INTO carillon.event_types (tenant_id, type, definition) SELECT tenant_id, $3, $4 FROM moved
    ON CONFLICT (tenant_id, type) DO UPDATE SET definition = excluded.definition, changed_at = excluded.changed_at)
SELECT version FROM moved"
);
const DELETE: &str = moved!(
    "
, gone AS (
    DELETE FROM carillon.event_types AS t USING moved WHERE t.tenant_id = moved.tenant_id AND t.type = $3)
SELECT version FROM moved"
);

impl Log {
    /// The types of an owner.
    pub async fn event_types(&self, owner: &Owner) -> Result<StoredTypes, LogError> {
        let name = owner.name();
        let client = self.client(Work::Ask, "event_types").await?;
        let rows = scoped_by_names(client, std::iter::once(name), OF, &[&name]).await?;
        Ok(rows.first().map(stored).unwrap_or_default())
    }

    /// Whose types were changed after a version, and the version that they have: the names of tenants, and `*`.
    pub async fn event_types_since(&self, version: u64) -> Result<Vec<(String, u64)>, LogError> {
        let rows = exchange(self.client(Work::Ask, "event_types").await?, async |client| {
            let statement = client.prepare_cached(SINCE).await?;
            Ok(client.query(&statement, &[&(version as i64)]).await?)
        })
        .await?;
        Ok(rows.iter().map(|row| (row.get("owner"), row.get::<_, i64>("version") as u64)).collect())
    }

    /// Changes one type if the owner's types are still of this version; the new version. None when they are not, or when there
    /// is no such tenant: nothing was changed.
    pub async fn change_event_type(
        &self,
        owner: &Owner,
        version: u64,
        kind: &str,
        change: RuleChange<'_>,
    ) -> Result<Option<u64>, LogError> {
        let (name, version) = (owner.name(), version as i64);
        let client = self.client(Work::Ask, "event_type").await?;
        let names = std::iter::once(name);
        let rows = match change {
            RuleChange::Put(definition) => {
                scoped_as(client, names, self.actor.as_deref(), PUT, &[&name, &version, &kind, &definition])
                    .await?
            }
            RuleChange::Delete => {
                scoped_as(client, names, self.actor.as_deref(), DELETE, &[&name, &version, &kind]).await?
            }
        };
        Ok(rows.first().map(|row| row.get::<_, i64>("version") as u64))
    }
}

fn stored(row: &Row) -> StoredTypes {
    let texts = |name: &str| row.get::<_, Option<Vec<String>>>(name).unwrap_or_default();
    let types = texts("kinds").into_iter().zip(texts("definitions"));
    StoredTypes {
        version: row.get::<_, Option<i64>>("version").unwrap_or_default() as u64,
        types: types.map(|(kind, definition)| StoredType { kind, definition }).collect(),
    }
}
