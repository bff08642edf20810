//! How large and how long is each measure?

/// Sizes and times of one run of the suite. Times in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Turns of Carillon and floor in B1 and B2, of plain and compressed in C1, of both ways in P1 and P2; the medians count.
    pub(super) rounds: usize,
    /// Each turn of B1 and P1.
    pub(super) single_seconds: u32,
    /// Each turn of B2.
    pub(super) coalesced_seconds: u32,
    /// B3: connections at rest, ascending.
    pub(super) resting: &'static [u32],
    /// B3: how long they rest before they are weighed.
    pub(super) rest_seconds: u32,
    /// B4: each trial on the way to the maximum.
    pub(super) trial_seconds: u32,
    /// B4: each load level.
    pub(super) level_seconds: u32,
    /// B5: each shape of requests.
    pub(super) durable_seconds: u32,
    /// B5: each shape of the bare statement.
    pub(super) statement_seconds: u32,
    /// B6: each of the four measurements of `connect`.
    pub(super) connect_seconds: u32,
    /// B8, B9, P3 and P5: clients that come and go, lose their node, come at once, or acknowledge.
    pub(super) clients: u32,
    /// P4: people in the channel.
    pub(super) watched: u32,
    /// B8: how long they come and go.
    pub(super) jitter_seconds: u32,
    /// B9: how long to publish after the kill.
    pub(super) after_kill_seconds: u32,
    /// B7: turns of Carillon and floor; P3 and P5: of both ways.
    pub(super) growth_rounds: usize,
    /// B7 and C1: each turn.
    pub(super) growth_seconds: u32,
    /// B7: numbers of sockets.
    pub(super) sockets: &'static [u32],
    /// B7: numbers of tenants a node follows.
    pub(super) tenants: &'static [u32],
    /// N1: people, notices, and marks of people that depart from how far they have read.
    pub(super) inboxes: (u32, u32, u32),
    /// N1: each kind of request.
    pub(super) inbox_seconds: u32,
    /// N2: messages.
    pub(super) webhook_events: u32,
    /// N3: events.
    pub(super) outbox_events: u32,
    /// N4: lines of a day, in MiB.
    pub(super) archive_mebibytes: u32,
}

impl Plan {
    /// Some twenty minutes.
    pub(super) const FULL: Self = Self {
        rounds: 3,
        single_seconds: 10,
        coalesced_seconds: 8,
        resting: &[1_000, 5_000, 14_000],
        rest_seconds: 5,
        trial_seconds: 4,
        level_seconds: 15,
        durable_seconds: 8,
        statement_seconds: 4,
        connect_seconds: 8,
        clients: 10_000,
        watched: 100_000,
        jitter_seconds: 120,
        after_kill_seconds: 20,
        growth_rounds: 2,
        growth_seconds: 8,
        sockets: &[100, 1_000, 5_000, 14_000],
        tenants: &[1, 100, 5_000],
        inboxes: (1_000_000, 100_000, 1_000_000),
        inbox_seconds: 10,
        webhook_events: 60_000,
        outbox_events: 100_000,
        archive_mebibytes: 512,
    };

    /// A few minutes.
    pub(super) const QUICK: Self = Self {
        rounds: 1,
        single_seconds: 5,
        coalesced_seconds: 4,
        resting: &[1_000, 5_000, 14_000],
        rest_seconds: 1,
        trial_seconds: 2,
        level_seconds: 4,
        durable_seconds: 3,
        statement_seconds: 2,
        connect_seconds: 2,
        clients: 4_000,
        watched: 20_000,
        jitter_seconds: 20,
        after_kill_seconds: 10,
        growth_rounds: 1,
        growth_seconds: 3,
        sockets: &[100, 1_000, 5_000],
        tenants: &[1, 100, 5_000],
        inboxes: (100_000, 10_000, 100_000),
        inbox_seconds: 4,
        webhook_events: 20_000,
        outbox_events: 30_000,
        archive_mebibytes: 64,
    };
}
