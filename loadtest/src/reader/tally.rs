//! What did the connections of one thread see, and which of it was wrong?

use super::Seat;
use crate::failure::Failure;
use crate::glance::{Glance, glance};
use crate::inflate::Inflater;
use crate::latency::Latency;

/// Faults that are told in words.
const TOLD: usize = 10;
/// Arrivals one thread remembers for `ack to socket`.
const SAMPLES: usize = 500_000;

/// When one event arrived at a sampled connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Index of the tenant.
    pub(crate) tenant: u32,
    /// The event.
    pub(crate) seq: u64,
    /// The monotonic clock.
    pub(crate) at_ns: u64,
}

/// What the connections of one thread saw.
pub(crate) struct Tally {
    /// From the stamp in the event to the socket.
    pub(crate) latency: Latency,
    /// Bytes of the events' JSON, uncompressed and without the WebSocket headers.
    pub(crate) bytes: u64,
    /// Bytes that were read from the sockets after the `welcome`: every frame with its header, as it came.
    pub(crate) read: u64,
    /// Events that came compressed.
    pub(crate) compressed: u64,
    /// What was wrong, how often.
    pub(crate) faults: u64,
    /// The first faults in words.
    pub(crate) told: Vec<String>,
    /// When events arrived at sampled connections.
    pub(crate) arrivals: Vec<Arrival>,
    /// Connections that ended before they were told to.
    pub(crate) ended: u64,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Failure> {
        let (told, arrivals) = (Vec::new(), Vec::new());
        let (bytes, read, compressed, faults, ended) = (0, 0, 0, 0, 0);
        Ok(Self { latency: Latency::new()?, bytes, read, compressed, faults, told, arrivals, ended })
    }

    pub(super) fn fault(&mut self, seat: &Seat, what: impl FnOnce() -> String) {
        self.faults += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("connection {}: {}", seat.number, what()));
        }
    }

    pub(super) fn merge(&mut self, mut other: Self) {
        self.latency.merge(&other.latency);
        self.bytes += other.bytes;
        self.read += other.read;
        self.compressed += other.compressed;
        self.arrivals.append(&mut other.arrivals);
        self.merge_faults(other);
    }

    /// Takes over only what was wrong.
    pub(crate) fn merge_faults(&mut self, other: Self) {
        self.faults += other.faults;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
        self.ended += other.ended;
    }
}

/// Judges the frames of one read of one connection.
pub(super) struct Judge<'a> {
    pub(super) tally: &'a mut Tally,
    pub(super) inflater: &'a mut Inflater,
    pub(super) seat: &'a Seat,
    pub(super) cursor: &'a mut u64,
    /// When they were read.
    pub(super) now: u64,
}

impl Judge<'_> {
    /// 1 when it is an event, right or wrong.
    pub(super) fn text(&mut self, text: &[u8]) -> u64 {
        check(self.tally, self.seat, self.cursor, text, self.now)
    }

    /// The same for a compressed frame; one that cannot be read is a fault.
    pub(super) fn compressed(&mut self, payload: &[u8]) -> u64 {
        match self.inflater.text(payload) {
            Ok(text) => {
                let events = check(self.tally, self.seat, self.cursor, text, self.now);
                self.tally.compressed += events;
                events
            }
            Err(fault) => {
                self.tally.fault(self.seat, || fault.to_string());
                0
            }
        }
    }
}

/// Judges one frame; 1 when it is an event, which counts as a delivery even if its seq is wrong.
pub(super) fn check(tally: &mut Tally, seat: &Seat, cursor: &mut u64, text: &[u8], now: u64) -> u64 {
    let (seq, stamp) = match glance(text) {
        Glance::Event { seq, stamp } => (seq, stamp),
        Glance::Quiet => return 0,
        Glance::Reset { seq, reason, .. } => {
            tally.fault(seat, || format!("reset ({reason}) to {seq}"));
            return 0;
        }
        Glance::Other(what) => {
            tally.fault(seat, || format!("an unexpected frame: {what}"));
            return 0;
        }
    };
    if seq != *cursor + 1 {
        tally.fault(seat, || format!("seq {seq} after {cursor}"));
    }
    *cursor = seq.max(*cursor);
    tally.bytes += text.len() as u64;
    match stamp {
        Some(stamp) => tally.latency.between(stamp, now),
        None => tally.fault(seat, || format!("seq {seq} is not from this run")),
    }
    if seat.sampled && tally.arrivals.len() < SAMPLES {
        tally.arrivals.push(Arrival { tenant: seat.tenant, seq, at_ns: now });
    }
    1
}
