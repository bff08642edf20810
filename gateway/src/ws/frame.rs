//! What does the head of a client frame say, and how is its payload unmasked?

use super::violation::Violation;

/// Longest payload of a ping, pong or close, in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// Most frames one message of at most `limit` bytes may be cut into: one for every 64 bytes, and 16 of a small one.
/// The byte limit alone would let a client send empty fragments for ever.
pub const fn max_fragments(limit: usize) -> usize {
    if limit < 16 * 64 { 16 } else { limit / 64 }
}

/// The reserved bit that permessage-deflate gives a meaning to: the message is compressed (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;

/// Longest head of a client frame: two bytes, a 64-bit length, a mask key.
pub(super) const MAX_HEAD: usize = 14;

/// What a frame carries (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message under way.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The peer closes.
    Close = 8,
    /// The peer wants a pong with the same payload.
    Ping = 9,
    /// The answer to a ping, or an unasked-for sign of life.
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is a ping, pong or close, which may stand between the fragments of a message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What a frame may be at this point of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expect {
    /// Frames that the message under way may still have; `None` between messages.
    pub(super) fragments: Option<usize>,
    /// Bytes the message may still grow by.
    pub(super) room: usize,
    /// Whether permessage-deflate was negotiated.
    pub(super) deflate: bool,
}

/// The head of one client frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// The first frame of a compressed message.
    pub(super) compressed: bool,
    pub(super) key: [u8; 4],
    /// Bytes of payload; never above `Expect::room` or, for a control frame, 125.
    pub(super) len: usize,
    /// Bytes of the head itself.
    pub(super) size: usize,
}

impl Head {
    /// Reads a head from the start of `bytes`; `None` while it is cut short. Each byte is judged as soon as it is
    /// there, so a bad frame is refused at its first bad byte, however the stream was cut.
    pub(super) fn parse(bytes: &[u8], expect: Expect) -> Result<Option<Self>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let fin = first & 0x80 != 0;
        let compressed = expect.deflate && first & RSV1 != 0;
        if first & 0x70 != if compressed { RSV1 } else { 0 } {
            return Err(Violation::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::UnknownOpcode)?;
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Violation::ReservedBits);
        }
        match (opcode, expect.fragments) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) if !fin => {
                return Err(Violation::FragmentedControl);
            }
            (Opcode::Continuation, None) => return Err(Violation::ContinuationWithoutStart),
            (Opcode::Continuation, Some(0)) => return Err(Violation::TooManyFragments),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::InterruptedMessage),
            _ => {}
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(Violation::ControlTooLong);
        }

        let (len, key_at) = match short {
            126 => {
                let Some(&long) = bytes[2..].first_chunk::<2>() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(long)), 4)
            }
            127 => {
                let Some(&long) = bytes[2..].first_chunk::<8>() else { return Ok(None) };
                (u64::from_be_bytes(long), 10)
            }
            _ => (u64::from(short), 2),
        };
        let shortest = match short {
            126 => len > 125,
            127 => len > u64::from(u16::MAX) && len >> 63 == 0,
            _ => true,
        };
        if !shortest {
            return Err(Violation::BadLength);
        }
        // A length that does not fit this machine's usize does not fit the room either.
        let len = usize::try_from(len).map_err(|_| Violation::TooBig)?;
        if !opcode.is_control() && len > expect.room {
            return Err(Violation::TooBig);
        }

        let Some(&key) = bytes[key_at..].first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Self { fin, opcode, compressed, key, len, size: key_at + 4 }))
    }
}

/// Masks or unmasks `data` in place (section 5.3; the operation is its own inverse). `offset` is the position of
/// `data[0]` within the frame's payload. Eight bytes a step, which the compiler turns into vector instructions.
pub fn mask(data: &mut [u8], key: [u8; 4], offset: usize) {
    let [a, b, c, d] = std::array::from_fn(|i| key[(offset + i) % 4]);
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (steps, tail) = data.as_chunks_mut::<8>();
    for step in steps {
        *step = (u64::from_ne_bytes(*step) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Expect = Expect { fragments: None, room: usize::MAX, deflate: false };

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = [0x81, 0xfe, 0x01, 0x00, 1, 2, 3, 4, 99];
        for cut in 0..8 {
            assert_eq!(Head::parse(&bytes[..cut], FREE), Ok(None), "{cut} bytes");
        }
        let key = [1, 2, 3, 4];
        let head = Head { fin: true, opcode: Opcode::Text, compressed: false, key, len: 256, size: 8 };
        assert_eq!(Head::parse(&bytes, FREE), Ok(Some(head)));
    }

    #[test]
    fn a_bad_head_is_refused_at_its_first_bad_byte() {
        assert_eq!(Head::parse(&[0xc1], FREE), Err(Violation::ReservedBits));
        assert_eq!(Head::parse(&[0x83], FREE), Err(Violation::UnknownOpcode));
        assert_eq!(Head::parse(&[0x09], FREE), Err(Violation::FragmentedControl));
        assert_eq!(Head::parse(&[0x80], FREE), Err(Violation::ContinuationWithoutStart));
        assert_eq!(Head::parse(&[0x81, 0x05], FREE), Err(Violation::Unmasked));
        assert_eq!(Head::parse(&[0x89, 0xfe], FREE), Err(Violation::ControlTooLong));
        let under_way = Expect { fragments: Some(1), room: 10, deflate: false };
        assert_eq!(Head::parse(&[0x81], under_way), Err(Violation::InterruptedMessage));
        assert_eq!(Head::parse(&[0x80, 0x8b], under_way), Err(Violation::TooBig), "before the mask key");
        let used_up = Expect { fragments: Some(0), room: 10, deflate: false };
        assert_eq!(Head::parse(&[0x00], used_up), Err(Violation::TooManyFragments));
    }

    #[test]
    fn rsv1_is_for_the_first_frame_of_a_message_if_deflate_was_negotiated() {
        let deflate = Expect { deflate: true, ..FREE };
        for first in [0xc1, 0xc2, 0x41, 0x42] {
            let head = Head::parse(&[first, 0x80, 1, 2, 3, 4], deflate).unwrap().unwrap();
            assert!(head.compressed && head.fin == (first & 0x80 != 0), "{first:x}");
            assert_eq!(Head::parse(&[first], FREE), Err(Violation::ReservedBits), "{first:x}");
        }
        assert_eq!(
            Head::parse(&[0x81, 0x80, 1, 2, 3, 4], deflate).unwrap().map(|h| h.compressed),
            Some(false)
        );
        for first in [0xc8, 0xc9, 0xca, 0xc0, 0x40, 0xe1, 0xd1, 0xf2, 0xa1, 0x91] {
            let under_way = Expect { fragments: Some(1), ..deflate };
            assert_eq!(Head::parse(&[first], under_way), Err(Violation::ReservedBits), "{first:x}");
        }
    }

    #[test]
    fn the_number_of_fragments_follows_from_the_limit() {
        assert_eq!(max_fragments(64 * 1024), 1024);
        assert_eq!(max_fragments(16 * 1024 * 1024), 262_144);
        assert_eq!((max_fragments(0), max_fragments(1023), max_fragments(1024)), (16, 16, 16));
    }

    #[test]
    fn lengths_have_one_form() {
        for (length, fault) in [
            (&[0xfe, 0, 125][..], Violation::BadLength),
            (&[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::BadLength),
            (&[0xff, 0x80, 0, 0, 0, 0, 1, 0, 0], Violation::BadLength),
        ] {
            assert_eq!(Head::parse(&[&[0x82], length].concat(), FREE), Err(fault), "{length:?}");
        }
        for good in [&[0xfe, 0, 126][..], &[0xfe, 0xff, 0xff], &[0xff, 0, 0, 0, 0, 0, 1, 0, 0]] {
            assert_eq!(Head::parse(&[&[0x82], good].concat(), FREE), Ok(None), "{good:?} lacks only its key");
        }
    }

    #[test]
    fn unmasking_matches_the_definition_at_every_length_alignment_and_offset() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for start in 0..9 {
            for len in 0..70 {
                for offset in 0..9 {
                    let mut bytes: Vec<u8> = (0..(start + len) as u8).collect();
                    let mut expected = bytes.clone();
                    for (i, byte) in expected[start..].iter_mut().enumerate() {
                        *byte ^= key[(offset + i) % 4];
                    }
                    mask(&mut bytes[start..], key, offset);
                    assert_eq!(bytes, expected, "start {start}, length {len}, offset {offset}");
                }
            }
        }
    }
}
