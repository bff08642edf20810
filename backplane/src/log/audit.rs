//! Who changed what, and how does the database know who asks?
//!
//! Triggers write a row with every change of what administrators set, in its transaction (`migrations/V34__every_administrative_write_is_recorded.sql`);
//! [`Log::acting`] names whoever asks for what is done through that handle.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::scoped_planned;
use super::settings::Owner;
use super::work::Work;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

/// A change that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number; a later one has a larger.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who: `key:<id>`, `user:<id>`, `service`, or `login:<name>`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To which.
    pub target: String,
    /// What it was before, JSON.
    pub before: Option<String>,
    /// What it is now, JSON.
    pub after: Option<String>,
}

/// Which changes are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditAsk {
    /// By this one.
    pub actor: Option<String>,
    /// Of this kind, or exactly this.
    pub action: Option<String>,
    /// To this.
    pub target: Option<String>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
    /// Older than this one.
    pub before: i64,
    /// Most of them.
    pub limit: usize,
}

/// Newest first. It is planned for what is asked: a filter that is null is none then, and each of the others has an index.
const LIST: &str = "
SELECT id, at, actor, action, target, before, after FROM carillon.audit
WHERE tenant_id = $1 AND id < $2 AND ($3::text IS NULL OR actor = $3) AND ($4::text[] IS NULL OR action = ANY ($4))
    AND ($5::text IS NULL OR target = $5) AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
ORDER BY id DESC LIMIT $8";
/// What can be done to each kind of thing.
const DEEDS: [&str; 3] = ["created", "changed", "deleted"];
const FORGET: &str = "SELECT carillon.forget_audit($1)";

impl Log {
    /// What administrators changed of an owner's.
    pub async fn audit(&self, owner: &Owner, ask: &AuditAsk) -> Result<Vec<AuditEntry>, LogError> {
        let (name, limit) = (owner.name(), ask.limit as i64);
        let AuditAsk { actor, action, target, from, to, before, .. } = ask;
        let actions = action.as_deref().map(actions);
        let params: [&(dyn ToSql + Sync); 8] = [&name, before, actor, &actions, target, from, to, &limit];
        let client = self.client(Work::Search, "audit").await?;
        let rows = scoped_planned(client, std::iter::once(name), LIST, &params).await?;
        let entry = |row: &tokio_postgres::Row| AuditEntry {
            id: row.get("id"),
            at: row.get("at"),
            actor: row.get("actor"),
            action: row.get("action"),
            target: row.get("target"),
            before: row.get("before"),
            after: row.get("after"),
        };
        Ok(rows.iter().map(entry).collect())
    }

    /// Forgets at most `most` entries that are past their time, and says how many.
    pub async fn forget_audit(&self, most: u32) -> Result<u64, LogError> {
        let row = exchange(self.client(Work::Upkeep, "audit").await?, async |client| {
            let statement = client.prepare_cached(FORGET).await?;
            Ok(client.query_one(&statement, &[&(most as i32)]).await?)
        })
        .await?;
        Ok(row.get::<_, i64>(0) as u64)
    }
}

/// The actions that a filter means: one, or all that can be done to a kind of thing.
fn actions(filter: &str) -> Vec<String> {
    match filter.contains('.') {
        true => vec![filter.to_owned()],
        false => DEEDS.map(|deed| format!("{filter}.{deed}")).into(),
    }
}
