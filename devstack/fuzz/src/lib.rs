//! What must hold for any bytes that a stranger, or a broken neighbour, can send?
//!
//! A [`Target`] takes any bytes, hands them to one of Carillon's readers and panics when a promise is broken. Promises
//! are more than "does not panic": what is read is printed and read again, and wherever the contract fits into a few
//! plain lines, those lines judge the same input a second time and must come to the same verdict.
//!
//! The targets run in two ways. `cargo test` replays the corpus and some thousand fresh mutations of it
//! (`tests/smoke.rs`). `make fuzz MINUTES=60` has libFuzzer look for inputs that reach new code (`run.sh`).
//!
//! | target | whose bytes |
//! |---|---|
//! | [`codec`] | frames on a WebSocket: any client |
//! | [`handshake`] | the headers of an upgrade request: any client |
//! | [`client_frame`] | text messages: any client that got in |
//! | [`envelope`] | batches from Redis: a publisher, perhaps of another version |
//! | [`channel`] | channel names and patterns: clients, publishers, tokens |
//! | [`cursor`] | the page cursors of the REST API: any reader of the log |
//! | [`resume`] | `Last-Event-ID` of an event stream: any client |

pub mod channel;
pub mod client_frame;
pub mod codec;
pub mod cursor;
pub mod envelope;
pub mod handshake;
pub mod resume;
mod script;

/// A reader under attack.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its corpus folder, and on the command line.
    pub name: &'static str,
    /// Panics when the input breaks a promise.
    pub check: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "channel", check: channel::check },
    Target { name: "client_frame", check: client_frame::check },
    Target { name: "codec", check: codec::check },
    Target { name: "cursor", check: cursor::check },
    Target { name: "envelope", check: envelope::check },
    Target { name: "handshake", check: handshake::check },
    Target { name: "resume", check: resume::check },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
