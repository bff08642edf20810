//! From which address does the hostile side come? Not the innocent's: all of 127.0.0.0/8 is this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// A connection from the hostile address, with a receive buffer of so many bytes if given.
pub(super) async fn connect(to: SocketAddr, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind((HOSTILE, 0).into())?;
    socket.connect(to).await
}
