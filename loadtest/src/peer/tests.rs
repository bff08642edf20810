//! Does a measurement count what a server delivers, loses and closes?

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use tungstenite::Message;

use super::*;
use crate::Report;
use crate::peer::args::Kind;

/// A server in the manner of `peers/bun`: `change` says which copies of an event its two subscribers get.
fn server(change: fn(u64, usize) -> usize) -> (SocketAddr, SocketAddr, JoinHandle<()>) {
    let (sockets, lines) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = (sockets.local_addr().unwrap(), lines.local_addr().unwrap());
    let playing = std::thread::spawn(move || {
        let mut subscribers: Vec<_> = (0..2)
            .map(|_| {
                let (stream, _): (TcpStream, _) = sockets.accept().unwrap();
                let mut socket = tungstenite::accept(stream).unwrap();
                assert_eq!(socket.read().unwrap(), Message::text("subscribe"));
                socket.send(Message::text("subscribed")).unwrap();
                socket
            })
            .collect();
        let (source, _) = lines.accept().unwrap();
        for (line, n) in BufReader::new(source).lines().map(Result::unwrap).zip(1..) {
            for (index, socket) in subscribers.iter_mut().enumerate() {
                (0..change(n, index)).for_each(|_| socket.send(Message::text(&line)).unwrap());
            }
        }
        // The source has gone: everything was counted. The subscribers say goodbye.
        for socket in &mut subscribers {
            assert!(matches!(socket.read(), Ok(Message::Close(_))));
            socket.get_mut().flush().unwrap();
        }
    });
    (addresses.0, addresses.1, playing)
}

fn measured(change: fn(u64, usize) -> usize) -> PeerFanout {
    let (url, publish, playing) = server(change);
    let args = PeerArgs {
        kind: Kind::Bun,
        token: None,
        url,
        publish: Some(publish),
        pid: std::process::id(),
        connections: vec![2],
        idle: false,
        rate: 50,
        seconds: 1,
        bytes: 120,
        drain: 1,
    };
    let fanout = fan_out(&args, 2).unwrap();
    playing.join().unwrap();
    fanout
}

#[test]
fn a_server_that_delivers_everything_is_right() {
    let fanout = measured(|_, _| 1);
    assert_eq!((fanout.subscribed, fanout.events, fanout.expected, fanout.deliveries), (2, 50, 100, 100));
    assert_eq!((fanout.message_bytes, fanout.post_to_socket.count), (120, 200));
    assert!(fanout.deliveries_per_read >= 1.0);
    assert!(Peer::Fanout(Box::new(fanout)).is_right());
}

#[test]
fn what_a_server_drops_or_doubles_is_counted() {
    // One subscriber never gets event 60, the other gets event 61 twice.
    let fanout = measured(|n, subscriber| match (n, subscriber) {
        (60, 0) => 0,
        (61, 1) => 2,
        _ => 1,
    });
    let Account { duplicates, out_of_order, .. } = fanout.account;
    assert_eq!((fanout.account.missed(), duplicates, out_of_order), (1, 1, 0));
    assert!(!Peer::Fanout(Box::new(fanout)).is_right());
}

#[test]
fn a_server_that_refuses_everybody_is_no_measurement() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = listener.local_addr().unwrap();
    let refusing = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
    });
    let crowd = Crowd::gather(Who { kind: Kind::Bun, token: "".into() }, url, 1).unwrap();
    assert_eq!((crowd.all_subscribed(CONNECT).unwrap(), crowd.lost()), (0, 1));
    let why = crowd.nobody(url).to_string();
    assert!(why.ends_with("refused: HTTP/1.1 503 Service Unavailable"), "{why}");
    refusing.join().unwrap();
}
