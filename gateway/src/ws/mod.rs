//! How do bytes on a socket become messages, and messages bytes? The server side of RFC 6455, without I/O.
//!
//! The story of a connection, in the order of the files:
//!
//! 1. [`handshake`] judges the HTTP request and words the `101` answer; [`extension`] agrees on compression.
//! 2. [`decode`] turns what a shard read from the socket into [`Incoming`] messages. A shard reads all its
//!    connections into one scratch buffer, so a [`Decoder`] works in place there: a whole frame is unmasked where
//!    it lies and lent to the caller, without a copy or an allocation. Only what is cut (a frame whose end has not
//!    come, a message in fragments) is kept, in one heap part that goes away with the end of the message. A
//!    connection at rest holds no buffer.
//! 3. [`frame`] reads one frame's head and unmasks; [`close`] reads close payloads; [`violation`] names
//!    everything a client can do wrong and the close code RFC 6455 has for it.
//! 4. [`encode`] builds server frames. They carry no mask, so a frame is the same bytes for every connection:
//!    events are encoded once and shared.
//! 5. [`deflate`] compresses an event once for all sockets that agreed to it, and inflates what clients compressed.
//!    Its states are lent by the caller, one for many connections; a connection keeps none. Only a client that refuses to
//!    let its messages stand by themselves costs a [`window`].
//!
//! Limits: a message is bounded by the caller's byte limit, before and after inflation, and by [`max_fragments`]
//! frames, a control frame by 125 bytes. Everything is refused as soon as the bytes that prove it have arrived.
//!
//! Deliberately absent: sockets, clocks, randomness (a server masks nothing), client role, context takeover of ours (a
//! window for each connection), other extensions.

pub mod close;
pub mod decode;
pub mod deflate;
pub mod encode;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod violation;
pub mod window;

pub use decode::{Decoder, Flow, Incoming};
pub use deflate::{Deflater, Inflater};
pub use extension::Deflate;
pub use frame::{MAX_CONTROL_PAYLOAD, Opcode, max_fragments};
pub use handshake::{HandshakeFault, Upgrade};
pub use violation::Violation;
