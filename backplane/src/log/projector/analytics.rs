//! How many events an hour, by what they say?
//!
//! The reader that counts them: a row for each hour, and one for each type, source, actor and priority of it. An hour is the
//! one in which an event was appended (UTC, the database's clock); what a publisher says of the time is not asked.

use super::{ANALYTICS, Batch, Reader, Work};
use crate::log::pool::Log;
use carillon_protocol::Seq;
use jiff::Timestamp;
use std::time::Duration;
use tokio_postgres::types::ToSql;

/// Keys of one dimension that have counts of their own in an hour of a tenant; so many rows an hour a tenant can make, however
/// its events are called.
pub const ANALYTICS_KEYS: u32 = 5_000;
/// Fewer and larger batches than the index has: nobody waits for a count.
const PERIOD: Duration = Duration::from_secs(5);

/// The reader.
#[derive(Debug, Clone, Copy, Default)]
pub struct Analytics;

/// Counts the events of `page`, which is what a FROM clause takes: `$1` is the tenant.
fn count(page: &str) -> String {
    format!(
        "WITH page AS MATERIALIZED (
            SELECT e.seq, date_bin('1 hour', e.at, '2000-01-01 00:00+00') AS at, e.type, e.source, e.actor,
                coalesce(e.priority, 'normal') AS priority FROM {page}
        ), counted AS (
            SELECT p.at, d.dimension, d.key, count(*) AS events FROM page p
                CROSS JOIN LATERAL (VALUES ('type', p.type), ('source', p.source), ('actor', p.actor),
                    ('priority', p.priority)) AS d(dimension, key)
            WHERE d.key IS NOT NULL GROUP BY p.at, d.dimension, d.key
        ), known AS MATERIALIZED (
            SELECT c.*, EXISTS (SELECT FROM carillon.analytics_counts k WHERE k.tenant_id = $1
                AND k.dimension = c.dimension AND k.at = c.at AND k.key = c.key) AS is_known FROM counted c
        ), full_hours AS MATERIALIZED (
            SELECT n.at, n.dimension, (SELECT count(*) FROM (SELECT FROM carillon.analytics_counts k
                WHERE k.tenant_id = $1 AND k.dimension = n.dimension AND k.at = n.at LIMIT {ANALYTICS_KEYS}) AS k) AS keys
            FROM (SELECT DISTINCT at, dimension FROM known WHERE NOT is_known) AS n
        ), placed AS (
            SELECT k.at, k.dimension, k.key, k.events, k.is_known OR f.keys + row_number() OVER (
                PARTITION BY k.at, k.dimension, k.is_known ORDER BY k.events DESC, k.key) <= {ANALYTICS_KEYS} AS fits
            FROM known k LEFT JOIN full_hours f ON f.at = k.at AND f.dimension = k.dimension
        ), counts AS (
            INSERT INTO carillon.analytics_counts AS c (tenant_id, dimension, at, key, events)
            SELECT $1, p.dimension, p.at, CASE WHEN p.fits THEN p.key ELSE '' END, sum(p.events) FROM placed p
            GROUP BY 2, 3, 4
            ON CONFLICT (tenant_id, dimension, at, key) DO UPDATE SET events = c.events + excluded.events
        )
        INSERT INTO carillon.analytics_hours AS h (tenant_id, at, first_seq, last_seq, events)
        SELECT $1, p.at, min(p.seq), max(p.seq), count(*) FROM page p GROUP BY p.at
        ON CONFLICT (tenant_id, at) DO UPDATE SET events = h.events + excluded.events,
            first_seq = least(h.first_seq, excluded.first_seq), last_seq = greatest(h.last_seq, excluded.last_seq)"
    )
}

/// Hours in which something was counted that is lost, and something that is not; the first event of theirs. `$2` is the last event
/// that is not lost.
fn cut(batch: &Batch<'_>) -> String {
    format!(
        "SELECT at, first_seq FROM carillon.analytics_hours
        WHERE tenant_id = $1 AND last_seq > $2 AND first_seq <= $2{}",
        batch.days_of("")
    )
}

/// Takes out the hours in which something was counted that is lost.
fn take_out(batch: &Batch<'_>) -> String {
    format!(
        "WITH gone AS (
            DELETE FROM carillon.analytics_hours WHERE tenant_id = $1 AND last_seq > $2{} RETURNING at
        )
        DELETE FROM carillon.analytics_counts c USING gone g
        WHERE c.tenant_id = $1 AND c.at = g.at AND c.dimension = ANY (ARRAY['type', 'source', 'actor', 'priority'])",
        batch.days_of("")
    )
}

/// What the log has of these hours, `$4`, of which the first event is `$3`.
fn left_of(batch: &Batch<'_>) -> String {
    let days = batch.days_of("");
    format!(
        "(SELECT * FROM carillon.events WHERE tenant_id = $1 AND seq >= $3 AND seq <= $2{days}
            AND date_bin('1 hour', at, '2000-01-01 00:00+00') = ANY ($4)) AS e"
    )
}

impl Reader for Analytics {
    fn name(&self) -> &'static str {
        ANALYTICS
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn read<'a>(&'a self, batch: &'a Batch<'a>) -> Work<'a, ()> {
        Box::pin(async move { batch.execute(&count(&batch.events())).await.map(drop) })
    }

    /// In one go: a tenant has 24 rows of hours a day, and events of one hour are counted again.
    fn forget<'a>(&'a self, batch: &'a Batch<'a>, after: Seq) -> Work<'a, bool> {
        Box::pin(async move {
            let (tenant, good) = (batch.tenant.as_str(), after.0 as i64);
            let rows = batch.rows(&cut(batch), &[&tenant, &good]).await?;
            batch.run(&take_out(batch), &[&tenant, &good]).await?;
            let hours: Vec<Timestamp> = rows.iter().map(|row| row.get("at")).collect();
            let first = rows.iter().map(|row| row.get::<_, i64>("first_seq")).min();
            if let Some(first) = first {
                let params: [&(dyn ToSql + Sync); 4] = [&tenant, &good, &first, &hours];
                batch.run(&count(&left_of(batch)), &params).await?;
            }
            Ok(true)
        })
    }

    fn maintain<'a>(&'a self, _log: &'a Log) -> Work<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
