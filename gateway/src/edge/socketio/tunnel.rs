//! How does somebody who polls get a WebSocket at a node that does not have their session?
//!
//! The node opens one to the session's node, and from then on hands on the bytes between the two; what is in them is for the ends. It costs
//! a place among the node's connections and one more descriptor for as long as it lasts, so there are so many and no more, and an address
//! has a share of them; without one the client goes on polling. A node that is to
//! have no clients ends them: who comes back recovers at another.

use super::elsewhere::FOR_CLIENT;
use crate::admission::Permit;
use crate::metrics::metrics;
use crate::serving::Serving;
use crate::socketio::engine::VERSION;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use carillon_platform::forward::Url;
use carillon_platform::share::{AddressGroup, Holding};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long the other node may take to answer.
const OPEN: Duration = Duration::from_secs(5);
/// Longest head of its answer.
const HEAD: usize = 4 * 1024;
/// What is handed on at a time, in either direction.
const PIECE: usize = 4 * 1024;
/// Whoever takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(30);
/// What one side still says is handed on for so long after the other has ended.
const LAST: Duration = Duration::from_secs(2);
/// When the node is to have no clients, tunnels end within this time, after balancers have noticed.
const LEAVE: std::ops::Range<u64> = 2_000..10_000;

/// A WebSocket to the node of a session.
pub(in crate::edge) struct Tunnel {
    node: TcpStream,
    /// What the node said already.
    said: Bytes,
    _permits: Permits,
}

/// What a tunnel takes of the node's; given back when it ends.
pub(super) struct Permits {
    _place: Permit,
    _share: Holding<AddressGroup, ()>,
    _socket: OwnedSemaphorePermit,
}

impl Permits {
    pub(super) fn new(place: Permit, share: Holding<AddressGroup, ()>, socket: OwnedSemaphorePermit) -> Self {
        metrics().polling_tunnels.increment(1);
        Self { _place: place, _share: share, _socket: socket }
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        metrics().polling_tunnels.decrement(1);
    }
}

impl Tunnel {
    /// Opens one to the node at this address, for this session.
    pub(super) async fn open(address: &Url, session: &str, permits: Permits) -> io::Result<Self> {
        timeout(OPEN, connect(address, session)).await?.map(|(node, said)| Self {
            node,
            said: said.freeze(),
            _permits: permits,
        })
    }

    /// Hands on what both sides say, until one of them ends. `head` and `early`: what the client has yet to get, and has said already.
    pub(in crate::edge) async fn run(
        self,
        mut client: TcpStream,
        early: Bytes,
        head: Bytes,
        serving: Serving,
    ) {
        let Self { mut node, said, _permits } = self;
        let begun = async {
            client.write_all(&head).await?;
            client.write_all(&said).await?;
            node.write_all(&early).await
        };
        if !matches!(timeout(STALLED, begun).await, Ok(Ok(()))) {
            return;
        }
        let leaves = async {
            serving.stops().await;
            sleep(Duration::from_millis(fastrand::u64(LEAVE))).await;
        };
        join(client, node, leaves).await;
    }
}

/// Hands on what both say until one of them ends, or until `leaves`.
async fn join(mut client: TcpStream, mut node: TcpStream, leaves: impl Future<Output = ()>) {
    let (mut of_client, mut to_client) = client.split();
    let (mut of_node, mut to_node) = node.split();
    let up = hand_on(&mut of_client, &mut to_node);
    let down = hand_on(&mut of_node, &mut to_client);
    tokio::pin!(up, down, leaves);
    tokio::select! {
        _ = &mut up => drop(timeout(LAST, down).await),
        _ = &mut down => drop(timeout(LAST, up).await),
        () = leaves => {}
    }
}

/// Hands on what comes until it ends; then the other side hears that it has.
async fn hand_on(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let came = from.read(&mut piece).await?;
        if came == 0 {
            return to.shutdown().await;
        }
        timeout(STALLED, to.write_all(&piece[..came])).await??;
    }
}

/// A WebSocket to the node, and what came behind its answer.
async fn connect(address: &Url, session: &str) -> io::Result<(TcpStream, BytesMut)> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut node = TcpStream::connect(&*place(address).ok_or_else(|| refused("no plain HTTP"))?).await?;
    node.set_nodelay(true)?;
    node.write_all(request(address, session).as_bytes()).await?;
    let mut read = BytesMut::with_capacity(512);
    loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            if !read.starts_with(b"HTTP/1.1 101 ") {
                return Err(refused("the node of the session takes no WebSocket"));
            }
            read.advance(at + 4);
            return Ok((node, read));
        }
        if read.len() > HEAD || node.read_buf(&mut read).await? == 0 {
            return Err(refused("the node of the session does not answer"));
        }
    }
}

/// Host and port of an address.
fn place(address: &Url) -> Option<String> {
    let host = address.host_str().filter(|_| address.scheme() == "http")?;
    Some(format!("{host}:{}", address.port_or_known_default()?))
}

/// What asks the node for a WebSocket. `session` is a client's to say: it stands in the URL in its form for URLs.
fn request(address: &Url, session: &str) -> String {
    let mut url = address.clone();
    url.set_path("/socket.io/");
    url.set_query(None);
    url.query_pairs_mut()
        .append_pair("EIO", VERSION)
        .append_pair("transport", "websocket")
        .append_pair("sid", session);
    let (path, query) = (url.path(), url.query().unwrap_or_default());
    let host = place(address).unwrap_or_default();
    let key = BASE64_STANDARD.encode(Uuid::new_v4().as_bytes());
    format!(
        "GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{FOR_CLIENT}: 1\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (one, listener.accept().await.unwrap().0)
    }

    #[test]
    fn what_a_client_calls_its_session_cannot_add_to_the_request() {
        let address: Url = "http://10.0.0.7:8080".parse().unwrap();
        let text = request(&address, "a\r\nx-evil: 1\r\n\r\n b&sid=c");
        assert_eq!(text.matches("\r\n").count(), 8);
        assert!(text.starts_with("GET /socket.io/?EIO=4&transport=websocket&sid=a%0D%0Ax-evil"), "{text}");
        assert!(text.contains("\r\nHost: 10.0.0.7:8080\r\n"));
        assert_eq!(place(&"http://[::1]:80".parse().unwrap()).as_deref(), Some("[::1]:80"));
        assert_eq!(place(&"https://10.0.0.7".parse().unwrap()), None);
    }

    #[tokio::test]
    async fn what_was_said_before_an_end_arrives_in_both_directions() {
        let ((mut page, client), (node, mut session)) = (pair().await, pair().await);
        let joined = tokio::spawn(join(client, node, pending()));
        let large = vec![7; 300_000];
        page.write_all(b"hello").await.unwrap();
        let mut came = [0; 5];
        session.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"hello");
        let (said, read) = (large.clone(), async {
            let mut all = Vec::new();
            page.read_to_end(&mut all).await.unwrap();
            all
        });
        let (sent, all) = tokio::join!(
            async {
                session.write_all(&said).await.unwrap();
                session.shutdown().await.unwrap();
            },
            read
        );
        let () = sent;
        assert!(all == large);
        drop(page);
        joined.await.unwrap();
        assert_eq!(session.read(&mut came).await.unwrap(), 0, "and the other side hears of the end");
    }

    #[tokio::test]
    async fn a_node_that_is_to_have_no_clients_ends_them() {
        let ((mut page, client), (node, mut session)) = (pair().await, pair().await);
        join(client, node, std::future::ready(())).await;
        let mut one = [0; 1];
        assert_eq!((page.read(&mut one).await.unwrap(), session.read(&mut one).await.unwrap()), (0, 0));
    }
}
