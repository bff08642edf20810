//! How does a service listen?

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; the kernel takes `net.core.somaxconn` if that is less. Room for a storm of
/// returning clients: one that finds no place tries again only after a second.
const BACKLOG: u32 = 4_096;
/// "Address family not supported by protocol", on Linux.
const EAFNOSUPPORT: i32 = 97;

/// Listens on an address, also one that a process before us has just left. `[::]` is every address of this host, IPv4 too; where
/// the kernel has no IPv6 that is all of IPv4.
///
/// # Errors
/// What the system says, for example that the address is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    on(address).or_else(|error| on(without_ipv6(address, &error).ok_or(error)?))
}

/// Where a process that listens on `listen` can be reached from its own host: every address is also one of IPv4, which each host has.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip().is_unspecified() {
        true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        false => listen,
    }
}

fn on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Whatever net.ipv6.bindv6only says.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What to listen on instead where the kernel cannot make a socket of IPv6.
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let has_none = error.raw_os_error() == Some(EAFNOSUPPORT);
    (has_none && address.is_ipv6() && address.ip().is_unspecified())
        .then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn every_address_is_of_both_families() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(TcpStream::connect(reachable(address)).is_ok());
        // Where this machine has an address of IPv6 at all.
        if std::net::UdpSocket::bind("[::1]:0").is_ok() {
            assert!(TcpStream::connect(("::1", address.port())).is_ok());
        }
    }

    #[test]
    fn an_unspecified_address_means_this_host() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9080"), "127.0.0.1:9080");
        assert_eq!(reached("[::]:9080"), "127.0.0.1:9080");
        assert_eq!(reached("10.1.2.3:9080"), "10.1.2.3:9080");
        assert_eq!(reached("[fd00::1]:9080"), "[fd00::1]:9080");
    }

    #[test]
    fn a_kernel_without_ipv6_has_every_address_of_ipv4() {
        let instead = |address: &str, code| {
            without_ipv6(address.parse().unwrap(), &io::Error::from_raw_os_error(code))
                .map(|it| it.to_string())
        };
        assert_eq!(instead("[::]:8080", EAFNOSUPPORT).as_deref(), Some("0.0.0.0:8080"));
        // Whoever names one address means it, and another error is the caller's to know.
        assert_eq!(instead("[fd00::1]:8080", EAFNOSUPPORT), None);
        assert_eq!(instead("0.0.0.0:8080", EAFNOSUPPORT), None);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = std::net::TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(instead("[::]:8080", error.raw_os_error().unwrap()), None);
    }

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
