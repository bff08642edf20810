//! What is stored of a device?
//!
//! How far it is, and which channels it is in. Several connections may say so of one device, in any order: the furthest counts.

use super::waiting::Record;
use carillon_backplane::log::{DeviceState, Log, LogError};
use carillon_protocol::{DeviceId, Epoch, Seq, TenantId, UserId};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which device.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceKey {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRecord {
    pub(crate) key: Arc<DeviceKey>,
    /// In which generation of the node's stream the cursors count: the later one is right.
    pub(crate) generation: u32,
    pub(crate) epoch: Epoch,
    /// Everything for it up to here has reached it.
    pub(crate) delivered: Seq,
    /// Everything up to here it has handled.
    pub(crate) acked: Seq,
    /// When it came to have handled that, in milliseconds since 1970; none: that is not told, or was before.
    pub(crate) acked_ms: Option<u64>,
    /// Milliseconds since 1970, by this machine's clock.
    pub(crate) first_ms: u64,
    pub(crate) seen_ms: u64,
    /// The channels it is in, with U+001F between; none: as they were.
    pub(crate) channels: Option<Box<str>>,
}

impl Record for DeviceRecord {
    type Key = Arc<DeviceKey>;
    const KIND: &'static str = "devices";
    /// Some 100,000 devices in a handful of channels.
    const MOST_BYTES: usize = 64 << 20;
    /// Some 20 ms of Postgres. Shards hand on half as many a second of devices that go on, and all that leave.
    const BATCH: usize = 2_000;

    fn tenant(&self) -> &TenantId {
        &self.key.tenant
    }

    fn key(&self) -> Arc<DeviceKey> {
        self.key.clone()
    }

    fn bytes(&self) -> usize {
        let DeviceKey { tenant, user, device } = &*self.key;
        let names = tenant.as_str().len() + user.as_str().len() + device.as_str().len();
        // Its place in the map twice, for a map that has just doubled; its key in the row; allocations.
        2 * size_of::<Self>() + 200 + names + self.channels.as_ref().map_or(0, |channels| channels.len())
    }

    fn merge(&mut self, later: Self) {
        self.first_ms = self.first_ms.min(later.first_ms);
        self.seen_ms = self.seen_ms.max(later.seen_ms);
        if later.channels.is_some() {
            self.channels = later.channels;
        }
        if later.generation > self.generation {
            (self.generation, self.epoch) = (later.generation, later.epoch);
            (self.delivered, self.acked, self.acked_ms) = (later.delivered, later.acked, later.acked_ms);
        } else if later.generation == self.generation {
            self.delivered = self.delivered.max(later.delivered);
            if later.acked > self.acked {
                (self.acked, self.acked_ms) = (later.acked, later.acked_ms);
            } else if later.acked == self.acked {
                self.acked_ms = self.acked_ms.or(later.acked_ms);
            }
        }
    }

    async fn store(log: &Log, records: &[Self]) -> Result<(), LogError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ago = |ms: u64| (now.as_millis() as u64).saturating_sub(ms);
        let states: Vec<DeviceState<'_>> = records
            .iter()
            .map(|record| DeviceState {
                tenant: record.key.tenant.as_str(),
                user: record.key.user.as_str(),
                device: record.key.device.as_str(),
                epoch: record.epoch.as_str(),
                delivered: record.delivered,
                acked: record.acked,
                handled_ms: record.acked_ms.map(ago),
                first_ms: ago(record.first_ms),
                seen_ms: ago(record.seen_ms),
                channels: record.channels.as_deref(),
            })
            .collect();
        log.store_devices(&states).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    fn record(generation: u32, delivered: u64, acked: u64) -> DeviceRecord {
        let key = DeviceKey {
            tenant: TenantId::new("acme").unwrap(),
            user: UserId::new("mila").unwrap(),
            device: DeviceId::new("phone").unwrap(),
        };
        DeviceRecord {
            key: Arc::new(key),
            generation,
            epoch: Epoch::new(format!("e{generation}")).unwrap(),
            delivered: Seq(delivered),
            acked: Seq(acked),
            acked_ms: Some(acked),
            first_ms: delivered,
            seen_ms: acked,
            channels: None,
        }
    }

    proptest! {
        /// The furthest of the newest generation, whatever the order in which it was noted.
        #[test]
        fn a_device_only_moves_forwards_whatever_the_order(
            notes in proptest::collection::vec((0..3u32, 0..1_000u64, 0..1_000u64), 1..20),
            order in subsequence((0..20usize).collect::<Vec<_>>(), 20).prop_shuffle(),
        ) {
            let merged = |order: &mut dyn Iterator<Item = usize>| {
                let mut records = order.filter_map(|index| notes.get(index)).map(|(g, d, a)| record(*g, *d, *a));
                let mut all = records.next().unwrap();
                let mut before = all.clone();
                for later in records {
                    all.merge(later);
                    assert!(all.generation >= before.generation);
                    if all.generation == before.generation {
                        assert!(all.acked >= before.acked && all.delivered >= before.delivered);
                    }
                    before = all.clone();
                }
                all
            };
            let in_order = merged(&mut (0..20));
            prop_assert_eq!(&merged(&mut order.into_iter()), &in_order);
            let newest = notes.iter().map(|note| note.0).max().unwrap();
            let furthest = notes.iter().filter(|note| note.0 == newest).map(|note| note.2).max().unwrap();
            prop_assert_eq!((in_order.generation, in_order.acked), (newest, Seq(furthest)));
            prop_assert_eq!(in_order.acked_ms, Some(furthest), "of the furthest");
        }
    }
}
