//! What do all parts of a shard use while they work?

use super::allowance::FrameRate;
use super::counts::Counts;
use super::rests::Rests;
use super::stuck::StuckCursors;
use super::world::World;
use crate::limits::Limits;
use crate::live::Rates;
use crate::records::Records;
use crate::relay::Relays;
use crate::ws::deflate::Deflater;
use carillon_platform::telemetry::Traces;
use carillon_protocol::connection::Incarnation;
use std::sync::Arc;

/// How connections are treated.
#[derive(Clone)]
pub(crate) struct ShardConfig {
    /// This run of the node: part of every connection's name.
    pub(crate) run: Arc<Incarnation>,
    pub(crate) heartbeat_ms: u64,
    pub(crate) stall_ms: u64,
    /// How many shards the node has.
    pub(crate) shards: usize,
    pub(crate) frame_rate: FrameRate,
    pub(crate) traces: Traces,
    pub(crate) stuck: StuckCursors,
    pub(crate) rates: Rates,
    /// What tenants may have and do.
    pub(crate) limits: Limits,
    /// What clients publish into the log and has no end yet.
    pub(crate) relays: Relays,
    /// What is stored about clients.
    pub(crate) records: Records,
}

/// The world, the limits, the time of this turn, and what it counts.
pub(super) struct Context<W: World> {
    pub(super) world: W,
    pub(super) shard: u16,
    pub(super) config: ShardConfig,
    /// Milliseconds since the shard began, read once a turn.
    pub(super) now_ms: u64,
    /// Milliseconds since 1970 then.
    pub(super) unix_ms: u64,
    pub(super) counts: Counts,
    pub(super) rests: Rests,
    /// Compresses events, for all connections; there once an event was worth it.
    pub(super) deflater: Option<Deflater>,
}

impl<W: World> Context<W> {
    pub(super) fn new(world: W, shard: u16, config: ShardConfig) -> Self {
        Self {
            world,
            shard,
            config,
            now_ms: 0,
            unix_ms: 0,
            counts: Counts::default(),
            rests: Rests::default(),
            deflater: None,
        }
    }

    /// Seconds since 1970.
    pub(super) fn unix_s(&self) -> u64 {
        self.world.unix_us() / 1_000_000
    }

    /// Reads the clock for a turn.
    pub(super) fn begin_turn(&mut self) {
        self.now_ms = self.world.now_us() / 1_000;
        self.unix_ms = self.world.unix_us() / 1_000;
    }
}
