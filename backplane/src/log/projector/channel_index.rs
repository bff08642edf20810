//! Which events went to which channel?
//!
//! The reader that answers it with one row for each channel and batch (`carillon.channel_index`): a channel that gets
//! most events costs a row for a batch, a rare one a row for an event. `search` reads it.

use super::{Batch, CHANNEL_INDEX, Reader, Work};
use crate::log::error::LogError;
use crate::log::pool::{Log, exchange};
use carillon_protocol::Seq;

/// Rows that are forgotten in one transaction.
const FORGOTTEN: i64 = 5_000;
const MAINTAIN: &str = "SELECT created, dropped FROM carillon.follow_partitions()";

/// What the log had before and has no more is taken out; a row that began before is written again without it.
fn forget(batch: &Batch<'_>) -> String {
    format!(
        "WITH due AS (
            SELECT channel, last_seq, at FROM carillon.channel_index
            WHERE tenant_id = $1 AND last_seq > $2{days} ORDER BY channel, last_seq LIMIT $3
        ), gone AS (
            DELETE FROM carillon.channel_index i USING due d
            WHERE i.tenant_id = $1 AND i.channel = d.channel AND i.last_seq = d.last_seq AND i.at = d.at{days_of_i}
            RETURNING i.channel, i.seqs, i.since, i.at
        ), kept AS (
            INSERT INTO carillon.channel_index (tenant_id, channel, last_seq, seqs, since, at)
            SELECT $1, g.channel, max(s.seq), array_agg(s.seq ORDER BY s.seq), g.since, g.at
            FROM gone g CROSS JOIN LATERAL unnest(g.seqs) AS s(seq) WHERE s.seq <= $2
            GROUP BY g.channel, g.since, g.at
        )
        SELECT FROM gone",
        days = batch.days_of(""),
        days_of_i = batch.days_of("i.")
    )
}

/// The reader.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChannelIndex;

impl Reader for ChannelIndex {
    fn name(&self) -> &'static str {
        CHANNEL_INDEX
    }

    fn read<'a>(&'a self, batch: &'a Batch<'a>) -> Work<'a, ()> {
        Box::pin(async move {
            let sql = format!(
                "WITH page AS MATERIALIZED (SELECT e.seq, e.at, e.channels FROM {}),
                bounds AS (SELECT min(at) AS since, max(at) AS at FROM page)
                INSERT INTO carillon.channel_index (tenant_id, channel, last_seq, seqs, since, at)
                SELECT $1, c.channel, max(p.seq), array_agg(DISTINCT p.seq ORDER BY p.seq), b.since, b.at
                FROM page p CROSS JOIN bounds b CROSS JOIN LATERAL unnest(p.channels) AS c(channel)
                GROUP BY c.channel, b.since, b.at",
                batch.events()
            );
            batch.execute(&sql).await.map(drop)
        })
    }

    fn forget<'a>(&'a self, batch: &'a Batch<'a>, after: Seq) -> Work<'a, bool> {
        Box::pin(async move {
            let gone =
                batch.run(&forget(batch), &[&batch.tenant.as_str(), &(after.0 as i64), &FORGOTTEN]).await?;
            Ok(gone < FORGOTTEN as u64)
        })
    }

    fn maintain<'a>(&'a self, log: &'a Log) -> Work<'a, ()> {
        Box::pin(async move {
            let (created, dropped) =
                exchange(log.client(crate::log::work::Work::Upkeep, "maintain").await?, async |client| {
                    let row = client.query_one(MAINTAIN, &[]).await?;
                    Ok::<_, LogError>((row.get::<_, i32>("created"), row.get::<_, i32>("dropped")))
                })
                .await?;
            if (created, dropped) != (0, 0) {
                tracing::info!(created, dropped, "the channel index has partitions as the log has");
            }
            Ok(())
        })
    }
}
