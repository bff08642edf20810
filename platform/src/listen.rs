//! How does a service listen?

use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; the kernel takes `net.core.somaxconn` if that is less. Room for a storm of
/// returning clients: one that finds no place tries again only after a second.
const BACKLOG: u32 = 4_096;

/// Listens on an address, also one that a process before us has just left.
///
/// # Errors
/// What the system says, for example that the address is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn a_thousand_may_wait_to_be_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let most: usize =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        // Nobody is accepted meanwhile: one more than the queue holds would try again until the system gives up.
        let waiting: Vec<_> = (0..most.min(1_000)).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(waiting.len(), most.min(1_000));
        assert!(listen(address).is_err(), "taken");
    }
}
