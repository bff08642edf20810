//! How does a connection go on at another socket?
//!
//! A client of Socket.IO that polled has a WebSocket now. Both carry the same bytes: it pauses wherever it is in them, and goes on there.

use super::context::Context;
use super::tables::Tables;
use super::world::{Socket, World};

/// Writes nothing more: whoever reads at the other end comes to an end. From now on the connection is as one whose client does not read.
pub(super) fn pause<W: World>(key: u32, tables: &mut Tables<W::Socket>, context: &mut Context<W>) {
    let Some(connection) = tables.get_mut(key).filter(|connection| !connection.is_gone()) else { return };
    connection.socket.end_writing();
    // Whatever becomes of it, it is not the client's.
    context.world.deregister(&mut connection.socket);
    connection.writable = false;
    connection.unread = false;
    connection.blocked_ms = Some(context.now_ms);
}

/// Goes on at another socket. False if that cannot be watched: then the connection is of no use.
pub(super) fn go_on_at<W: World>(
    key: u32,
    mut socket: W::Socket,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) -> bool {
    let Some(connection) = tables.get_mut(key).filter(|connection| !connection.is_gone()) else {
        return false;
    };
    if let Err(error) = context.world.register(&mut socket, key) {
        tracing::error!(%error, "a socket cannot be watched");
        connection.lose();
        return false;
    }
    connection.socket = socket;
    (connection.writable, connection.unread, connection.has_end) = (true, true, false);
    connection.heard_ms = context.now_ms;
    true
}
