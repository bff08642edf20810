//! How does somebody who polls get a WebSocket?
//!
//! The client probes it, hears that it works, lets its last poll end, and says that it goes on there. Then the shard pauses, what no poll
//! has got is written to the WebSocket, and the shard goes on with that instead of the connection within this process. Both carry the same
//! bytes, so nothing is lost or repeated.

use super::session::{Probing, Session};
use crate::edge::handshake::Edge;
use crate::metrics::metrics;
use crate::shard::{Moved, ToShard};
use crate::socketio::engine::EnginePacket;
use crate::socketio::pipe::of_client;
use crate::ws::encode::{push_pong, push_text};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a client may take with its probe.
const PROBE: Duration = Duration::from_secs(10);
/// Bytes that may come before it has said that it goes on here.
const EARLY: usize = 4 * 1024;

/// Moves a session to a WebSocket, if its client says so in time; else only the WebSocket ends.
pub(in crate::edge) async fn upgrade(
    mut socket: TcpStream,
    early: Bytes,
    head: Bytes,
    probing: Probing,
    edge: Arc<Edge>,
) {
    let session = probing.session();
    let early = match timeout(PROBE, probe(&mut socket, &early, &head, session)).await {
        Ok(Ok(early)) => early,
        Ok(Err(_)) | Err(_) => {
            return metrics().fallback("socketio_probe_failed");
        }
    };
    // From here on it is known at no other address.
    if !edge.sessions.remove(&session.id) {
        return;
    }
    let id = session.connection;
    let shard = usize::from(id.shard);
    // Whatever fails from here on, the connection is not left paused.
    match on_websocket(socket, session, || edge.shards.send(shard, ToShard::Pause(id))).await {
        Some(socket) => {
            metrics().fallback("socketio_upgrade");
            edge.shards.send(shard, ToShard::Moved(id, Box::new(Moved { socket, early: early.freeze() })));
        }
        None => edge.shards.send(shard, ToShard::Lost(id)),
    }
}

/// Has the shard pause and writes what no poll has got to the WebSocket, which is the shard's then.
async fn on_websocket(
    mut socket: TcpStream,
    session: &Session,
    pause: impl FnOnce(),
) -> Option<mio::net::TcpStream> {
    let rest = session.rest(pause).await?;
    timeout(PROBE, socket.write_all(&rest)).await.ok()?.ok()?;
    socket.into_std().ok().map(mio::net::TcpStream::from_std)
}

/// Lets a client probe the WebSocket, until it goes on there. Answers what it said after that.
async fn probe(socket: &mut TcpStream, early: &[u8], head: &[u8], session: &Session) -> io::Result<BytesMut> {
    let misplaced = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    socket.write_all(head).await?;
    let mut bytes = BytesMut::from(early);
    let mut probed = false;
    loop {
        while let Some(asked) = of_client(&bytes).map_err(|fault| misplaced(&fault.to_string()))? {
            bytes.advance(asked.size);
            let mut out = Vec::new();
            let text = std::str::from_utf8(&asked.payload).unwrap_or_default();
            match EnginePacket::parse(text) {
                _ if asked.is_ping => push_pong(&mut out, &asked.payload),
                Ok(EnginePacket::Ping("probe")) => {
                    push_text(&mut out, &[EnginePacket::Pong("probe").to_text().as_bytes()]);
                    probed = true;
                }
                Ok(EnginePacket::Upgrade) if probed => return Ok(bytes),
                _ => return Err(misplaced("before the upgrade only a probe is taken")),
            }
            socket.write_all(&out).await?;
            if probed {
                session.set_probed();
            }
        }
        if bytes.len() > EARLY || socket.read_buf(&mut bytes).await? == 0 {
            return Err(misplaced("the client did not go on here"));
        }
    }
}
