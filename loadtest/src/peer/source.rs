//! How are numbered events handed to a peer, at an even pace?

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::clock::monotonic_ns;
use crate::failure::Failure;
use crate::peer::args::Kind;
use crate::peer::event::Event;
use crate::peer::nats::{CONNECT, Operation, Operations, SUBJECT};

/// A server that takes longer for one event is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that events are handed in on.
pub(super) struct Source {
    kind: Kind,
    stream: TcpStream,
}

impl Source {
    /// Connects, and for NATS greets.
    pub(super) fn open(kind: Kind, address: SocketAddr) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if kind == Kind::Nats {
            stream.write_all(CONNECT.as_bytes())?;
            let (mut operations, mut ready, mut bytes) = (Operations::default(), false, [0; 4096]);
            while !ready {
                let length = stream.read(&mut bytes)?;
                let fed = operations.feed(&bytes[..length], |operation| {
                    ready |= operation == Operation::Pong;
                    Ok(())
                });
                fed.map_err(Failure::Publish)?;
                if length == 0 {
                    return Err(Failure::Publish("the server closed the connection".into()));
                }
            }
        }
        Ok(Self { kind, stream })
    }

    /// Publishes events with these numbers, `rate` a second, each of `bytes` bytes.
    pub(super) fn publish(
        &mut self,
        numbers: RangeInclusive<u64>,
        rate: u32,
        bytes: usize,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        for (index, n) in numbers.enumerate() {
            let due = begun + Duration::from_secs_f64(index as f64 / f64::from(rate));
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            let event = Event { n, stamp: monotonic_ns() }.json(bytes);
            self.stream.write_all(framed(self.kind, &event).as_bytes())?;
        }
        Ok(())
    }
}

/// One event as the publishing side wants it.
fn framed(kind: Kind, event: &str) -> String {
    match kind {
        Kind::Nats => format!("PUB {SUBJECT} {}\r\n{event}\r\n", event.len()),
        Kind::Socketio | Kind::CarillonSocketio | Kind::Bun => format!("{event}\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn events_are_lines_or_nats_publications() {
        assert_eq!(framed(Kind::Bun, "{}"), "{}\n");
        assert_eq!(framed(Kind::Socketio, "{}"), "{}\n");
        assert_eq!(framed(Kind::Nats, "{}"), "PUB load 2\r\n{}\r\n");
    }

    #[test]
    fn nats_is_greeted_before_the_first_publication() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"INFO {}\r\nPO").unwrap();
            stream.write_all(b"NG\r\n").unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            heard
        });
        Source::open(Kind::Nats, address).unwrap().publish(3..=4, 1000, 0).unwrap();
        let heard = server.join().unwrap();
        assert!(heard.starts_with(&format!("{CONNECT}PUB load ")), "{heard}");
        assert!(heard.contains(r#"{"n":3,"#) && heard.contains(r#"{"n":4,"#), "{heard}");
    }
}
