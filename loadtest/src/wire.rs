//! How are the frames of a WebSocket found in a stream of bytes, with no memory for a connection that rests?
//!
//! Client side of RFC 6455, as much as a load test needs: whole unmasked server frames in, small masked frames out. No I/O.

/// A server that sends more in one frame is broken.
const LARGEST_FRAME: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A JSON frame of the contract.
    Text,
    /// The same, compressed (RFC 7692); only where that was agreed to.
    Compressed,
    /// To be answered with a pong.
    Ping,
    /// Says nothing.
    Pong,
    /// The end, with a close code.
    Close,
}

/// The stream is not what a Carillon gateway sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireFault {
    /// Not the last fragment, or the continuation of one.
    #[error("a fragmented message")]
    Fragment,
    /// A reserved bit or opcode, a binary message, or a mask.
    #[error("a frame no gateway sends (first bytes {0:#04x} {1:#04x})")]
    Foreign(u8, u8),
    /// Larger than any event can be.
    #[error("a frame of more than 1 MiB")]
    TooLarge,
}

/// Finds frames in the bytes of one connection; owns memory only while a frame is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    partial: Vec<u8>,
    /// Whether the handshake allows compressed frames.
    compressed: bool,
}

impl Inbox {
    /// For a connection whose handshake agreed to compression, or did not.
    pub(crate) fn new(compressed: bool) -> Self {
        Self { partial: Vec::new(), compressed }
    }

    /// Takes bytes as they came and hands each complete frame to `each`.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Kind, &[u8])) -> Result<(), WireFault> {
        if self.partial.is_empty() {
            let used = scan(bytes, self.compressed, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let used = scan(&self.partial, self.compressed, &mut each)?;
        if used == self.partial.len() {
            self.partial = Vec::new();
        } else {
            self.partial.drain(..used);
        }
        Ok(())
    }
}

/// Hands out every complete frame and returns how many bytes they took.
fn scan(bytes: &[u8], compressed: bool, each: &mut impl FnMut(Kind, &[u8])) -> Result<usize, WireFault> {
    let mut at = 0;
    while let Some((kind, head, length)) = header(&bytes[at..], compressed)? {
        let Some(payload) = bytes.get(at + head..at + head + length) else { break };
        each(kind, payload);
        at += head + length;
    }
    Ok(at)
}

/// Kind, length of the header and length of the payload; none when the header is incomplete.
fn header(bytes: &[u8], compressed: bool) -> Result<Option<(Kind, usize, usize)>, WireFault> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let kind = match first {
        0x81 => Kind::Text,
        0xc1 if compressed => Kind::Compressed,
        0x88 => Kind::Close,
        0x89 => Kind::Ping,
        0x8a => Kind::Pong,
        0x00 | 0x01 | 0x80 => return Err(WireFault::Fragment),
        _ => return Err(WireFault::Foreign(first, second)),
    };
    let (head, length) = match (second, rest) {
        (0..=125, _) => (2, u64::from(second)),
        (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        (126 | 127, _) => return Ok(None),
        _ => return Err(WireFault::Foreign(first, second)),
    };
    match usize::try_from(length) {
        Ok(length) if length <= LARGEST_FRAME => Ok(Some((kind, head, length))),
        _ => Err(WireFault::TooLarge),
    }
}

/// A pong with this payload (at most 125 bytes). The mask is zero: it protects proxies, and here is none.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(125)];
    // At most 125, so it fits.
    let mut frame = vec![0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

/// A client's text frame. The mask is zero, as that of [`pong`].
pub(crate) fn client_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = server_text(payload);
    let head = frame.len() - payload.len();
    frame[1] |= 0x80;
    frame.splice(head..head, [0; 4]);
    frame
}

/// A close frame that says 1000.
pub(crate) const BYE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// The close code in a close frame; 1005 when there is none.
pub(crate) fn close_code(payload: &[u8]) -> u16 {
    if let &[a, b, ..] = payload { u16::from_be_bytes([a, b]) } else { 1005 }
}

/// A server's text frame: what the bare writer of the floor sends.
pub(crate) fn server_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(payload.len()) {
        // At most 125, so it fits.
        Ok(short) if short < 126 => frame.push(short as u8),
        Ok(length) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::{Message, Role, WebSocket};

    use super::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<(Kind, Vec<u8>)>, WireFault> {
        let (mut inbox, mut seen) = (Inbox::default(), Vec::new());
        for chunk in chunks {
            inbox.feed(chunk, |kind, payload| seen.push((kind, payload.to_vec())))?;
        }
        assert!(
            inbox.partial.is_empty() && inbox.partial.capacity() == 0,
            "a resting connection owns no memory"
        );
        Ok(seen)
    }

    /// What another implementation writes as a server.
    fn written(messages: &[Message]) -> Vec<u8> {
        let mut server = WebSocket::from_raw_socket(std::io::Cursor::new(Vec::new()), Role::Server, None);
        for message in messages {
            server.send(message.clone()).unwrap();
        }
        server.get_ref().get_ref().clone()
    }

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let texts = [0, 1, 125, 126, 300, 65_535, 65_536, 70_000].map(|n| "x".repeat(n));
        let mut messages: Vec<Message> = texts[..5].iter().map(Message::text).collect();
        messages.push(Message::Ping(vec![1, 2].into()));
        let stream = written(&messages);
        let whole = read(&[&stream]).unwrap();
        assert_eq!(whole.len(), 6);
        assert_eq!(whole[5], (Kind::Ping, vec![1, 2]));
        for at in 0..=stream.len() {
            let (a, b) = stream.split_at(at);
            assert_eq!(read(&[a, b]).unwrap(), whole, "cut at {at}");
        }
        for text in &texts {
            let ours = server_text(text.as_bytes());
            assert_eq!(ours, written(&[Message::text(text)]));
            assert_eq!(read(&[&ours]).unwrap(), [(Kind::Text, text.as_bytes().to_vec())]);
        }
    }

    #[test]
    fn what_no_gateway_sends_is_a_fault() {
        assert_eq!(read(&[&[0x01, 0]]), Err(WireFault::Fragment));
        assert_eq!(read(&[&[0x80, 0]]), Err(WireFault::Fragment));
        assert_eq!(read(&[&[0xc1, 0]]), Err(WireFault::Foreign(0xc1, 0)));
        assert_eq!(read(&[&[0x82, 0]]), Err(WireFault::Foreign(0x82, 0)));
        assert_eq!(read(&[&[0x81, 0x80, 0, 0, 0, 0]]), Err(WireFault::Foreign(0x81, 0x80)));
        assert_eq!(read(&[&[0x81, 127, 0, 0, 0, 0, 0, 16, 0, 1]]), Err(WireFault::TooLarge));
    }

    #[test]
    fn compressed_frames_are_found_where_they_were_agreed_to() {
        let (mut inbox, mut seen) = (Inbox::new(true), Vec::new());
        for chunk in [&[0xc1, 2, 7][..], &[8, 0x81, 1, 9]] {
            inbox.feed(chunk, |kind, payload| seen.push((kind, payload.to_vec()))).unwrap();
        }
        assert_eq!(seen, [(Kind::Compressed, vec![7, 8]), (Kind::Text, vec![9])]);
        let control = inbox.feed(&[0xc9, 0], |_, _| {});
        assert_eq!(control, Err(WireFault::Foreign(0xc9, 0)), "control frames are never compressed");
    }

    #[test]
    fn our_frames_are_understood_by_another_implementation() {
        let mut bytes = pong(b"abc");
        let texts = [3, 125, 126, 70_000].map(|length| "x".repeat(length));
        texts.iter().for_each(|text| bytes.extend_from_slice(&client_text(text.as_bytes())));
        bytes.extend_from_slice(&BYE);
        let mut server = WebSocket::from_raw_socket(std::io::Cursor::new(bytes), Role::Server, None);
        assert_eq!(server.read().unwrap(), Message::Pong(b"abc".to_vec().into()));
        texts.iter().for_each(|text| assert_eq!(server.read().unwrap(), Message::text(text)));
        assert!(
            matches!(server.read().unwrap(), Message::Close(Some(frame)) if u16::from(frame.code) == 1000)
        );
        assert_eq!((close_code(&[0x11, 0x94]), close_code(&[])), (4500, 1005));
    }
}
