//! Which measures are curves, and what are their points?

use serde::Serialize;

/// Everything that is drawn as a curve; empty where it was not measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Curves {
    /// B3, by connections.
    pub(super) resting: Vec<Resting>,
    /// B4, by load.
    pub(super) levels: Vec<Level>,
    /// B7, by sockets.
    pub(super) sockets: Vec<Growth>,
    /// B7, by tenants.
    pub(super) tenants: Vec<Growth>,
    /// R1, by subscribers.
    pub(super) announcements: Vec<Announcement>,
}

/// CPU of Redis for one announcement.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Announcement {
    /// Gateways that follow the tenant.
    pub(super) subscribers: u32,
    pub(super) redis_us: f64,
}

/// CPU per delivery at one size.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Growth {
    /// How many sockets, or tenants.
    pub(super) size: u32,
    /// The bare loop.
    pub(super) floor_us: f64,
    /// The gateway.
    pub(super) carillon_us: f64,
    /// Whether the gateway wrote several frames at once, which makes it look cheaper than it is.
    pub(super) flattered: bool,
}

/// What one connection at rest costs, at one number of them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Resting {
    pub(super) connections: u32,
    pub(super) resident_bytes: f64,
    /// Of these.
    pub(super) heap_bytes: f64,
    /// On top of these, for each socket.
    pub(super) kernel_bytes: f64,
}

/// Latency from acknowledgement to socket at one load.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Level {
    /// Of the highest rate; 0 when nothing was to do.
    pub(super) percent: u32,
    pub(super) events_per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
}
