//! Where do the webhooks of the demo lead?
//!
//! To an endpoint in this process, on this machine only. It takes most of what it gets and refuses some, so that deliveries that failed and
//! were repeated are to be seen.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Longest message that is read.
const MOST: usize = 256 * 1024;
/// One message in so many is refused; it comes again.
const REFUSES: u64 = 12;
/// Connections at a time.
const AT_ONCE: usize = 64;

/// A message that was taken.
pub(super) struct Taken {
    pub(super) tenant: String,
    pub(super) seq: u64,
    pub(super) kind: String,
}

/// The endpoint, listening.
pub(super) struct Receiver {
    listener: TcpListener,
    /// Connections that were accepted.
    connections: AtomicU64,
}

impl Receiver {
    pub(super) async fn listen() -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await?, connections: AtomicU64::new(0) })
    }

    /// The URL to send to.
    pub(super) fn url(&self) -> std::io::Result<String> {
        Ok(format!("http://{}/demo", self.listener.local_addr()?))
    }

    /// Takes messages for ever; `told` hears of each.
    pub(super) async fn run(&self, told: impl Fn(Taken)) -> std::io::Result<()> {
        let (taken, mut all) = tokio::sync::mpsc::unbounded_channel();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < AT_ONCE => {
                    let (socket, _) = accepted?;
                    let (taken, begins_at) = (taken.clone(), self.connections.fetch_add(1, Ordering::Relaxed));
                    connections.spawn(async move { serve(socket, begins_at, &taken).await });
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
                Some(message) = all.recv() => told(message),
            }
        }
    }
}

/// One connection, kept as long as the sender likes.
async fn serve(mut socket: TcpStream, mut count: u64, taken: &tokio::sync::mpsc::UnboundedSender<Taken>) {
    let mut read = Vec::new();
    while let Some(body) = next(&mut socket, &mut read).await {
        count += 1;
        let refused = count.is_multiple_of(REFUSES);
        let answer = match refused {
            true => "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 11\r\n\r\nrefused now",
            false => "HTTP/1.1 204 No Content\r\n\r\n",
        };
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if !refused && let Some(message) = message(&body) {
            // Nobody listens any more when the demo ends.
            let _ = taken.send(message);
        }
    }
}

fn message(body: &[u8]) -> Option<Taken> {
    let event: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    Some(Taken { tenant: text("tenant")?, seq: event["seq"].as_u64()?, kind: text("type")? })
}

/// The body of the next request; none when there is no further one, or it is none that we read.
async fn next(socket: &mut TcpStream, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some((head, length)) = head(read) {
            let whole = head.checked_add(length)?;
            if read.len() >= whole {
                let rest = read.split_off(whole);
                let body = std::mem::replace(read, rest).split_off(head);
                return Some(body);
            }
        }
        if read.len() > MOST || socket.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Where the head of a request ends and how long its body is, once all of the head is there.
fn head(read: &[u8]) -> Option<(usize, usize)> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..end]).ok()?;
    let length = text.lines().filter_map(|line| line.split_once(':'));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some((end, length.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_once_all_of_its_head_is_there() {
        assert_eq!(head(b"POST /demo HTTP/1.1\r\nContent-Length: 5\r\n"), None);
        let request = b"POST /demo HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(head(request), Some((request.len() - 5, 5)));
        assert_eq!(head(b"GET / HTTP/1.1\r\n\r\n"), Some((18, 0)));
    }

    #[tokio::test]
    async fn messages_are_taken_one_after_another_on_one_connection_and_some_are_refused() {
        let receiver = Receiver::listen().await.unwrap();
        let address = receiver.listener.local_addr().unwrap();
        let taken = std::sync::Mutex::new(Vec::new());
        let sending = async {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let mut statuses = Vec::new();
            for seq in 1..=REFUSES {
                let body = format!(r#"{{"tenant":"shop","seq":{seq},"type":"order.paid"}}"#);
                let head = format!("POST /demo HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
                socket.write_all((head + &body).as_bytes()).await.unwrap();
                let mut answer = vec![0; 256];
                let length = socket.read(&mut answer).await.unwrap();
                statuses.push(String::from_utf8_lossy(&answer[9..12.min(length)]).into_owned());
            }
            while taken.lock().unwrap().len() + 1 < statuses.len() {
                tokio::task::yield_now().await;
            }
            statuses
        };
        let run =
            receiver.run(|message| taken.lock().unwrap().push((message.tenant, message.seq, message.kind)));
        let statuses = tokio::select! {
            statuses = sending => statuses,
            _ = run => unreachable!("it runs for ever"),
        };
        assert_eq!(statuses.iter().filter(|status| *status == "500").count(), 1, "{statuses:?}");
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len() as u64, REFUSES - 1);
        assert_eq!(taken[0], ("shop".to_owned(), 1, "order.paid".to_owned()));
    }
}
