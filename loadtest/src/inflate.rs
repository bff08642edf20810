//! How does a reader understand compressed events without inflating each one once for every connection?
//!
//! No message depends on another (RFC 7692, no context takeover), so one event is the same bytes on every socket. The last
//! few are remembered: recognising them costs one comparison, and the load test disturbs its servers no more than it
//! does when it reads plain frames.

use flate2::{Decompress, FlushDecompress, Status};

/// Payloads that are remembered: more than a gateway has under way to the connections of one thread at once.
const REMEMBERED: usize = 64;
/// A message that is larger inflated is larger than any event can be.
const LARGEST: usize = 1 << 20;
/// What a sender cuts off (section 7.2.1), and an empty last block: a message that is whole ends with it.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// A compressed frame cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateFault {
    /// Not deflate data, or it ends within a block.
    #[error("a compressed frame that is no deflate data")]
    Malformed,
    /// Larger than any event can be.
    #[error("a compressed frame of more than 1 MiB")]
    TooLarge,
}

/// Inflates the messages of all connections of a thread.
#[derive(Debug)]
pub(crate) struct Inflater {
    state: Decompress,
    /// A ring: the one at `oldest` is forgotten next.
    seen: Vec<Seen>,
    oldest: usize,
    /// Where the next message probably is: all connections get the same ones in the same order.
    likely: usize,
    input: Vec<u8>,
}

#[derive(Debug, Default)]
struct Seen {
    payload: Vec<u8>,
    text: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        let (seen, oldest, likely, input) = (Vec::new(), 0, 0, Vec::new());
        Self { state: Decompress::new(false), seen, oldest, likely, input }
    }
}

impl Inflater {
    /// The message in a compressed payload.
    pub(crate) fn text(&mut self, payload: &[u8]) -> Result<&[u8], InflateFault> {
        let found = self.find(payload);
        let at = match found {
            Some(at) => at,
            None => self.remember(payload)?,
        };
        self.likely = at + 1;
        Ok(&self.seen[at].text)
    }

    fn find(&self, payload: &[u8]) -> Option<usize> {
        let count = self.seen.len();
        let mut places = (0..count).map(|offset| (self.likely + offset) % count);
        places.find(|at| self.seen[*at].payload == payload)
    }

    /// Inflates a payload into the place of the oldest and says which that is.
    fn remember(&mut self, payload: &[u8]) -> Result<usize, InflateFault> {
        let mut text = Vec::with_capacity(payload.len() * 4 + 64);
        self.inflate(payload, &mut text)?;
        let seen = Seen { payload: payload.to_vec(), text };
        let at = self.oldest;
        if at == self.seen.len() {
            self.seen.push(seen);
        } else {
            self.seen[at] = seen;
        }
        self.oldest = (at + 1) % REMEMBERED;
        Ok(at)
    }

    fn inflate(&mut self, payload: &[u8], text: &mut Vec<u8>) -> Result<(), InflateFault> {
        self.input.clear();
        self.input.extend_from_slice(payload);
        self.input.extend_from_slice(&END);
        self.state.reset(false);
        loop {
            // Never more than the input, which is in memory.
            let rest = &self.input[self.state.total_in() as usize..];
            let status = self.state.decompress_vec(rest, text, FlushDecompress::None);
            match status.map_err(|_| InflateFault::Malformed)? {
                _ if text.len() > LARGEST => return Err(InflateFault::TooLarge),
                // A message with a last block of its own leaves ours unread, and is none that a gateway sends.
                Status::StreamEnd if self.state.total_in() == self.input.len() as u64 => return Ok(()),
                Status::StreamEnd => return Err(InflateFault::Malformed),
                Status::Ok | Status::BufError if text.len() == text.capacity() => text.reserve(text.len()),
                Status::Ok | Status::BufError => return Err(InflateFault::Malformed),
            }
        }
    }
}

/// What a gateway sends for a message.
#[cfg(test)]
pub(crate) fn deflated(message: &[u8]) -> Vec<u8> {
    use flate2::{Compress, Compression, FlushCompress};
    let mut payload = Vec::with_capacity(message.len() + 128);
    let mut state = Compress::new(Compression::new(6), false);
    let done = state.compress_vec(message, &mut payload, FlushCompress::Sync);
    assert!(done.is_ok_and(|_| state.total_in() == message.len() as u64), "room for all of it");
    payload.strip_suffix(&END[..4]).map(<[u8]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_inflated_once_however_often_it_comes() {
        let messages: Vec<Vec<u8>> = (0..20).map(|n| format!("event {n} ").repeat(50).into_bytes()).collect();
        let payloads: Vec<Vec<u8>> = messages.iter().map(|message| deflated(message)).collect();
        let mut inflater = Inflater::default();
        for _ in 0..3 {
            for (message, payload) in messages.iter().zip(&payloads) {
                assert_eq!(inflater.text(payload), Ok(message.as_slice()));
            }
        }
        assert_eq!(inflater.seen.len(), 20);
    }

    #[test]
    fn only_the_last_messages_are_remembered() {
        let mut inflater = Inflater::default();
        for n in 0..3 * REMEMBERED {
            let message = format!("message {n}");
            assert_eq!(inflater.text(&deflated(message.as_bytes())), Ok(message.as_bytes()));
        }
        assert_eq!(inflater.seen.len(), REMEMBERED);
        assert!(inflater.find(&deflated(b"message 0")).is_none());
        assert!(inflater.find(&deflated(format!("message {}", 2 * REMEMBERED).as_bytes())).is_some());
        assert_eq!(inflater.text(&deflated(b"message 0")), Ok(&b"message 0"[..]), "forgotten, not lost");
    }

    #[test]
    fn a_message_may_grow_a_thousandfold_and_no_further_than_an_event() {
        let mut inflater = Inflater::default();
        let large = vec![b'x'; LARGEST];
        assert_eq!(inflater.text(&deflated(&large)), Ok(large.as_slice()));
        let too_large = deflated(&vec![b'x'; LARGEST * 4]);
        assert_eq!(inflater.text(&too_large), Err(InflateFault::TooLarge));
    }

    #[test]
    fn what_is_cut_or_no_deflate_data_is_a_fault() {
        let mut inflater = Inflater::default();
        let payload = deflated("an event with some text ".repeat(9).as_bytes());
        for length in 1..payload.len() - 1 {
            assert_eq!(inflater.text(&payload[..length]), Err(InflateFault::Malformed), "{length} bytes");
        }
        assert_eq!(inflater.text(&[0xff, 0xff]), Err(InflateFault::Malformed));
        // A last block of the sender's own.
        assert_eq!(inflater.text(&[1, 0, 0, 0xff, 0xff]), Err(InflateFault::Malformed));
        assert!(inflater.seen.is_empty());
        assert!(inflater.text(&payload).is_ok(), "a fault leaves nothing behind");
    }
}
