//! Which events match a back office's question?

use super::error::LogError;
use super::pool::Log;
use super::read::{LoggedEvent, logged_event, signed};
use super::scope::scoped;
use carillon_protocol::{Channel, Epoch, EventId, Seq, TenantId};
use jiff::Timestamp;

/// What to look for; an absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// By type.
    pub kind: Option<KindFilter>,
    /// By source, exactly.
    pub source: Option<String>,
    /// By actor, exactly.
    pub actor: Option<String>,
    /// By subject, exactly.
    pub subject: Option<String>,
    /// By one channel.
    pub channel: Option<String>,
    /// Text found anywhere in the event's JSON, whatever its case.
    pub q: Option<String>,
    /// Happened at this time or later.
    pub from: Option<Timestamp>,
    /// Happened before this time.
    pub to: Option<Timestamp>,
    /// Only events in one of these channels: what the asking person may see.
    pub audience: Option<Vec<Channel>>,
}

/// A type, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindFilter {
    /// `appointment.created`
    Exact(String),
    /// `appointment.` (written `appointment.*`)
    Prefix(String),
}

/// Which part of the matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only events before this one.
    pub older_than: Option<Seq>,
    /// Only events after this one, the nearest first chosen.
    pub newer_than: Option<Seq>,
    /// Most rows.
    pub limit: usize,
}

const CONDITIONS: &str = "
    tenant_id = $1
    AND ($2::bigint IS NULL OR seq < $2) AND ($3::bigint IS NULL OR seq > $3)
    AND ($4::text IS NULL OR type = $4) AND ($5::text IS NULL OR starts_with(type, $5))
    AND ($6::text IS NULL OR source = $6) AND ($7::text IS NULL OR actor = $7)
    AND ($8::text IS NULL OR subject = $8) AND ($9::text[] IS NULL OR channels && $9)
    AND ($10::text[] IS NULL OR channels && $10) AND ($11::text IS NULL OR body ILIKE $11)
    AND ($12::timestamptz IS NULL OR time >= $12) AND ($13::timestamptz IS NULL OR time < $13)";

const BY_ID: &str = "
SELECT e.seq, e.channels, e.body, t.epoch FROM carillon.events e JOIN carillon.tenants t ON t.id = e.tenant_id
WHERE e.tenant_id = $1 AND e.id = $2 ORDER BY e.seq DESC LIMIT 1";

impl Log {
    /// The matching events, newest first.
    pub async fn events(
        &self,
        tenant: &TenantId,
        filter: &EventFilter,
        page: &Page,
    ) -> Result<Vec<LoggedEvent>, LogError> {
        let upwards = page.newer_than.is_some() && page.older_than.is_none();
        let order = if upwards { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT seq, channels, body FROM carillon.events WHERE {CONDITIONS} ORDER BY seq {order} LIMIT $14"
        );
        let (exact, prefix) = match &filter.kind {
            Some(KindFilter::Exact(kind)) => (Some(kind), None),
            Some(KindFilter::Prefix(kind)) => (None, Some(kind)),
            None => (None, None),
        };
        let channel: Option<Vec<&str>> = filter.channel.as_deref().map(|name| vec![name]);
        let audience: Option<Vec<&str>> =
            filter.audience.as_ref().map(|all| all.iter().map(Channel::as_str).collect());
        let rows = scoped(
            self.client("list").await?,
            std::iter::once(tenant),
            &sql,
            &[
                &tenant.as_str(),
                &page.older_than.map(signed),
                &page.newer_than.map(signed),
                &exact,
                &prefix,
                &filter.source,
                &filter.actor,
                &filter.subject,
                &channel,
                &audience,
                &filter.q.as_deref().map(like),
                &filter.from,
                &filter.to,
                &(page.limit as i64),
            ],
        )
        .await?;
        let mut events: Vec<LoggedEvent> = rows.iter().map(logged_event).collect::<Result<_, _>>()?;
        if upwards {
            events.reverse();
        }
        Ok(events)
    }

    /// One event by its id, with the log's life; the newest if an id was used again under another key.
    pub async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<(Epoch, LoggedEvent)>, LogError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.as_str(), &id.as_str()];
        let rows = scoped(self.client("event").await?, std::iter::once(tenant), BY_ID, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch =
            Epoch::new(row.get::<_, &str>("epoch")).map_err(|error| LogError::Database(error.to_string()))?;
        Ok(Some((epoch, logged_event(row)?)))
    }
}

/// A LIKE pattern that finds `text` literally.
fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_search_text_is_taken_literally() {
        assert_eq!(super::like(r"50%_\"), r"%50\%\_\\%");
    }
}
