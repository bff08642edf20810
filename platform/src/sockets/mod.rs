//! Who may hold a socket of a listener, for how long, and who gives one up when there are too many?
//!
//! Gateway, publisher and ops port accept their connections here. A socket is counted by its address ([`AddressGroup`](crate::share::AddressGroup))
//! before any work is done for it, and is *unproven* until a request on it was authenticated ([`Peer::authenticated`]).
//!
//! - Unproven sockets have their own bound ([`SocketLimits::unproven`]). While there is room anybody may take it. When there
//!   is none, a newcomer is not refused: the address that holds the most gives up its oldest socket. An address with more
//!   than a quarter of the bound gives way at once, any other only with a socket on which nothing happened
//!   for a second. A newcomer waits for that at most as long, and the kernel's queue behind it.
//! - All sockets together have a bound ([`SocketLimits::total`]). When it is reached, unproven sockets go first, then proven
//!   ones between two requests.
//! - Whoever has to go gets a last look: a request whose head has arrived meanwhile is answered.
//! - Every wait for a client has an end: [`HEAD`], [`IDLE`], [`STALLED`].
//!
//! | module | question it answers |
//! |---|---|
//! | `table` | who comes in, and who goes for it? (pure) |
//! | `slot` | what does a connection do right now? |
//! | `places` | how do listener and connections share the table? |
//! | `guarded` | how long may a write take? |
//! | `connection` | how is HTTP spoken on a socket, and when does it end? |
//! | `refusal` | what is refused before a handler sees it, and how is that told? |
//! | `server` | how does a listener serve a router, and drain? |

mod connection;
mod guarded;
mod places;
mod refusal;
mod server;
mod slot;
mod table;

pub use connection::{End, Handler, serve};
pub use places::{Peer, Place, Places};
pub use server::{Server, accept};

use crate::telemetry::{Metric, MetricKind, describe};
use std::time::Duration;

/// How long a client may take with a request's head, counted from the accept or from the first byte of the next head; and
/// how long a socket that never proved itself may be silent after an answer.
pub const HEAD: Duration = Duration::from_secs(10);
/// How long a proven connection may be silent between two requests. Above the usual 60 s of load balancers, so that not we
/// but they close idle connections.
pub const IDLE: Duration = Duration::from_secs(75);
/// How long an answer may make no progress.
pub const STALLED: Duration = Duration::from_secs(10);
/// How fast an answer that had to wait must be read at least, in bytes a second: progress by so much is worth one more second.
pub const READ_RATE: u64 = 8 * 1024;
/// Largest request head, in bytes.
pub const HEAD_BYTES: usize = 32 * 1024;

/// How many sockets a listener has. All fields are numbers of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// All of them.
    pub total: usize,
    /// Those on which nothing was authenticated yet.
    pub unproven: usize,
}

impl SocketLimits {
    /// Which part of the places for connections may be unproven sockets at a time.
    const UNPROVEN_OF_ALL: usize = 20;
    /// A listener has at least so many of them, and where descriptors suffice so many.
    const FEWEST: usize = 64;
    const ENOUGH: usize = 256;
    const MOST: usize = 8_192;

    /// Divides what descriptors allow into places for connections (`wanted`, or as many as there are) and, beside them,
    /// unproven sockets: one for twenty places. Returns the places, and the limits of the listener.
    pub fn divide(descriptors: usize, wanted: Option<usize>) -> (usize, Self) {
        let places = wanted.unwrap_or_else(|| {
            let beside = descriptors / (Self::UNPROVEN_OF_ALL + 1);
            descriptors.saturating_sub(beside.clamp(Self::FEWEST, Self::MOST)).max(1)
        });
        let free = descriptors.saturating_sub(places).max(Self::FEWEST);
        let unproven = (places / Self::UNPROVEN_OF_ALL).clamp(Self::ENOUGH, Self::MOST).min(free);
        (places, Self { total: places + unproven, unproven })
    }
}

const UNPROVEN: Metric = Metric {
    name: "carillon_sockets_unproven",
    kind: MetricKind::Gauge,
    labels: "port: public, ops",
    what: "accepted sockets on which no request was authenticated yet; at their bound the address with the most gives up its oldest",
};
const CLOSED: Metric = Metric {
    name: "carillon_sockets_closed_total",
    kind: MetricKind::Counter,
    labels: "port: public, ops; reason: evicted (made room for another), head (no whole request head in time), idle (nothing between two requests), stalled (an answer was not read)",
    what: "sockets that were closed because of what their client did not do",
};

/// Every metric of the listeners, for `/metrics` and the reference page.
pub const METRICS: &[Metric] = &[UNPROVEN, CLOSED];

/// Gives the metrics their HELP text.
fn describe_metrics() {
    describe(METRICS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unproven_sockets_have_room_beside_the_places_of_the_others() {
        let divide = |descriptors, wanted| {
            let (places, limits) = SocketLimits::divide(descriptors, wanted);
            assert_eq!(limits.total, places + limits.unproven);
            (places, limits.unproven)
        };
        assert_eq!(divide(19_744, None), (18_804, 940));
        assert_eq!(divide(19_744, Some(200)), (200, 256));
        assert_eq!(divide(19_744, Some(19_744)), (19_744, 64));
        assert_eq!(divide(1_048_320, None), (1_040_128, 8_192));
        assert_eq!(divide(768, None), (704, 64));
    }
}
