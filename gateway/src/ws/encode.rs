//! How does a message become a server frame? Header and payload in one piece, built once, unmasked.

use super::frame::{MAX_CONTROL_PAYLOAD, Opcode, RSV1};
use bytes::Bytes;

/// The head of an unfragmented server frame: 2, 4 or 10 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; 10],
    size: u8,
}

impl Header {
    /// The head of a final frame with `len` bytes of payload.
    pub fn new(opcode: Opcode, len: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = 0x80 | opcode as u8;
        let size = match len {
            0..=125 => {
                bytes[1] = len as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(len as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, size }
    }

    /// The same for a payload that is compressed (RSV1, RFC 7692 section 6).
    pub fn compressed(opcode: Opcode, len: usize) -> Self {
        let mut header = Self::new(opcode, len);
        header.bytes[0] |= RSV1;
        header
    }

    /// The bytes to send before the payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// A text frame that can be shared by any number of connections: header and payload in one allocation of exactly
/// their size. The payload is given in parts, so JSON around a ready-made body needs no intermediate copy; together
/// the parts must be UTF-8 (checked in debug builds).
pub fn text_frame(parts: &[&[u8]]) -> Bytes {
    let len = total(parts);
    let header = Header::new(Opcode::Text, len);
    let mut frame = Vec::with_capacity(header.as_slice().len() + len);
    append(&mut frame, header, parts);
    frame.into()
}

/// The payload of a whole server frame.
pub fn payload(frame: &[u8]) -> &[u8] {
    let head = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(head..).unwrap_or_default()
}

/// Appends a text frame to `out`, for answers to one connection. The parts are as in [`text_frame`].
pub fn push_text(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let header = Header::new(Opcode::Text, total(parts));
    append(out, header, parts);
}

/// Appends a ping. Of a payload over 125 bytes only the first 125 are sent.
pub fn push_ping(out: &mut Vec<u8>, payload: &[u8]) {
    push_control(out, Opcode::Ping, payload);
}

/// Appends a pong; the payload is that of the ping it answers. Of more than 125 bytes only the first 125 are sent.
pub fn push_pong(out: &mut Vec<u8>, payload: &[u8]) {
    push_control(out, Opcode::Pong, payload);
}

/// Appends a close frame. A reason of more than 123 bytes is cut, between two characters. `code` must be one that
/// may travel, see [`is_sendable`](super::close::is_sendable) (checked in debug builds).
pub fn push_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    debug_assert!(super::close::is_sendable(code), "close code {code} must not be sent");
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL_PAYLOAD - 2)];
    let header = Header::new(Opcode::Close, 2 + reason.len());
    append_raw(out, header, &[&code.to_be_bytes(), reason.as_bytes()]);
}

/// A close frame of its own, as [`push_close`] writes it: for sending the same goodbye to many connections.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut frame = Vec::with_capacity(2 + MAX_CONTROL_PAYLOAD.min(2 + reason.len()));
    push_close(&mut frame, code, reason);
    frame.into()
}

fn push_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
    append_raw(out, Header::new(opcode, payload.len()), &[payload]);
}

fn total(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

fn append(out: &mut Vec<u8>, header: Header, parts: &[&[u8]]) {
    debug_assert!(std::str::from_utf8(&parts.concat()).is_ok(), "a text frame must be UTF-8");
    append_raw(out, header, parts);
}

fn append_raw(out: &mut Vec<u8>, header: Header, parts: &[&[u8]]) {
    out.extend_from_slice(header.as_slice());
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_the_shortest_length() {
        for (len, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(Header::new(Opcode::Text, len).as_slice(), expected, "{len}");
            let compressed = Header::compressed(Opcode::Text, len);
            assert_eq!(
                (compressed.as_slice()[0], &compressed.as_slice()[1..]),
                (0xc1, &expected[1..]),
                "{len}"
            );
        }
    }

    #[test]
    fn the_payload_of_a_frame_is_found_again() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let json = vec![b'x'; len];
            assert_eq!(payload(&text_frame(&[&json])), json, "{len}");
        }
        assert_eq!(payload(b""), b"");
    }

    #[test]
    fn a_text_frame_joins_its_parts_in_exactly_its_size() {
        let frame = text_frame(&[b"{\"a\":", b"1", b"}"]);
        assert_eq!(frame, &b"\x81\x07{\"a\":1}"[..]);
        let mut out = b"before".to_vec();
        push_text(&mut out, &[b"{\"a\":", b"1", b"}"]);
        assert_eq!(out, [b"before", &frame[..]].concat());
        let long = "ž".repeat(40_000);
        let whole: Vec<u8> = text_frame(&[long.as_bytes()]).into();
        assert_eq!((whole.len(), whole.capacity()), (80_010, 80_010));
    }

    #[test]
    fn control_frames_stay_within_their_limit() {
        let mut out = Vec::new();
        push_ping(&mut out, b"");
        push_pong(&mut out, b"abc");
        assert_eq!(out, b"\x89\x00\x8a\x03abc");
        out.clear();
        push_pong(&mut out, &[b'x'; 200]);
        assert_eq!(out.len(), 2 + 125);

        assert_eq!(close_frame(4401, "token expired"), &b"\x88\x0f\x11\x31token expired"[..]);
        let cut = close_frame(1000, &"ž".repeat(62));
        assert_eq!(cut.len(), 2 + 2 + 122, "123 bytes would split the last character");
        assert!(std::str::from_utf8(&cut[4..]).is_ok());
    }
}
