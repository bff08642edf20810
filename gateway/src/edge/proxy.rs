//! Whose connection is it that a balancer passes on?
//!
//! The PROXY protocol (haproxy's doc/proxy-protocol.txt), version 1 or 2: a header before the first byte of HTTP.

use proxy_header::{ParseConfig, ProxyHeader};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

/// How long a balancer may take with it.
const WITHIN: Duration = Duration::from_secs(5);
/// How soon one that came in pieces is looked at again.
const AGAIN: Duration = Duration::from_millis(5);
/// What most headers fit into: version 1 has at most 107 bytes, version 2 with addresses alone 232.
const USUAL: usize = 1_024;
/// Longest header: version 2 counts what follows its first 16 bytes in two, and balancers put certificates and names there.
const LONGEST: usize = 16 + u16::MAX as usize;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    #[error("the connection does not begin with one")]
    Other,
    #[error("it did not come within 5 s")]
    Late,
    #[error("the connection ended: {0}")]
    Ended(#[from] io::Error),
}

/// Reads the header, and nothing behind it. None when the balancer speaks for itself (its health checks) or does not
/// know.
pub(super) async fn announced(socket: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyFault> {
    tokio::time::timeout(WITHIN, read(socket)).await.unwrap_or(Err(ProxyFault::Late))
}

async fn read(socket: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyFault> {
    let mut seen = vec![0; USUAL];
    loop {
        socket.ready(Interest::READABLE).await?;
        let length = socket.peek(&mut seen).await?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match parse(&seen[..length]) {
            Parsed::Header(bytes, client) => {
                socket.read_exact(&mut seen[..bytes]).await?;
                return Ok(client);
            }
            // What is there stays readable, so waiting for readiness would not wait.
            Parsed::Incomplete if length < seen.len() => tokio::time::sleep(AGAIN).await,
            Parsed::Incomplete if length < LONGEST => seen.resize(LONGEST, 0),
            Parsed::Incomplete | Parsed::Other => return Err(ProxyFault::Other),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// So many bytes long, and whose connection it is.
    Header(usize, Option<SocketAddr>),
    Incomplete,
    Other,
}

fn parse(bytes: &[u8]) -> Parsed {
    match ProxyHeader::parse(bytes, ParseConfig::default()) {
        // Without an address the balancer speaks for itself.
        Ok((header, length)) => Parsed::Header(length, header.proxied_address().map(|of| of.source)),
        Err(proxy_header::Error::BufferTooShort) => Parsed::Incomplete,
        Err(_) => Parsed::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\xc3\x50\0\x50";

    #[test]
    fn both_versions_tell_the_client_and_leave_what_follows() {
        let v1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 50000 80\r\n";
        let client = "203.0.113.7:50000".parse().ok();
        for header in [&v1[..], V2] {
            let whole = [header, b"GET /v1/ws HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&whole), Parsed::Header(header.len(), client));
            for cut in 1..header.len() {
                assert_eq!(parse(&whole[..cut]), Parsed::Incomplete, "cut at {cut}");
            }
        }
        assert_eq!(parse(b"PROXY UNKNOWN\r\nGET /"), Parsed::Header(15, None));
        let mut own = V2.to_vec();
        own[12] = 0x20;
        assert_eq!(parse(&own), Parsed::Header(V2.len(), None), "a balancer's own health check");
    }

    #[tokio::test]
    async fn a_header_may_be_as_long_as_its_length_can_say() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // A certificate, say, as one extension behind the addresses.
        for extension in [0, 900, 1_100, 9_000, usize::from(u16::MAX) - 15] {
            let length = u16::try_from(12 + 3 + extension).unwrap();
            let mut header = V2.to_vec();
            header[14..16].copy_from_slice(&length.to_be_bytes());
            header.push(0xe0);
            header.extend(u16::try_from(extension).unwrap().to_be_bytes());
            header.extend(vec![7; extension]);
            let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            let whole = [&header[..], b"GET"].concat();
            let sending = tokio::spawn(async move {
                sender.write_all(&whole).await.unwrap();
                sender
            });
            let client = announced(&mut socket).await.unwrap();
            assert_eq!(client, "203.0.113.7:50000".parse().ok(), "{extension}");
            let mut rest = [0; 3];
            socket.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET", "what follows is HTTP's");
            drop(sending.await.unwrap());
        }
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        for other in [&b"GET /v1/ws HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n", b"\0\0"] {
            assert_eq!(parse(other), Parsed::Other, "{other:?}");
        }
    }
}
