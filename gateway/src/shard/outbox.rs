//! How do bytes reach a socket that may not take them?
//!
//! **Invariant I6.** What a connection may have waiting here is the rest of one frame (shared with every other
//! connection, not copied) and the answers to its own requests, which it pays for by not being read from. Events
//! never wait here: they wait in the log, and the connection's cursor says which.

use bytes::{Buf, Bytes};
use std::io::{ErrorKind, IoSlice, Write};

/// Answers waiting beyond which a connection is not read from.
pub(super) const FULL: usize = 16 * 1024;
/// Frames in one vectored write.
pub(super) const SLICES: usize = 64;

/// What a socket did with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// It took all.
    All,
    /// It takes no more for now; it took so many bytes before.
    Blocked(usize),
    /// It is of no use any more.
    Broken,
}

/// Bytes that must go out before anything else. Mostly there are none: a connection at rest pays for a pointer.
#[derive(Debug, Default)]
pub(super) struct Outbox(Option<Box<Waiting>>);

/// They go out in this order.
#[derive(Debug, Default)]
struct Waiting {
    /// The rest of a frame that was begun.
    rest: Bytes,
    /// Whole control frames and answers.
    control: Vec<u8>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.control.is_empty()
    }
}

impl Outbox {
    /// With these bytes to go first.
    pub(super) fn starting_with(bytes: &[u8]) -> Self {
        Self(Some(Box::new(Waiting { rest: Bytes::new(), control: bytes.to_vec() })))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|waiting| waiting.is_empty())
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.rest.len() + waiting.control.len())
    }

    /// Whether the client must take answers before it may ask more.
    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.control.len() >= FULL)
    }

    /// Where whole frames may be appended.
    pub(super) fn control(&mut self) -> &mut Vec<u8> {
        &mut self.0.get_or_insert_default().control
    }

    /// Keeps the rest of a frame of which some bytes were written.
    pub(super) fn begun(&mut self, rest: Bytes) {
        debug_assert!(self.is_empty(), "I2: a frame is begun only when nothing waits");
        self.0.get_or_insert_default().rest = rest;
    }

    /// Writes as much as the socket takes.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> Wrote {
        let Some(waiting) = &mut self.0 else { return Wrote::All };
        let mut total = 0;
        while !waiting.is_empty() {
            if waiting.rest.is_empty() {
                waiting.rest = Bytes::from(std::mem::take(&mut waiting.control));
            }
            match write(socket, &waiting.rest) {
                Wrote::All => {
                    total += waiting.rest.len();
                    waiting.rest = Bytes::new();
                }
                Wrote::Blocked(taken) => {
                    waiting.rest.advance(taken);
                    return Wrote::Blocked(total + taken);
                }
                Wrote::Broken => return Wrote::Broken,
            }
        }
        // With the last byte: a connection at rest owns no buffer.
        self.0 = None;
        Wrote::All
    }
}

/// Writes one piece.
pub(super) fn write(socket: &mut impl Write, bytes: &[u8]) -> Wrote {
    let mut taken = 0;
    while taken < bytes.len() {
        match socket.write(bytes.get(taken..).unwrap_or_default()) {
            Ok(0) => return Wrote::Broken,
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Wrote::Blocked(taken),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Wrote::Broken,
        }
    }
    Wrote::All
}

/// Bytes in all pieces together.
pub(super) fn length(slices: &[IoSlice<'_>]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
}

/// Writes up to [`SLICES`] pieces in one go.
pub(super) fn write_vectored(socket: &mut impl Write, slices: &[IoSlice<'_>]) -> Wrote {
    if let [only] = slices {
        return write(socket, only);
    }
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    loop {
        match socket.write_vectored(slices) {
            Ok(0) if total > 0 => return Wrote::Broken,
            // A short write means the socket's buffer is full: asking again would only hear so.
            Ok(n) if n < total => return Wrote::Blocked(n),
            Ok(_) => return Wrote::All,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Wrote::Blocked(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Wrote::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then blocks.
    struct Narrow(usize, Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let n = bytes.len().min(self.0);
            if n == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.0 -= n;
            self.1.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_has_nothing_waiting_pays_for_a_pointer() {
        assert_eq!(size_of::<Outbox>(), 8);
        assert!(Outbox::default().is_empty());
    }

    #[test]
    fn the_rest_of_a_frame_goes_before_answers_wherever_it_was_cut() {
        for cut in 0..=12 {
            let mut outbox = Outbox::default();
            outbox.begun(Bytes::from_static(b"frame!"));
            outbox.control().extend_from_slice(b"answer");
            let mut socket = Narrow(cut, Vec::new());
            let wrote = outbox.flush(&mut socket);
            assert_eq!(wrote, if cut == 12 { Wrote::All } else { Wrote::Blocked(cut) });
            socket.0 = 100;
            assert_eq!(outbox.flush(&mut socket), Wrote::All);
            assert_eq!(socket.1, b"frame!answer");
            assert!(outbox.is_empty() && outbox.0.is_none(), "nothing is kept of what was written");
        }
    }
}
