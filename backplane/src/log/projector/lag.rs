//! How far behind the log is a projector?
//!
//! Asked from outside: whoever answers need not be a worker itself.

use super::lease::News;
use crate::log::error::LogError;
use crate::log::pool::{Log, exchange};
use crate::log::scope::{scoped, scoped_in};
use crate::log::work::Work;
use carillon_protocol::{Seq, TenantId};

/// Every slot there is.
const SLOTS: std::ops::Range<i16> = 0..64;
/// Tenants that are behind and looked at, in the order of their names.
const TENANTS: u32 = 500;
/// Of those the ones whose first unread event is looked up: who has most to read.
const DATED: usize = 8;
/// Workers whose lease of a slot has not ended.
const WORKERS: &str = "
SELECT count(DISTINCT worker) AS workers FROM carillon.projector_slots
WHERE projector = $1 AND worker IS NOT NULL AND lease_until >= clock_timestamp()";
/// Where the logs of the scope end, and how far a projector has read them. An epoch that ended is read anew.
const READ: &str = "
SELECT t.id, t.head, CASE WHEN c.epoch = t.epoch THEN least(c.seq, t.head) ELSE 0 END AS read_to
FROM carillon.tenants t LEFT JOIN carillon.projector_cursors c ON c.tenant_id = t.id AND c.projector = $1";
/// How long ago an event was appended, by the database's clock.
const AGE: &str = "
SELECT extract(epoch FROM clock_timestamp() - at)::float8 AS seconds FROM carillon.events
WHERE tenant_id = $1 AND seq = $2 AND at >= $3 AND at < $4";

/// How far behind a projector is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lag {
    /// Events that it has not read.
    pub events: u64,
    /// Tenants that have such events; of more than 500 only 500 are looked at.
    pub tenants: u32,
    /// How long ago the oldest of these events was appended, as far as it was looked up; 0 when there is none.
    pub seconds: f64,
    /// Processes that hold slots of it. With none nothing is read.
    pub workers: u32,
}

impl Log {
    /// How far behind a projector is: with this tenant's log, or with all.
    pub async fn projector_lag(&self, projector: &str, tenant: Option<&TenantId>) -> Result<Lag, LogError> {
        let tenants: Vec<TenantId> = match tenant {
            Some(tenant) => vec![tenant.clone()],
            None => self.tenants_behind(projector).await?,
        };
        let mut unread: Vec<(TenantId, Seq, u64)> = Vec::new();
        if !tenants.is_empty() {
            let client = self.client(Work::Upkeep, "lag").await?;
            for row in scoped(client, tenants.iter(), READ, &[&projector]).await? {
                let number = |column: &str| row.get::<_, i64>(column) as u64;
                let behind = number("head").saturating_sub(number("read_to"));
                if behind > 0 {
                    let tenant = TenantId::new(row.get::<_, &str>("id"))
                        .map_err(|error| LogError::Database(format!("stored tenant: {error}")))?;
                    unread.push((tenant, Seq(number("read_to")).next(), behind));
                }
            }
        }
        unread.sort_by_key(|(_, _, behind)| std::cmp::Reverse(*behind));
        let mut seconds: f64 = 0.0;
        for (tenant, first, _) in unread.iter().take(DATED) {
            seconds = seconds.max(self.age(tenant, *first).await?);
        }
        let (events, tenants) = (unread.iter().map(|(_, _, behind)| behind).sum(), unread.len() as u32);
        Ok(Lag { events, tenants, seconds, workers: self.projector_workers(projector).await? })
    }

    async fn tenants_behind(&self, projector: &str) -> Result<Vec<TenantId>, LogError> {
        let slots: Vec<super::Slot> = SLOTS.map(|number| super::Slot { number, fence: 0 }).collect();
        let news = self.projector_news(projector, &slots, None, TENANTS).await?;
        Ok(news.into_iter().map(|News { tenant, .. }| tenant).collect())
    }

    pub(in crate::log) async fn projector_workers(&self, projector: &str) -> Result<u32, LogError> {
        let row = exchange(self.client(Work::Upkeep, "lag").await?, async |client| {
            let ask = client.prepare_cached(WORKERS).await?;
            Ok(client.query_one(&ask, &[&projector]).await?)
        })
        .await?;
        Ok(row.get::<_, i64>("workers") as u32)
    }

    /// How long ago an event was appended; 0 for one that is not there.
    async fn age(&self, tenant: &TenantId, seq: Seq) -> Result<f64, LogError> {
        let Some(days) = self.days_of((Work::Upkeep, "lag"), tenant, seq).await? else { return Ok(0.0) };
        let [from, to] = days.bounds();
        let client = self.client(Work::Upkeep, "lag").await?;
        let rows =
            scoped_in(client, tenant, days, AGE, &[&tenant.as_str(), &(seq.0 as i64), &from, &to]).await?;
        Ok(rows.first().map_or(0.0, |row| row.get::<_, f64>("seconds").max(0.0)))
    }
}
