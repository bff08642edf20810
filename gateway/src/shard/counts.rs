//! What happened in a turn of a shard?

/// What happened in a turn, added to the metrics once.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) deliveries: u64,
    pub(crate) writes: u64,
    pub(crate) signals: u64,
    pub(crate) signal_writes: u64,
    pub(crate) received: u64,
    /// Acknowledgements.
    pub(crate) acks: u64,
    /// Messages to the shard.
    pub(crate) told: u64,
    pub(crate) presence: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}
