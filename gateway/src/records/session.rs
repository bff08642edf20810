//! What is stored of a connection?
//!
//! Who it is, where and how, from its welcome to its end, and why it ended.

use super::waiting::Record;
use crate::shard::ConnectionId;
use carillon_backplane::log::{GatewayRun, Log, LogError, SessionState};
use carillon_protocol::{ConnectionName, DeviceId, TenantId, UserId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Connections that are forgotten in one statement.
const SLICE: u32 = 2_000;

/// How connections of this run of the node are stored.
pub(crate) struct Keeping {
    pub(crate) run: GatewayRun,
    /// Whether it is kept from where they come.
    pub(crate) addresses: bool,
    /// Whether the database did not know of this run: all that is open is told again.
    pub(super) is_forgotten: AtomicBool,
    /// Whether there was no room for the end of a connection: it may be stored as open.
    lacks_ends: AtomicBool,
}

impl Keeping {
    pub(crate) fn new(run: GatewayRun, addresses: bool) -> Self {
        Self { run, addresses, is_forgotten: AtomicBool::new(false), lacks_ends: AtomicBool::new(false) }
    }

    /// There was no room for the end of a connection.
    pub(crate) fn end_was_dropped(&self) {
        self.lacks_ends.store(true, Ordering::Relaxed);
    }

    /// Once all that waited is written: if ends are missing, what is stored of this run's connections goes, and all that are open are
    /// told again.
    pub(super) async fn make_good(&self, log: &Log) -> Result<(), LogError> {
        if !self.lacks_ends.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        loop {
            match log.forget_connections(&self.run, SLICE).await {
                Ok(forgotten) if forgotten < u64::from(SLICE) => break,
                Ok(_) => {}
                Err(error) => {
                    self.end_was_dropped();
                    return Err(error);
                }
            }
        }
        self.is_forgotten.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Says that this run lives, though it has nothing to tell.
    pub(super) async fn beat(&self, log: &Log) -> Result<(), LogError> {
        let is_forgotten = log.store_sessions(&self.run, &[]).await?;
        self.is_forgotten.fetch_or(is_forgotten, Ordering::Relaxed);
        Ok(())
    }
}

/// What is known of a connection in one tenant.
pub(crate) struct SessionRecord {
    pub(crate) keeping: Arc<Keeping>,
    pub(crate) id: ConnectionId,
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionName,
    pub(crate) user: UserId,
    pub(crate) device: Option<DeviceId>,
    pub(crate) transport: &'static str,
    pub(crate) address: Option<Box<str>>,
    /// Milliseconds since 1970.
    pub(crate) opened_ms: u64,
    pub(crate) rtt_ms: Option<u32>,
    pub(crate) lost_pings: u32,
    /// The channels it is in, with U+001F between.
    pub(crate) channels: Box<str>,
    /// When it ended, and why.
    pub(crate) ended: Option<(u64, &'static str)>,
}

impl Record for SessionRecord {
    type Key = (TenantId, ConnectionId);
    const KIND: &'static str = "sessions";
    /// Some 60,000 connections in a handful of channels.
    const MOST_BYTES: usize = 64 << 20;
    const BATCH: usize = 2_000;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn key(&self) -> Self::Key {
        (self.tenant.clone(), self.id)
    }

    fn bytes(&self) -> usize {
        let names =
            3 * self.tenant.as_str().len() + self.connection.as_str().len() + self.user.as_str().len();
        // Its place in a map that has just doubled, its key there and in the row, allocations.
        2 * size_of::<Self>() + 400 + names + self.channels.len()
    }

    fn merge(&mut self, later: Self) {
        if self.ended.is_none() {
            let opened_ms = self.opened_ms;
            *self = Self { opened_ms, ..later };
        }
    }

    async fn store(log: &Log, records: &[Self]) -> Result<(), LogError> {
        let Some(keeping) = records.first().map(|record| &record.keeping) else { return Ok(()) };
        let states: Vec<SessionState<'_>> = records
            .iter()
            .map(|record| SessionState {
                tenant: record.tenant.as_str(),
                connection: record.connection.as_str(),
                user: record.user.as_str(),
                device: record.device.as_ref().map(DeviceId::as_str),
                transport: record.transport,
                address: record.address.as_deref(),
                opened_ms: record.opened_ms,
                rtt_ms: record.rtt_ms,
                lost_pings: record.lost_pings,
                channels: &record.channels,
                ended: record.ended,
            })
            .collect();
        let is_forgotten = log.store_sessions(&keeping.run, &states).await?;
        keeping.is_forgotten.fetch_or(is_forgotten, Ordering::Relaxed);
        Ok(())
    }
}
