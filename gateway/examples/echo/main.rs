//! Does the codec hold against clients that nobody here wrote? A WebSocket echo server for `make conformance`.
//!
//! `echo [PORT]` listens on the loopback address, on a free port if none is given, and prints
//! `listening on ws://127.0.0.1:PORT`. It serves each connection in a thread of its own until it is killed.

#![expect(clippy::print_stdout, reason = "whoever starts it reads the port there")]

mod session;

use carillon_gateway::ws::handshake::check;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use session::{Session, Then};
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// Largest message. The suite sends up to 16 MiB, where production takes 64 KiB.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Largest head of a request.
const REQUEST_BYTES: usize = 16 * 1024;
/// A client that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a client may take to close its side after the closing handshake.
const GOODBYE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse().map_err(|_| invalid("the port is not a number"))?,
        None => 0,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept()?;
        std::thread::spawn(move || serve(socket));
    }
}

/// Serves one connection to its end. A socket that breaks ends it; there is nobody to tell.
fn serve(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let (head, early) = request(&mut socket)?;
    let (method, version, headers) = parse(&head)?;
    let upgrade = match check(&method, version, &headers, true) {
        Ok(upgrade) => upgrade,
        Err(fault) => {
            let mut response = Response::new(());
            *response.status_mut() = fault.status();
            return socket.write_all(worded(&response)?.as_bytes());
        }
    };
    socket.write_all(worded(&upgrade.response::<()>())?.as_bytes())?;

    let mut session = Session::new(upgrade.deflate, MESSAGE_BYTES);
    let mut buffer = vec![0; 64 * 1024];
    let mut out = Vec::new();
    let mut read = early.len();
    buffer[..read].copy_from_slice(&early);
    loop {
        let then = session.take_in(&mut buffer[..read], &mut out);
        socket.write_all(&out)?;
        out.clear();
        if then == Then::Closed {
            return say_goodbye(&mut socket, &mut buffer);
        }
        read = socket.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
    }
}

/// Closes our side and waits for the client's. Were the socket dropped with bytes unread, the kernel would reset the
/// connection, and the client might never see our close frame.
fn say_goodbye(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(GOODBYE))?;
    while socket.read(buffer)? > 0 {}
    Ok(())
}

/// Reads a request's head, and what came behind it.
fn request(socket: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = vec![0; REQUEST_BYTES];
    let mut have = 0;
    loop {
        if let Some(end) = bytes[..have].windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| invalid("not text"))?;
            return Ok((head, bytes[end + 4..have].to_vec()));
        }
        match socket.read(&mut bytes[have..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => have += read,
        }
    }
}

fn parse(head: &str) -> io::Result<(Method, Version, HeaderMap)> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let method = first.split(' ').next().and_then(|method| method.parse().ok());
    let method = method.ok_or_else(|| invalid("no method"))?;
    let version = if first.ends_with(" HTTP/1.1") { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header without a colon"))?;
        let name = HeaderName::try_from(name).map_err(|_| invalid("a malformed header name"))?;
        let value = HeaderValue::try_from(value.trim()).map_err(|_| invalid("a malformed header value"))?;
        headers.append(name, value);
    }
    Ok((method, version, headers))
}

/// A response's head as it goes over the wire.
fn worded(response: &Response<()>) -> io::Result<String> {
    let status = response.status();
    let mut text =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    for (name, value) in response.headers() {
        let value = value.to_str().map_err(|_| invalid("a header value that is not ASCII"))?;
        write!(text, "{name}: {value}\r\n").map_err(|_| invalid("no room"))?;
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        text.push_str("content-length: 0\r\nconnection: close\r\n");
    }
    text.push_str("\r\n");
    Ok(text)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
