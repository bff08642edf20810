//! Does the log have the event, or did it once?

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::scope::{scoped, scoped_in};
use crate::log::work::Work;
use carillon_protocol::{Channel, EventId, Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Of several that were published under one id the newest.
const EVENT: &str = "
SELECT e.*, x.connection FROM (
    SELECT seq, at, type, source, actor, priority, channels, time, body FROM carillon.events
    WHERE tenant_id = $1 AND id = $2 AND at >= $3 AND at < $4 ORDER BY seq DESC LIMIT 1) AS e
LEFT JOIN carillon.event_excepts x ON x.tenant_id = $1 AND x.seq = e.seq AND x.at = e.at";

/// What else keeps the number of an event that the log has no more: its notice, and for two days the key of its id.
const LEFT: &str = "
SELECT coalesce(n.seq, i.seq) AS seq, coalesce(n.at, i.at) AS at FROM (SELECT 1) AS one
LEFT JOIN LATERAL (SELECT n.seq, n.at FROM carillon.notices n WHERE n.tenant_id = $1 AND n.id = $2
    ORDER BY n.seq DESC LIMIT 1) AS n ON true
LEFT JOIN LATERAL (SELECT i.seq, i.at FROM carillon.idempotency i WHERE i.tenant_id = $1 AND i.key = 'i:' || $2) AS i ON true";

/// The order leaves no other index to go by than the primary key.
const OLDEST: &str = "
SELECT at FROM carillon.events WHERE tenant_id = $1 AND at >= $2 AND at < $3 ORDER BY seq LIMIT 1";

/// An event that the log has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedEvent {
    /// Its number.
    pub seq: Seq,
    /// When it was committed, by the database's clock.
    pub at: Timestamp,
    /// Its type.
    pub kind: String,
    /// Who made it.
    pub source: String,
    /// Who did what it tells of.
    pub actor: Option<String>,
    /// How urgent it is.
    pub priority: Option<String>,
    /// Where it went.
    pub channels: Vec<Channel>,
    /// When it happened, as its publisher says.
    pub time: Timestamp,
    /// Its CloudEvents JSON.
    pub body: String,
    /// Which connection asked not to get it back; for two days.
    pub except: Option<String>,
}

/// What is known of an event that the log does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Untraced {
    /// The number that it had and when it was committed: it was there once.
    pub was: Option<(Seq, Timestamp)>,
    /// When the oldest event was committed that the log has.
    pub oldest: Option<Timestamp>,
}

impl Log {
    /// An event of a tenant's log. None: it is not there (any more).
    pub async fn trace_event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<TracedEvent>, LogError> {
        for days in self.calendar(Work::Search, "why").await?.all() {
            let [from, to] = days.bounds();
            let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &id.as_str(), &from, &to];
            let client = self.client(Work::Search, "why").await?;
            let rows = scoped_in(client, tenant, days, EVENT, &params).await?;
            if let Some(row) = rows.first() {
                return traced(row).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether an event that the log does not have was there once.
    pub async fn trace_missing(&self, tenant: &TenantId, id: &EventId) -> Result<Untraced, LogError> {
        let client = self.client(Work::Search, "why").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &id.as_str()];
        let rows = scoped(client, std::iter::once(tenant), LEFT, &params).await?;
        let was = rows.first().and_then(|row| {
            Some((Seq(row.get::<_, Option<i64>>("seq")? as u64), row.get::<_, Option<Timestamp>>("at")?))
        });
        let stretches: Vec<_> = self.calendar(Work::Search, "why").await?.all().collect();
        for days in stretches.into_iter().rev() {
            let [from, to] = days.bounds();
            let params: [&(dyn ToSql + Sync); 3] = [&tenant.as_str(), &from, &to];
            let client = self.client(Work::Search, "why").await?;
            let rows = scoped_in(client, tenant, days, OLDEST, &params).await?;
            if let Some(row) = rows.first() {
                return Ok(Untraced { was, oldest: Some(row.get("at")) });
            }
        }
        Ok(Untraced { was, oldest: None })
    }
}

fn traced(row: &Row) -> Result<TracedEvent, LogError> {
    let channels = row.get::<_, Vec<&str>>("channels").into_iter().map(Channel::new);
    let channels = channels.collect::<Result<_, _>>();
    Ok(TracedEvent {
        seq: Seq(row.get::<_, i64>("seq") as u64),
        at: row.get("at"),
        kind: row.get("type"),
        source: row.get("source"),
        actor: row.get("actor"),
        priority: row.get("priority"),
        channels: channels.map_err(|error| LogError::Database(error.to_string()))?,
        time: row.get("time"),
        body: row.get("body"),
        except: row.get("connection"),
    })
}
