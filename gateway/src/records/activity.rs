//! What is stored of what people do?
//!
//! Each is a record of its own, with a name that the node gives it: what is written twice, because an answer was lost, is there once.

use super::waiting::Record;
use crate::metrics::metrics;
use carillon_backplane::log::{Did, Log, LogError};
use carillon_protocol::client::Activity;
use carillon_protocol::{DeviceId, TenantId, UserId};
use uuid::Uuid;

/// Something that somebody did.
pub(crate) struct ActivityRecord {
    id: Uuid,
    at_ms: u64,
    tenant: TenantId,
    user: UserId,
    device: Option<DeviceId>,
    connection: Box<str>,
    what: Activity,
}

impl ActivityRecord {
    /// At this time, in milliseconds since 1970, by this person on this connection.
    pub(crate) fn new(
        at_ms: u64,
        (tenant, user): (TenantId, UserId),
        (device, connection): (Option<DeviceId>, &str),
        what: Activity,
    ) -> Self {
        Self { id: Uuid::new_v4(), at_ms, tenant, user, device, connection: connection.into(), what }
    }
}

impl Record for ActivityRecord {
    type Key = Uuid;
    const KIND: &'static str = "activity";
    /// Some 80,000 with a little data, 7,500 with as much as may be.
    const MOST_BYTES: usize = 32 << 20;
    /// Some 30 ms of Postgres.
    const BATCH: usize = 5_000;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn key(&self) -> Uuid {
        self.id
    }

    fn bytes(&self) -> usize {
        let names = self.tenant.as_str().len() + self.user.as_str().len() + self.connection.len();
        let device = self.device.as_ref().map_or(0, |device| device.as_str().len());
        // Its place in the map twice, for a map that has just doubled; its key in the row; allocations.
        2 * size_of::<Self>() + 120 + names + device + self.what.name.len() + self.what.data.len()
    }

    /// No two are about the same thing.
    fn merge(&mut self, _: Self) {}

    async fn store(log: &Log, records: &[Self]) -> Result<(), LogError> {
        let ids: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
        let all: Vec<Did<'_>> = records
            .iter()
            .zip(&ids)
            .map(|(record, id)| Did {
                tenant: record.tenant.as_str(),
                at_ms: record.at_ms,
                id,
                user: record.user.as_str(),
                device: record.device.as_ref().map(DeviceId::as_str),
                connection: &record.connection,
                name: &record.what.name,
                data: &record.what.data,
            })
            .collect();
        let left_out = log.store_activity(&all).await?;
        metrics().records_dropped(Self::KIND, left_out);
        Ok(())
    }
}
