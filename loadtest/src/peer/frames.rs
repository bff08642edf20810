//! How are the messages of any WebSocket server found in a stream of bytes?
//!
//! The client side of RFC 6455, as `wire` has it for our own gateways, but with what others send too: binary messages.
//! Whole messages only; none of the peers fragments. A connection that rests owns no memory. No I/O.

/// A server that sends more in one frame is broken.
const LARGEST_FRAME: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message, text or binary.
    Message,
    /// To be answered with a pong.
    Ping,
    /// Says nothing.
    Pong,
    /// The end.
    Close,
}

/// Finds frames in the bytes of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    partial: Vec<u8>,
}

impl Frames {
    /// Takes bytes as they came and hands each complete frame to `each`; its error ends the connection.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Frame, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.partial.is_empty() {
            let used = scan(bytes, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let used = scan(&self.partial, &mut each)?;
        match used == self.partial.len() {
            true => self.partial = Vec::new(),
            false => drop(self.partial.drain(..used)),
        }
        Ok(())
    }
}

/// Hands out every complete frame and returns how many bytes they took.
fn scan(bytes: &[u8], each: &mut impl FnMut(Frame, &[u8]) -> Result<(), String>) -> Result<usize, String> {
    let mut at = 0;
    while let Some((frame, head, length)) = header(&bytes[at..])? {
        let Some(payload) = bytes.get(at + head..at + head + length) else { break };
        each(frame, payload)?;
        at += head + length;
    }
    Ok(at)
}

/// Kind, length of the header and length of the payload; none when the header is incomplete.
fn header(bytes: &[u8]) -> Result<Option<(Frame, usize, usize)>, String> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let frame = match first {
        0x81 | 0x82 => Frame::Message,
        0x88 => Frame::Close,
        0x89 => Frame::Ping,
        0x8a => Frame::Pong,
        _ => return Err(format!("a frame that begins with {first:#04x}: a fragment or an extension")),
    };
    let (head, length) = match (second, rest) {
        (0..=125, _) => (2, u64::from(second)),
        (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        (126 | 127, _) => return Ok(None),
        _ => return Err("a masked frame from a server".into()),
    };
    match usize::try_from(length) {
        Ok(length) if length <= LARGEST_FRAME => Ok(Some((frame, head, length))),
        _ => Err("a frame of more than 1 MiB".into()),
    }
}

/// Opcode of a text message.
pub(super) const TEXT: u8 = 1;
/// Opcode of a binary message.
pub(super) const BINARY: u8 = 2;
/// Opcode of a pong.
pub(super) const PONG: u8 = 10;
/// A close frame that says 1000.
pub(super) const BYE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// A client's frame of at most 65,535 bytes; what is longer is cut off. The mask is zero: it protects proxies, here is none.
pub(super) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(u16::MAX.into())];
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length @ ..=125) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            // At most so many, so it fits.
            frame.extend((payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::{Message, Role, WebSocket};

    use super::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<(Frame, Vec<u8>)>, String> {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for chunk in chunks {
            frames.feed(chunk, |frame, payload| {
                seen.push((frame, payload.to_vec()));
                Ok(())
            })?;
        }
        assert_eq!(frames.partial.capacity(), 0, "a resting connection owns no memory");
        Ok(seen)
    }

    #[test]
    fn messages_of_another_implementation_are_found_wherever_the_stream_is_cut() {
        let mut server = WebSocket::from_raw_socket(std::io::Cursor::new(Vec::new()), Role::Server, None);
        let long = "x".repeat(70_000);
        let sent = [
            Message::text("a"),
            Message::binary(vec![7; 300]),
            Message::Ping(vec![1].into()),
            Message::text(&long),
        ];
        sent.into_iter().for_each(|message| server.send(message).unwrap());
        let stream = server.get_ref().get_ref().clone();
        let whole = read(&[&stream]).unwrap();
        let kinds: Vec<_> = whole.iter().map(|(frame, payload)| (*frame, payload.len())).collect();
        let expected =
            [(Frame::Message, 1), (Frame::Message, 300), (Frame::Ping, 1), (Frame::Message, 70_000)];
        assert_eq!(kinds, expected);
        for at in 0..400 {
            let (a, b) = stream.split_at(at);
            assert_eq!(read(&[a, b]).unwrap(), whole, "cut at {at}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bytes in [&[0x01, 0][..], &[0xc1, 0], &[0x81, 0x80], &[0x82, 127, 0, 0, 0, 0, 0, 16, 0, 1]] {
            assert!(read(&[bytes]).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn our_frames_are_understood_by_another_implementation() {
        let bytes =
            [masked(TEXT, b"40"), masked(BINARY, &[9; 200]), masked(PONG, b""), BYE.to_vec()].concat();
        let mut server = WebSocket::from_raw_socket(std::io::Cursor::new(bytes), Role::Server, None);
        assert_eq!(server.read().unwrap(), Message::text("40"));
        assert_eq!(server.read().unwrap(), Message::binary(vec![9; 200]));
        assert_eq!(server.read().unwrap(), Message::Pong(Vec::new().into()));
        assert!(matches!(server.read().unwrap(), Message::Close(Some(f)) if u16::from(f.code) == 1000));
    }
}
