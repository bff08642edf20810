//! The other side: how does a client word its frames, and how does it read the server's?

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::fmt;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame: its first byte and its payload.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_of_length(first, payload.len(), payload)
}

/// A masked frame whose head promises `len` bytes, of which only `payload` follows.
pub(crate) fn frame_of_length(first: u8, len: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = match len {
        0..=125 => vec![first, 0x80 | len as u8],
        126..=0xffff => [&[first, 0xfe][..], &(len as u16).to_be_bytes()].concat(),
        _ => [&[first, 0xff][..], &(len as u64).to_be_bytes()].concat(),
    };
    bytes.extend(KEY);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
    bytes
}

/// The payload of a compressed message (RFC 7692 section 7.2.1), by a compressor that has seen nothing else.
pub(crate) fn compressed(message: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::new(6), false);
    let mut out = vec![0; message.len() + message.len() / 8 + 64];
    state.compress(message, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(state.total_out() as usize);
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "the flush is whole");
    out.truncate(out.len() - 4);
    out
}

/// A frame of the server.
pub(crate) struct Answer {
    pub(crate) opcode: u8,
    pub(crate) compressed: bool,
    /// Inflated, if it was compressed.
    pub(crate) payload: Vec<u8>,
}

/// Code and reason of a close frame.
pub(crate) fn closing(answer: &Answer) -> Option<(u16, &[u8])> {
    let (code, reason) = answer.payload.split_first_chunk::<2>()?;
    (answer.opcode == 8).then_some((u16::from_be_bytes(*code), reason))
}

/// The window the server promised to stay within, in bits.
pub(crate) fn window_bits(agreed: &str) -> u8 {
    agreed.split("server_max_window_bits=").nth(1).map_or(15, |bits| bits.parse().unwrap())
}

/// Reads everything the server sent. `window` is that of the agreed compression, if any.
pub(crate) fn read(mut bytes: &[u8], window: Option<u8>) -> Result<Vec<Answer>, String> {
    let mut answers: Vec<Answer> = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        if answers.last().is_some_and(|last| last.opcode == 8) {
            return Err("something follows the close frame".into());
        }
        if first & 0x80 == 0 || second & 0x80 != 0 || first & 0x30 != 0 {
            return Err(format!("a frame that is fragmented, masked or reserved: {first:x} {second:x}"));
        }
        let (len, rest) = match second {
            126 => (u16::from_be_bytes(*rest.first_chunk().ok_or("cut")?).into(), &rest[2..]),
            127 => (u64::from_be_bytes(*rest.first_chunk().ok_or("cut")?), &rest[8..]),
            short => (u64::from(*short), rest),
        };
        let (payload, rest) = rest.split_at_checked(len as usize).ok_or("the last frame is cut")?;
        let compressed = first & 0x40 != 0;
        let opcode = first & 0x0f;
        let payload = match (compressed, window) {
            (false, _) => payload.to_vec(),
            (true, Some(window)) if opcode < 8 => inflated(payload, window)?,
            (true, _) => return Err("a compressed frame that must not be".into()),
        };
        answers.push(Answer { opcode, compressed, payload });
        bytes = rest;
    }
    if bytes.is_empty() { Ok(answers) } else { Err("a frame's head is cut".into()) }
}

/// Inflates with no larger window than that. The output is taken in small steps, or the library would look into what it
/// wrote for the caller instead of into its window.
fn inflated(payload: &[u8], window: u8) -> Result<Vec<u8>, String> {
    let mut state = Decompress::new_with_window_bits(false, window);
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut message = Vec::new();
    let mut step = [0; 64];
    loop {
        let (read, made) = (state.total_in() as usize, state.total_out());
        let inflated = state.decompress(&input[read..], &mut step, FlushDecompress::Sync);
        inflated.map_err(|fault| format!("a compressed frame cannot be read: {fault}"))?;
        let made = (state.total_out() - made) as usize;
        message.extend_from_slice(&step[..made]);
        if made < step.len() && state.total_in() as usize == input.len() {
            return Ok(message);
        }
        if made == 0 && state.total_in() as usize == read {
            return Err("a compressed frame ends too soon".into());
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.compressed { "compressed" } else { "plain" };
        match closing(self) {
            Some((code, reason)) => write!(f, "close {code} ({})", reason.escape_ascii()),
            None => describe(f, how, self.opcode, &self.payload),
        }
    }
}

/// Words a frame for a fault; of a long payload only the beginning.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, how: &str, opcode: u8, payload: &[u8]) -> fmt::Result {
    let name = match opcode {
        1 => "text",
        2 => "binary",
        9 => "ping",
        10 => "pong",
        _ => "frame",
    };
    let start = &payload[..payload.len().min(40)];
    write!(f, "{how} {name} of {} bytes ({})", payload.len(), start.escape_ascii())
}
