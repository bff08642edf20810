//! What does an echo server answer to these bytes? The codec as a service would use it, without a socket.
//!
//! Used by the server beside it, which the Autobahn test suite is let loose on, and by the test that holds the same
//! cases (gateway/tests/autobahn_cases.rs): both judge the same code.

use carillon_gateway::ws::encode::{Header, push_close, push_pong};
use carillon_gateway::ws::{Decoder, Deflate, Deflater, Flow, Incoming, Inflater, Opcode};

/// One connection.
pub(crate) struct Session {
    decoder: Decoder,
    compression: Option<Compression>,
    /// Largest message in bytes.
    limit: usize,
}

/// What was agreed on, and the states it needs. A service would share the states between its connections.
struct Compression {
    agreed: Deflate,
    deflater: Deflater,
    inflater: Inflater,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes on.
    Open,
    /// A close frame was the last that was written: nothing more is sent, nothing more is read.
    Closed,
}

impl Session {
    pub(crate) fn new(deflate: Option<Deflate>, limit: usize) -> Self {
        let decoder = match deflate {
            Some(agreed) if agreed.keeps_window() => Decoder::with_window(),
            _ => Decoder::new(),
        };
        let compression = deflate.map(|agreed| Compression {
            agreed,
            deflater: Deflater::new(),
            inflater: Inflater::new(),
        });
        Self { decoder, compression, limit }
    }

    /// Decodes what came and appends the answers to `out`.
    pub(crate) fn take_in(&mut self, input: &mut [u8], out: &mut Vec<u8>) -> Then {
        let (inflater, mut deflater) = match &mut self.compression {
            Some(Compression { agreed, deflater, inflater }) => (Some(inflater), Some((*agreed, deflater))),
            None => (None, None),
        };
        let mut then = Then::Open;
        let fed = self.decoder.feed(input, self.limit, inflater, &mut |incoming| {
            match incoming {
                Incoming::Text(text) => echo(out, Opcode::Text, text.as_bytes(), &mut deflater),
                Incoming::Binary(bytes) => echo(out, Opcode::Binary, bytes, &mut deflater),
                Incoming::Ping(payload) => push_pong(out, payload),
                Incoming::Pong(_) => {}
                Incoming::Close(close) => {
                    let (code, reason) = close.unwrap_or((1000, ""));
                    push_close(out, code, reason);
                    then = Then::Closed;
                }
            }
            Flow::Continue
        });
        if let Err(violation) = fed {
            push_close(out, violation.rfc_close_code(), violation.reason());
            then = Then::Closed;
        }
        then
    }
}

/// Appends a message as it came, compressed if the client can read that and it is shorter.
fn echo(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], deflater: &mut Option<(Deflate, &mut Deflater)>) {
    let compressed = match deflater {
        Some((agreed, deflater)) if agreed.takes(payload.len()) => deflater.frame(opcode, payload),
        _ => None,
    };
    match compressed {
        Some(frame) => out.extend_from_slice(&frame),
        None => {
            out.extend_from_slice(Header::new(opcode, payload.len()).as_slice());
            out.extend_from_slice(payload);
        }
    }
}
