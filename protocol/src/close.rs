//! Why does a gateway end a connection, and may the client come back?
//!
//! Codes 4400-4499 are terminal for a client except 4408 and 4429; after any other it reconnects and resumes.

/// Every code a gateway closes a WebSocket with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client said goodbye, this is the answer.
    Bye = 1000,
    /// The node goes away; resume elsewhere.
    GoingAway = 1001,
    /// The client's message is larger than the limit in `welcome`.
    TooBig = 1009,
    /// The node restarts; resume.
    Restart = 1012,
    /// The client broke the WebSocket protocol or Carillon's.
    ProtocolError = 4400,
    /// Token missing (5 s after the upgrade), bad or expired.
    Unauthenticated = 4401,
    /// Origin or tenant not allowed.
    Forbidden = 4403,
    /// Nothing was heard from the client, not even a pong.
    Silent = 4408,
    /// An administrator ended it; do not reconnect.
    Disconnected = 4410,
    /// Too many frames, or too many connections of this user.
    TooMany = 4429,
    /// The node cannot serve this connection now; come back later.
    OverCapacity = 4503,
    /// The client did not read for the stall time-out; resume.
    Stalled = 4508,
}

impl CloseCode {
    /// Every code, in ascending order.
    pub const ALL: [CloseCode; 12] = [
        Self::Bye,
        Self::GoingAway,
        Self::TooBig,
        Self::Restart,
        Self::ProtocolError,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Silent,
        Self::Disconnected,
        Self::TooMany,
        Self::OverCapacity,
        Self::Stalled,
    ];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Whether a client should reconnect and resume by itself.
    pub fn may_resume(self) -> bool {
        !matches!(
            self,
            Self::Bye | Self::ProtocolError | Self::Unauthenticated | Self::Forbidden | Self::Disconnected
        )
    }

    /// The label used in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::GoingAway => "going_away",
            Self::TooBig => "too_big",
            Self::Restart => "restart",
            Self::ProtocolError => "protocol_error",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Silent => "silent",
            Self::Disconnected => "disconnected",
            Self::TooMany => "too_many",
            Self::OverCapacity => "over_capacity",
            Self::Stalled => "stalled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_4408_and_4429_are_the_only_resumable_ones_of_44xx() {
        assert!(CloseCode::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        for code in CloseCode::ALL.into_iter().filter(|c| (4400..4500).contains(&c.code())) {
            assert_eq!(code.may_resume(), matches!(code.code(), 4408 | 4429), "{code:?}");
        }
    }
}
