//! Does an event get from a publisher to a client, over the path that clients use, and how long does it take?
//!
//! A publisher's request, the log, the bus, a gateway, a balancer, a WebSocket: one clock measures all of it, so the
//! figure is free of clock skew. The client side is an ordinary client's: it resumes with its cursor when its
//! connection ends, and notices what a client would notice, an event that never came or came twice.

mod bearer;
mod client;
mod witness;

pub use bearer::{TOKEN, TokenSource, token_source};
pub use client::{RoundTrip, RoundTripConfig, RoundTripError};
pub use witness::Findings;
