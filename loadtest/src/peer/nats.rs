//! How are the operations of the NATS client protocol found in what a server sends?
//!
//! A text protocol of lines; a message's payload follows its line. Over WebSocket the boundaries of messages mean nothing:
//! an operation may be cut, and one message may hold many. No I/O.

/// A line this long is none.
const LONGEST_LINE: usize = 64 * 1024;

/// The subject every event is published to.
pub(super) const SUBJECT: &str = "load";
/// What a client says first; the `PONG` is the proof that the server has taken it.
pub(super) const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";
/// What a subscriber says, in one short frame; the `PONG` says that it is subscribed.
pub(super) const SUBSCRIBE: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB load 1\r\nPING\r\n";

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// The greeting, or news about the server.
    Info,
    /// A published payload.
    Message(&'a [u8]),
    /// To be answered with `PONG`.
    Ping,
    /// The answer to our `PING`.
    Pong,
}

/// Finds operations; owns memory only while one is incomplete.
#[derive(Debug, Default)]
pub(super) struct Operations {
    partial: Vec<u8>,
}

impl Operations {
    /// Takes bytes as they came and hands each complete operation to `each`.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Operation<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.partial.is_empty() {
            let used = scan(bytes, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let used = scan(&self.partial, &mut each)?;
        match used == self.partial.len() {
            true => self.partial = Vec::new(),
            false => drop(self.partial.drain(..used)),
        }
        Ok(())
    }
}

fn scan(bytes: &[u8], each: &mut impl FnMut(Operation<'_>) -> Result<(), String>) -> Result<usize, String> {
    let mut at = 0;
    while let Some((operation, length)) = first(&bytes[at..])? {
        if let Some(operation) = operation {
            each(operation)?;
        }
        at += length;
    }
    Ok(at)
}

/// The first operation and how many bytes it takes; none when it is incomplete. `+OK` is no operation.
fn first(bytes: &[u8]) -> Result<Option<(Option<Operation<'_>>, usize)>, String> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() > LONGEST_LINE { Err("a line without an end".into()) } else { Ok(None) };
    };
    let line = String::from_utf8_lossy(&bytes[..end]);
    let mut words = line.split_ascii_whitespace();
    let operation = match words.next() {
        Some("MSG") => return message(&line, words.next_back(), bytes, end + 1),
        Some("PING") => Some(Operation::Ping),
        Some("PONG") => Some(Operation::Pong),
        Some("INFO") => Some(Operation::Info),
        Some("+OK") => None,
        _ => return Err(format!("the server says {line:?}")),
    };
    Ok(Some((operation, end + 1)))
}

fn message<'a>(
    line: &str,
    length: Option<&str>,
    bytes: &'a [u8],
    head: usize,
) -> Result<Option<(Option<Operation<'a>>, usize)>, String> {
    let length: usize =
        length.and_then(|length| length.parse().ok()).ok_or(format!("no length in {line:?}"))?;
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    match bytes.get(head + length..head + length + 2) {
        Some(b"\r\n") => Ok(Some((Some(Operation::Message(payload)), head + length + 2))),
        Some(_) => Err(format!("no end of line after the payload of {line:?}")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"INFO {\"max_payload\":1048576}\r\n+OK\r\nPONG\r\nMSG load 1 3\r\nabc\r\nMSG load 1 reply 0\r\n\r\nPING\r\n";

    fn read(chunks: &[&[u8]]) -> Result<Vec<String>, String> {
        let (mut operations, mut seen) = (Operations::default(), Vec::new());
        for chunk in chunks {
            operations.feed(chunk, |operation| {
                seen.push(match operation {
                    Operation::Message(payload) => format!("message {}", String::from_utf8_lossy(payload)),
                    other => format!("{other:?}"),
                });
                Ok(())
            })?;
        }
        assert_eq!(operations.partial.capacity(), 0, "a resting connection owns no memory");
        Ok(seen)
    }

    #[test]
    fn operations_are_found_wherever_the_stream_is_cut() {
        let whole = ["Info", "Pong", "message abc", "message ", "Ping"];
        for at in 0..=STREAM.len() {
            let (a, b) = STREAM.split_at(at);
            assert_eq!(read(&[a, b]).unwrap(), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), whole);
    }

    #[test]
    fn refusals_and_nonsense_are_errors() {
        for bad in ["-ERR 'Authorization Violation'\r\n", "MSG load 1 x\r\n", "MSG load 1 1\r\nabc", "\r\n"] {
            assert!(read(&[bad.as_bytes()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_we_say_fits_into_one_short_frame() {
        assert!(SUBSCRIBE.len() <= 125 && SUBSCRIBE.contains(&format!("SUB {SUBJECT} 1")));
    }
}
