//! What can a client do wrong on the wire, and which close code does RFC 6455 have for it?

use std::fmt;

/// A breach of RFC 6455 or of a limit. The connection cannot go on: its framing is lost or not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// RSV1, RSV2 or RSV3 is set without an extension that says what it means (section 5.2): RSV1 is good on the first
    /// frame of a message when compression was negotiated (RFC 7692 section 6), everything else never.
    ReservedBits,
    /// An opcode of 3-7 or 11-15 (section 5.2).
    UnknownOpcode,
    /// A frame of a client without a mask (section 5.1).
    Unmasked,
    /// A length not in its shortest form, or a 64-bit length with the top bit set (section 5.2).
    BadLength,
    /// A ping, pong or close without the final bit (section 5.5).
    FragmentedControl,
    /// A ping, pong or close of more than 125 bytes (section 5.5).
    ControlTooLong,
    /// A continuation frame, but no message is under way (section 5.4).
    ContinuationWithoutStart,
    /// A new text or binary frame before the last fragment of a message (section 5.4).
    InterruptedMessage,
    /// A close frame of one byte: neither empty nor with a whole code (section 5.5.1).
    BadClosePayload,
    /// A close code that must not be sent (section 7.4).
    BadCloseCode,
    /// A text message or close reason that is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A compressed message that is no deflate data, or ends within it (RFC 7692 section 7.2.2).
    BadDeflate,
    /// A message of more bytes than the limit; found in the frame's head, before its payload arrives. If compressed,
    /// also one of more bytes after inflation, found without inflating the rest.
    TooBig,
    /// A message of more than [`max_fragments`](super::max_fragments) frames. Empty fragments are not free for ever.
    TooManyFragments,
}

impl Violation {
    /// The close code of RFC 6455 section 7.4.1: 1002 (protocol error), 1007 (bad data) or 1009 (too big). RFC 7692
    /// names none for bad compressed data; it is a payload that is not what its message says, hence 1007.
    pub const fn rfc_close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::BadDeflate => 1007,
            Self::TooBig | Self::TooManyFragments => 1009,
            _ => 1002,
        }
    }

    /// What was wrong, in a few words; fits a close frame, names no payload, fit for a metric's label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::UnknownOpcode => "unknown opcode",
            Self::Unmasked => "unmasked frame",
            Self::BadLength => "malformed frame length",
            Self::FragmentedControl => "fragmented control frame",
            Self::ControlTooLong => "control frame too long",
            Self::ContinuationWithoutStart => "continuation without a start",
            Self::InterruptedMessage => "message interrupted by another",
            Self::BadClosePayload => "malformed close payload",
            Self::BadCloseCode => "close code not allowed",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::BadDeflate => "malformed compressed data",
            Self::TooBig => "message too big",
            Self::TooManyFragments => "too many fragments",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Violation {}
