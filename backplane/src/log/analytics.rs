//! How many events were there, by what they say, in some hours?
//!
//! What the projector `analytics` has counted ([`Analytics`](super::Analytics)). Every hour counts as a whole.

use super::error::LogError;
use super::maintenance::ForgottenKeys;
use super::pool::Log;
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::TenantId;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

/// Events and people of the hours; a person who acted in several counts once. Who was folded into '' is not known.
const TOTALS: &str = "
SELECT (SELECT coalesce(sum(events), 0)::bigint FROM carillon.analytics_hours
        WHERE tenant_id = $1 AND at >= $2 AND at < $3) AS events,
    count(DISTINCT key) FILTER (WHERE key <> '') AS people, coalesce(bool_or(key = ''), false) AS more_people
FROM carillon.analytics_counts WHERE tenant_id = $1 AND dimension = 'actor' AND at >= $2 AND at < $3";
/// The keys with most events first; what was folded is the last.
const KEYS: &str = "
SELECT key, sum(events)::bigint AS events FROM carillon.analytics_counts
WHERE tenant_id = $1 AND dimension = $4 AND at >= $2 AND at < $3
GROUP BY key ORDER BY key = '', 2 DESC, 1 LIMIT $5::bigint";
/// The counts of these keys.
const OF_KEYS: &str = "
SELECT key, sum(events)::bigint AS events FROM carillon.analytics_counts
WHERE tenant_id = $1 AND dimension = $4 AND at >= $2 AND at < $3 AND key = ANY ($5) GROUP BY key";
/// The events and people of each hour or day (UTC) in which there were any, in their order.
const TIMES: &str = "
SELECT h.at, h.events, coalesce(p.people, 0) AS people, coalesce(p.more_people, false) AS more_people FROM (
    SELECT date_bin($4::text::interval, at, '2000-01-01 00:00+00') AS at, sum(events)::bigint AS events
    FROM carillon.analytics_hours WHERE tenant_id = $1 AND at >= $2 AND at < $3 GROUP BY 1
) AS h LEFT JOIN (
    SELECT date_bin($4::text::interval, at, '2000-01-01 00:00+00') AS at,
        count(DISTINCT key) FILTER (WHERE key <> '') AS people, bool_or(key = '') AS more_people
    FROM carillon.analytics_counts WHERE tenant_id = $1 AND dimension = 'actor' AND at >= $2 AND at < $3 GROUP BY 1
) AS p ON p.at = h.at ORDER BY h.at LIMIT $5::bigint";
/// How many acknowledgements took how long, by the events' hours.
const LATENCY: &str = "
SELECT bucket, sum(acks)::bigint AS acks FROM carillon.analytics_latency
WHERE tenant_id = $1 AND at >= $2 AND at < $3 GROUP BY bucket ORDER BY bucket";
/// Each place is for latencies that are so much longer (`carillon.count_latency`).
const STEP: f64 = 1.2;
const FORGET: &str = "SELECT forgotten, overdue FROM carillon.forget_some_analytics($1, $2)";

/// By what events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Their type.
    Type,
    /// Their source.
    Source,
    /// Who acted.
    Actor,
    /// Their priority; those without one are `normal`.
    Priority,
}

impl Dimension {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Source => "source",
            Self::Actor => "actor",
            Self::Priority => "priority",
        }
    }
}

/// The events of some hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CountedTotal {
    /// How many.
    pub events: u64,
    /// Different actors of theirs.
    pub people: u64,
    /// Whether there were more actors, whose names were not kept.
    pub more_people: bool,
}

/// How long it took until devices had handled the events of some hours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CountedLatency {
    /// Acknowledgements, each by its place; the places ascend.
    places: Vec<(u32, u64)>,
}

impl CountedLatency {
    /// Acknowledgements.
    pub fn count(&self) -> u64 {
        self.places.iter().map(|(_, acks)| acks).sum()
    }

    /// So many milliseconds, within a tenth, or less it took for this part of them; none: there are none.
    pub fn quantile_ms(&self, part: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * part).ceil().max(1.0) as u64;
        let mut passed = 0;
        let found = self.places.iter().find(|(_, acks)| {
            passed += acks;
            passed >= wanted
        })?;
        Some(STEP.powf(f64::from(found.0) + 0.5))
    }
}

/// The events of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedKey {
    /// Which one; none: all that have no counts of their own.
    pub key: Option<String>,
    /// How many.
    pub events: u64,
}

/// The events of an hour or a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedTime {
    /// When it began.
    pub at: Timestamp,
    /// Its events.
    pub total: CountedTotal,
}

/// From the first hour to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// The beginning of the first.
    pub from: Timestamp,
    /// The end of the last.
    pub to: Timestamp,
}

impl Log {
    /// How many events there were in some hours.
    pub async fn counted(&self, tenant: &TenantId, hours: Hours) -> Result<CountedTotal, LogError> {
        let name = tenant.as_str();
        let params: [&(dyn ToSql + Sync); 3] = [&name, &hours.from, &hours.to];
        let client = self.client(Work::Search, "analytics").await?;
        let rows = scoped(client, std::iter::once(tenant), TOTALS, &params).await?;
        Ok(rows.first().map(total).unwrap_or_default())
    }

    /// How long it took until devices had handled the events of some hours.
    pub async fn counted_latency(&self, tenant: &TenantId, hours: Hours) -> Result<CountedLatency, LogError> {
        let name = tenant.as_str();
        let params: [&(dyn ToSql + Sync); 3] = [&name, &hours.from, &hours.to];
        let client = self.client(Work::Search, "analytics").await?;
        let rows = scoped(client, std::iter::once(tenant), LATENCY, &params).await?;
        let place = |row: &tokio_postgres::Row| {
            (row.get::<_, i16>("bucket").unsigned_abs().into(), row.get::<_, i64>("acks") as u64)
        };
        Ok(CountedLatency { places: rows.iter().map(place).collect() })
    }

    /// The keys with most events.
    pub async fn counted_by(
        &self,
        tenant: &TenantId,
        hours: Hours,
        dimension: Dimension,
        most: u32,
    ) -> Result<Vec<CountedKey>, LogError> {
        self.keys(tenant, hours, dimension, KEYS, &i64::from(most)).await
    }

    /// The events of these keys, in no order; of those that have some.
    pub async fn counted_of(
        &self,
        tenant: &TenantId,
        hours: Hours,
        dimension: Dimension,
        keys: &[&str],
    ) -> Result<Vec<CountedKey>, LogError> {
        self.keys(tenant, hours, dimension, OF_KEYS, &keys).await
    }

    async fn keys(
        &self,
        tenant: &TenantId,
        hours: Hours,
        dimension: Dimension,
        sql: &str,
        which: &(dyn ToSql + Sync),
    ) -> Result<Vec<CountedKey>, LogError> {
        let (name, dimension) = (tenant.as_str(), dimension.name());
        let params: [&(dyn ToSql + Sync); 5] = [&name, &hours.from, &hours.to, &dimension, which];
        let client = self.client(Work::Search, "analytics").await?;
        let rows = scoped(client, std::iter::once(tenant), sql, &params).await?;
        let key = |row: &tokio_postgres::Row| CountedKey {
            key: Some(row.get::<_, String>("key")).filter(|key| !key.is_empty()),
            events: row.get::<_, i64>("events") as u64,
        };
        Ok(rows.iter().map(key).collect())
    }

    /// The events of each hour, or of each day (UTC), in which there were some.
    pub async fn counted_over_time(
        &self,
        tenant: &TenantId,
        hours: Hours,
        by_day: bool,
        most: u32,
    ) -> Result<Vec<CountedTime>, LogError> {
        let (name, width, most) = (tenant.as_str(), if by_day { "1 day" } else { "1 hour" }, i64::from(most));
        let params: [&(dyn ToSql + Sync); 5] = [&name, &hours.from, &hours.to, &width, &most];
        let client = self.client(Work::Search, "analytics").await?;
        let rows = scoped(client, std::iter::once(tenant), TIMES, &params).await?;
        Ok(rows.iter().map(|row| CountedTime { at: row.get("at"), total: total(row) }).collect())
    }

    /// Forgets at most `most` hours of tenants that are older than so many days, the oldest first.
    pub async fn forget_analytics(&self, days: u32, most: u32) -> Result<ForgottenKeys, LogError> {
        self.forget(FORGET, days as i32, most).await
    }
}

fn total(row: &tokio_postgres::Row) -> CountedTotal {
    CountedTotal {
        events: row.get::<_, i64>("events") as u64,
        people: row.get::<_, i64>("people") as u64,
        more_people: row.get("more_people"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_tenth_of_what_was_counted() {
        let place = |ms: f64| (ms.ln() / STEP.ln()).floor() as u32;
        for ms in [1.0, 3.0, 47.0, 1_000.0, 86_400_000.0] {
            let latency = CountedLatency { places: vec![(place(ms), 7)] };
            let found = latency.quantile_ms(0.5).unwrap();
            assert!((found / ms - 1.0).abs() <= 0.1, "{ms}: {found}");
        }
        let latency = CountedLatency { places: vec![(place(10.0), 98), (place(5_000.0), 2)] };
        assert_eq!(latency.count(), 100);
        let [half, most] = [0.5, 0.99].map(|part| latency.quantile_ms(part).unwrap());
        assert!(half < 12.0 && most > 4_000.0, "{half} {most}");
        assert_eq!(CountedLatency::default().quantile_ms(0.5), None);
    }
}
