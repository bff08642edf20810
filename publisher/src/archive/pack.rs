//! How do lines become a frame, and what is said about both?
//!
//! One zstd frame, with its content's size, which is why the size has to be known before the first line, and with a checksum. Both sides
//! are hashed as they pass. No I/O.

use sha2::{Digest, Sha256};
use std::io::{self, Write};
use zstd::stream::write::{Decoder, Encoder};

/// Level 3, zstd's own default: JSON gets seven times smaller at several hundred megabytes a second.
const LEVEL: i32 = 3;
/// So much of a line is kept to tell its number.
const BEGINNING: usize = 64;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) stored_bytes: u64,
    pub(super) stored_sha256: String,
}

/// Compresses lines.
pub(super) struct Packer {
    frame: Encoder<'static, Vec<u8>>,
    lines: Hashed,
    stored: Hashed,
}

impl Packer {
    /// For exactly so many bytes.
    pub(super) fn new(bytes: u64) -> io::Result<Self> {
        let mut frame = Encoder::new(Vec::new(), LEVEL)?;
        frame.set_pledged_src_size(Some(bytes))?;
        frame.include_contentsize(true)?;
        frame.include_checksum(true)?;
        Ok(Self { frame, lines: Hashed::default(), stored: Hashed::default() })
    }

    /// Takes lines; what of the frame is ready.
    pub(super) fn add(&mut self, lines: &[u8]) -> io::Result<Vec<u8>> {
        self.lines.add(lines);
        self.frame.write_all(lines)?;
        Ok(self.ready())
    }

    /// Ends the frame: its last piece, and what is said about it. An error if there were more or fewer bytes than was said.
    pub(super) fn finish(mut self) -> io::Result<(Vec<u8>, Packed)> {
        self.frame.do_finish()?;
        let last = self.ready();
        let (lines, stored) = (self.lines, self.stored);
        let packed = Packed {
            bytes: lines.bytes,
            sha256: lines.text(),
            stored_bytes: stored.bytes,
            stored_sha256: stored.text(),
        };
        Ok((last, packed))
    }

    fn ready(&mut self) -> Vec<u8> {
        let piece = std::mem::take(self.frame.get_mut());
        self.stored.add(&piece);
        piece
    }
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) packed: Packed,
    pub(super) lines: u64,
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: Option<u64>,
}

/// Takes a frame apart and hands its lines on.
pub(super) struct Unpacker<W: Write> {
    lines: Decoder<'static, Lines<W>>,
    stored: Hashed,
}

impl<W: Write> Unpacker<W> {
    /// The lines go to `to`.
    pub(super) fn new(to: W) -> io::Result<Self> {
        Ok(Self { lines: Decoder::new(Lines::new(to))?, stored: Hashed::default() })
    }

    /// Takes a piece of the frame.
    pub(super) fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.stored.add(piece);
        self.lines.write_all(piece)
    }

    /// What came, and to whom it went.
    pub(super) fn finish(mut self) -> io::Result<(Unpacked, W)> {
        self.lines.flush()?;
        let lines = self.lines.into_inner();
        let packed = Packed {
            bytes: lines.all.bytes,
            sha256: lines.all.text(),
            stored_bytes: self.stored.bytes,
            stored_sha256: self.stored.text(),
        };
        let (count, first_seq, last_seq) = (lines.count, lines.first, super::line::seq_of(&lines.last));
        Ok((Unpacked { packed, lines: count, first_seq, last_seq }, lines.to))
    }
}

/// Counts and hashes lines as they pass.
struct Lines<W> {
    to: W,
    all: Hashed,
    count: u64,
    first: Option<u64>,
    /// The beginning of the last whole line, and of the one that is not whole.
    last: Vec<u8>,
    open: Vec<u8>,
}

impl<W> Lines<W> {
    fn new(to: W) -> Self {
        Self { to, all: Hashed::default(), count: 0, first: None, last: Vec::new(), open: Vec::new() }
    }

    fn look(&mut self, bytes: &[u8]) {
        let newlines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let Some(first) = bytes.iter().position(|byte| *byte == b'\n') else {
            return begin(&mut self.open, bytes);
        };
        begin(&mut self.open, &bytes[..first]);
        self.last = std::mem::take(&mut self.open);
        if self.count == 0 {
            self.first = super::line::seq_of(&self.last);
        }
        self.count += newlines;
        let rest = &bytes[first + 1..];
        let mut ends = rest.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let Some(end) = ends.next() else { return begin(&mut self.open, rest) };
        let start = ends.next().map_or(0, |before| before + 1);
        self.last.clear();
        begin(&mut self.last, &rest[start..end]);
        begin(&mut self.open, &rest[end + 1..]);
    }
}

/// Adds to the beginning of a line, as far as there is room.
fn begin(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = BEGINNING.saturating_sub(line.len()).min(bytes.len());
    line.extend_from_slice(&bytes[..room]);
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.all.add(bytes);
        self.look(bytes);
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Bytes and their hash.
#[derive(Default)]
struct Hashed {
    bytes: u64,
    hash: Sha256,
}

impl Hashed {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn text(self) -> String {
        format!("{:x}", self.hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(count: u64, text: usize) -> Vec<u8> {
        (1..=count)
            .flat_map(|seq| format!("{{\"seq\":{seq},\"x\":\"{}\"}}\n", "é".repeat(text)).into_bytes())
            .collect()
    }

    fn packed(lines: &[u8], pieces: usize) -> (Vec<u8>, Packed) {
        let mut packer = Packer::new(lines.len() as u64).unwrap();
        let mut object = Vec::new();
        for piece in lines.chunks(pieces.max(1)) {
            object.extend(packer.add(piece).unwrap());
        }
        let (last, packed) = packer.finish().unwrap();
        object.extend(last);
        (object, packed)
    }

    #[test]
    fn an_object_is_one_frame_with_its_contents_size_and_a_checksum() {
        let lines = lines(5_000, 20);
        let (object, packed) = packed(&lines, 1_000);
        assert_eq!(object[..4], [0x28, 0xb5, 0x2f, 0xfd], "zstd's magic number, RFC 8878, 3.1.1");
        let descriptor = object[4];
        assert_ne!(descriptor >> 6, 0, "a size of two bytes or more");
        assert_eq!(descriptor & 0b100, 0b100, "a checksum of the content");
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&object).unwrap(), Some(lines.len() as u64));
        assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&object).unwrap(), object.len(), "one frame");
        assert_eq!((packed.bytes, packed.stored_bytes), (lines.len() as u64, object.len() as u64));
        assert_eq!(zstd::decode_all(&object[..]).unwrap(), lines);
    }

    #[test]
    fn a_day_of_another_size_than_was_said_is_no_object() {
        for said in [4, 6] {
            let mut packer = Packer::new(said).unwrap();
            let ended = packer.add(b"12345").and_then(|_| packer.finish().map(drop));
            assert!(ended.is_err(), "{said} were said, 5 came");
        }
        // Far more than was said: before the end.
        let mut packer = Packer::new(4).unwrap();
        let noise: Vec<u8> = (0..4_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!((0..20).any(|_| packer.add(&noise).is_err()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_packed_is_unpacked_in_whatever_pieces_it_comes(
            count in 1u64..200, text in 0usize..100, pieces in 1usize..5_000, arrive in 1usize..500
        ) {
            let lines = lines(count, text);
            let (object, packed) = packed(&lines, pieces);
            let mut unpacker = Unpacker::new(Vec::new()).unwrap();
            for piece in object.chunks(arrive) {
                unpacker.add(piece).unwrap();
            }
            let (unpacked, to) = unpacker.finish().unwrap();
            prop_assert_eq!(to, lines);
            prop_assert_eq!(unpacked, Unpacked { packed, lines: count, first_seq: Some(1), last_seq: Some(count) });
        }

        #[test]
        fn lines_are_counted_in_whatever_pieces_they_come(count in 1u64..50, pieces in 1usize..300) {
            let mut seen = Lines::new(io::sink());
            for piece in lines(count, 7).chunks(pieces) {
                seen.write_all(piece).unwrap();
            }
            prop_assert_eq!((seen.count, seen.first, super::super::line::seq_of(&seen.last)), (count, Some(1), Some(count)));
        }
    }
}
