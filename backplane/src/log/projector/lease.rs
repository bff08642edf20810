//! Which tenants does this worker read, and which of them have news?

use crate::log::error::LogError;
use crate::log::pool::{Log, exchange};
use crate::log::work::Work;
use carillon_protocol::TenantId;

/// How long a lease lasts without being renewed, in seconds: a dead worker is replaced after it.
const LEASE_SECONDS: i32 = 10;
const LEASE: &str = "SELECT slot, fence FROM carillon.lease_slots($1, $2, $3)";
const RELEASE: &str = "SELECT carillon.release_slots($1, $2)";
const NEWS: &str = "SELECT tenant, slot, behind FROM carillon.projector_news($1, $2, $3, $4)";

/// A leased slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Which one.
    pub number: i16,
    /// Grows with each new holder.
    pub fence: i64,
}

/// A tenant whose log goes on after the projector's cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Which tenant.
    pub tenant: TenantId,
    /// The slot it belongs to.
    pub slot: i16,
    /// How many events were not read.
    pub behind: u64,
}

impl Log {
    /// Renews, takes and gives up slots, so that each live worker has its share. Answers all it holds now.
    pub async fn lease_slots(&self, projector: &str, worker: &str) -> Result<Vec<Slot>, LogError> {
        let rows = exchange(self.client(Work::Upkeep, "lease").await?, async |client| {
            let lease = client.prepare_cached(LEASE).await?;
            Ok(client.query(&lease, &[&projector, &worker, &LEASE_SECONDS]).await?)
        })
        .await?;
        Ok(rows.iter().map(|row| Slot { number: row.get("slot"), fence: row.get("fence") }).collect())
    }

    /// Gives up all slots of a worker that stops, so that nobody has to wait for its leases to end.
    pub async fn release_slots(&self, projector: &str, worker: &str) -> Result<(), LogError> {
        exchange(self.client(Work::Upkeep, "lease").await?, async |client| {
            let release = client.prepare_cached(RELEASE).await?;
            Ok(client.execute(&release, &[&projector, &worker]).await.map(drop)?)
        })
        .await
    }

    /// The tenants of these slots with events after the projector's cursor, at most `most`, after the tenant `after` by
    /// name.
    pub async fn projector_news(
        &self,
        projector: &str,
        slots: &[Slot],
        after: Option<&TenantId>,
        most: u32,
    ) -> Result<Vec<News>, LogError> {
        let numbers: Vec<i16> = slots.iter().map(|slot| slot.number).collect();
        let (after, most) = (after.map_or("", TenantId::as_str), most as i32);
        let rows = exchange(self.client(Work::Upkeep, "news").await?, async |client| {
            let news = client.prepare_cached(NEWS).await?;
            Ok(client.query(&news, &[&projector, &numbers, &after, &most]).await?)
        })
        .await?;
        rows.iter()
            .map(|row| {
                let tenant = TenantId::new(row.get::<_, &str>("tenant"))
                    .map_err(|error| LogError::Database(format!("stored tenant: {error}")))?;
                Ok(News { tenant, slot: row.get("slot"), behind: row.get::<_, i64>("behind") as u64 })
            })
            .collect()
    }
}
