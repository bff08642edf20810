//! Does a run turn red when the way to a client is false? A proxy that changes frames as they pass.
//!
//! It stands between clients and a gateway and understands what a server sends without extensions: frames that are
//! whole, not masked, and events among them. So a promise is broken outside of the product, which has no switch for it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::ports;

/// What is done to one event that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// It never arrives.
    Drop,
    /// It arrives twice.
    Double,
    /// It arrives after the one that follows it.
    Swap,
    /// It says something else.
    Alter,
    /// It is kept, and given to the next connection of another tenant as well.
    Stranger,
    /// The connection ends without a word.
    Hang,
}

/// The events that pass before the trick, on one connection.
const BEFORE: usize = 3;
/// Longest frame that is read.
const MOST: usize = 1 << 20;

/// Connect to [`Meddler::addr`] instead of to the gateway. It ends when it is dropped.
#[derive(Debug)]
pub struct Meddler {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether the trick was played.
    played: bool,
    /// An event and the tenant that it is of, on its way to a stranger.
    kept: Option<(String, Vec<u8>)>,
}

impl Meddler {
    /// Before the gateway at `upstream`; the trick is played once.
    pub async fn start(upstream: SocketAddr, trick: Trick) -> io::Result<Self> {
        let addr = ports::loopback(ports::free()?);
        let listener = TcpListener::bind(addr).await?;
        let task = tokio::spawn(async move {
            let shared = Arc::new(Mutex::new(Shared::default()));
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, upstream, trick, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, task })
    }

    /// `ws://127.0.0.1:PORT/v1/ws`.
    pub fn ws_url(&self) -> String {
        format!("ws://{}/v1/ws", self.addr)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, trick: Trick, shared: Arc<Mutex<Shared>>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client_reads, client_writes) = client.into_split();
    let (server_reads, mut server_writes) = server.into_split();
    let back = Back { from: server_reads, to: client_writes, buffer: Vec::new(), trick, shared };
    // Whichever way ends first ends both.
    tokio::select! {
        _ = tokio::io::copy(&mut client_reads, &mut server_writes) => {}
        _ = back.run() => {}
    }
}

/// What comes from the gateway on one connection.
struct Back {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    buffer: Vec<u8>,
    trick: Trick,
    shared: Arc<Mutex<Shared>>,
}

impl Back {
    async fn run(mut self) -> io::Result<()> {
        let head = self.head().await?;
        self.to.write_all(&head).await?;
        let (mut seen, mut tenant, mut late) = (0, String::new(), None::<Vec<u8>>);
        loop {
            let frame = self.frame().await?;
            let text = payload(&frame);
            if text.starts_with(br#"{"type":"welcome""#) {
                tenant = word(text, "tenant");
            }
            if !text.starts_with(br#"{"type":"event""#) {
                self.to.write_all(&frame).await?;
                continue;
            }
            seen += 1;
            if let Some(foreign) = self.foreign(&tenant) {
                self.to.write_all(&foreign).await?;
            }
            if seen > BEFORE && self.plays(&tenant, &frame) {
                match self.trick {
                    Trick::Drop => {}
                    Trick::Double => {
                        self.to.write_all(&frame).await?;
                        self.to.write_all(&frame).await?;
                    }
                    Trick::Swap => late = Some(frame),
                    Trick::Alter => self.to.write_all(&altered(frame)).await?,
                    Trick::Stranger => self.to.write_all(&frame).await?,
                    Trick::Hang => return Ok(()),
                }
                continue;
            }
            self.to.write_all(&frame).await?;
            if let Some(before) = late.take() {
                self.to.write_all(&before).await?;
            }
        }
    }

    /// Whether the trick is played now: once, on whichever connection comes first.
    fn plays(&self, tenant: &str, frame: &[u8]) -> bool {
        let mut shared = lock(&self.shared);
        let now = !shared.played;
        shared.played = true;
        if now && self.trick == Trick::Stranger {
            shared.kept = Some((tenant.to_owned(), frame.to_vec()));
        }
        now
    }

    /// What is kept of another tenant.
    fn foreign(&self, tenant: &str) -> Option<Vec<u8>> {
        let mut shared = lock(&self.shared);
        shared.kept.take_if(|(of, _)| of != tenant).map(|(_, frame)| frame)
    }

    /// The answer to the upgrade, up to the empty line.
    async fn head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(self.buffer.drain(..at + 4).collect());
            }
            self.more().await?;
        }
    }

    async fn frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match length(&self.buffer) {
                Some(length) if length > MOST => return Err(io::ErrorKind::InvalidData.into()),
                Some(length) if self.buffer.len() >= length => {
                    return Ok(self.buffer.drain(..length).collect());
                }
                _ => self.more().await?,
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.from.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of head of a frame that is not masked, and of its payload; none when that is not there yet.
fn sizes(buffer: &[u8]) -> Option<(usize, usize)> {
    match buffer.get(1)? & 0x7f {
        126 => Some((4, u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?).into())),
        127 => Some((10, u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?).try_into().ok()?)),
        small => Some((2, small.into())),
    }
}

fn length(buffer: &[u8]) -> Option<usize> {
    sizes(buffer).map(|(head, payload)| head + payload)
}

fn payload(frame: &[u8]) -> &[u8] {
    sizes(frame).and_then(|(head, _)| frame.get(head..)).unwrap_or_default()
}

/// The text of a member of a JSON object, as far as it has nothing escaped.
fn word(text: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(text);
    let rest = text.split_once(&format!("\"{name}\":\"")).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// The same length, other data: the workload's own number has another first digit.
fn altered(mut frame: Vec<u8>) -> Vec<u8> {
    let mark = br#""data":{"n":"#;
    if let Some(at) = frame.windows(mark.len()).position(|bytes| bytes == mark)
        && let Some(digit) = frame.get_mut(at + mark.len())
    {
        *digit = if *digit == b'9' { b'8' } else { b'9' };
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_each_length_are_taken_whole() {
        assert_eq!(length(&[0x81]), None);
        assert_eq!(length(&[0x81, 5]), Some(7));
        assert_eq!(length(&[0x81, 126, 1, 0]), Some(260));
        assert_eq!(length(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Some(65_546));
        assert_eq!(length(&[0x81, 127, 0, 0]), None);
        assert_eq!(payload(&[0x81, 2, b'h', b'i']), b"hi");
    }

    #[test]
    fn what_is_altered_keeps_its_length() {
        let frame = br#"__{"type":"event","event":{"data":{"n":12,"of":"a"}}}"#.to_vec();
        let other = altered(frame.clone());
        assert!(other.len() == frame.len() && String::from_utf8_lossy(&other).contains(r#""n":92"#));
        assert_eq!(word(br#"{"type":"welcome","tenant":"a-b"}"#, "tenant"), "a-b");
    }
}
