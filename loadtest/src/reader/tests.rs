//! Does a reader see every fault, and does it speak WebSocket with another implementation?

use std::net::TcpListener;

use tungstenite::protocol::{CloseFrame, Message};

use super::tally::check;
use super::*;
use crate::inflate::deflated;
use crate::target::Address;

fn judged(frames: &[&str]) -> (u64, Tally) {
    let seat = Seat { number: 3, tenant: 0, dial: Dial::Bare { port: 1, group: 0 }, sampled: true };
    let (mut tally, mut cursor) = (Tally::new().unwrap(), 4);
    let events =
        frames.iter().map(|frame| check(&mut tally, &seat, &mut cursor, frame.as_bytes(), 2_000_000)).sum();
    (events, tally)
}

fn event(seq: u64) -> String {
    format!(r#"{{"type":"event","seq":{seq},"channels":["tenant"],"event":{{"data":{{"stamp":1000000}}}}}}"#)
}

#[test]
fn an_unbroken_sequence_is_right_and_measured() {
    let (events, tally) = judged(&[&event(5), r#"{"type":"heartbeat","seq":5}"#, &event(6)]);
    assert_eq!((events, tally.faults, tally.arrivals.len()), (2, 0, 2));
    assert_eq!(tally.latency.percentiles().p50_us, 1000);
}

#[test]
fn holes_repeats_and_strangers_are_faults() {
    let (_, hole) = judged(&[&event(5), &event(7), &event(8)]);
    assert_eq!((hole.faults, hole.told[0].as_str()), (1, "connection 3: seq 7 after 5"));
    let (_, repeat) = judged(&[&event(5), &event(5), &event(6)]);
    assert_eq!((repeat.faults, repeat.told[0].as_str()), (1, "connection 3: seq 5 after 5"));
    let (_, swapped) = judged(&[&event(6), &event(5), &event(7)]);
    assert_eq!(swapped.faults, 2);
    let (_, stranger) =
        judged(&[r#"{"type":"event","seq":5,"event":{"data":{}}}"#, r#"{"type":"reset"}"#, "x"]);
    assert_eq!(stranger.faults, 3);
}

#[test]
fn compressed_events_are_checked_like_plain_ones() {
    let seat = Seat { number: 3, tenant: 0, dial: Dial::Bare { port: 1, group: 0 }, sampled: true };
    let (mut tally, mut cursor, mut heard) = (Tally::new().unwrap(), 4, Heard::default());
    let mut inflater = Inflater::default();
    let mut judge = Judge {
        tally: &mut tally,
        inflater: &mut inflater,
        seat: &seat,
        cursor: &mut cursor,
        now: 2_000_000,
    };
    heard.take(Kind::Compressed, &deflated(event(5).as_bytes()), &mut judge);
    heard.take(Kind::Text, event(6).as_bytes(), &mut judge);
    heard.take(Kind::Compressed, &deflated(event(6).as_bytes()), &mut judge);
    heard.take(Kind::Compressed, &[0xff, 0xff], &mut judge);
    assert_eq!((heard.events, tally.compressed, tally.faults), (3, 2, 2));
    assert_eq!(
        tally.told,
        ["connection 3: seq 6 after 6", "connection 3: a compressed frame that is no deflate data"]
    );
    assert_eq!(tally.bytes, 3 * event(5).len() as u64, "as large as the JSON");
}

/// Welcomes as many connections as there are scripts, plays them, and waits for each to leave; says how they left.
fn gateway(scripts: Vec<Vec<Message>>) -> (Address, JoinHandle<Vec<Message>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address { authority: listener.local_addr().unwrap().to_string(), path: "/v1/ws".into() };
    let playing = std::thread::spawn(move || {
        let play = |script: Vec<Message>| {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut socket = tungstenite::accept(stream).unwrap();
            socket.send(Message::text(r#"{"type":"welcome","seq":4,"epoch":"e","resumed":"live"}"#)).unwrap();
            script.into_iter().for_each(|message| socket.send(message).unwrap());
            socket
        };
        let sockets: Vec<_> = scripts.into_iter().map(play).collect();
        sockets.into_iter().map(|mut socket| socket.read().unwrap()).collect()
    });
    (address, playing)
}

fn sit(address: &Address, number: usize) -> Seat {
    let dial = Dial::Gateway { address: address.clone(), token: "tok".into(), source: None, compress: false };
    Seat { number, tenant: 0, dial, sampled: false }
}

#[test]
fn connections_are_read_and_leave_politely() {
    let events = [5, 6, 7].map(|seq| Message::text(event(seq))).to_vec();
    let (address, playing) = gateway(vec![events.clone(), events]);
    let readers = Readers::start(&[sit(&address, 0), sit(&address, 1)], 2).unwrap();
    readers.all_welcomed(Duration::from_secs(5)).unwrap();
    assert_eq!(readers.delivered(6, Duration::from_secs(5)).unwrap(), 6);
    let tally = readers.finish().unwrap();
    assert_eq!((tally.faults, tally.ended), (0, 0), "{:?}", tally.told);
    let left = playing.join().unwrap();
    assert!(
        left.iter()
            .all(|message| matches!(message, Message::Close(Some(frame)) if u16::from(frame.code) == 1000))
    );
}

#[test]
fn a_ping_is_answered() {
    let (address, playing) = gateway(vec![vec![Message::Ping(vec![7].into())]]);
    let readers = Readers::start(&[sit(&address, 0)], 1).unwrap();
    assert_eq!(playing.join().unwrap(), [Message::Pong(vec![7].into())]);
    readers.finish().unwrap();
}

#[test]
fn an_early_end_is_a_fault() {
    let bye = Message::Close(Some(CloseFrame { code: 4408.into(), reason: "".into() }));
    let (address, playing) = gateway(vec![vec![Message::text(event(6)), bye]]);
    let readers = Readers::start(&[sit(&address, 0)], 1).unwrap();
    assert_eq!(readers.delivered(1, Duration::from_secs(5)).unwrap(), 1);
    assert!(matches!(playing.join().unwrap()[0], Message::Close(_)));
    let tally = readers.finish().unwrap();
    assert_eq!(
        (tally.told.as_slice(), tally.ended),
        (["connection 0: seq 6 after 4", "connection 0: closed with 4408"].map(String::from).as_slice(), 1)
    );
}

#[test]
fn a_gateway_that_is_not_there_is_named() {
    // Bound and not listening: nobody else can take the port, and nobody answers.
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = reserved.local_addr().unwrap();
    let address = Address { authority: unused.to_string(), path: "/v1/ws".into() };
    let readers = Readers::start(&[sit(&address, 0)], 1).unwrap();
    let failure = readers.all_welcomed(Duration::from_secs(5)).unwrap_err();
    assert!(failure.to_string().starts_with(&format!("connection 0 to {unused}: ")), "{failure}");
}

#[test]
fn a_gateway_that_does_not_compress_is_a_failure_when_it_was_asked_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address { authority: listener.local_addr().unwrap().to_string(), path: "/v1/ws".into() };
    // This implementation knows no extension.
    let plain = std::thread::spawn(move || tungstenite::accept(listener.accept().unwrap().0).is_ok());
    let dial = Dial::Gateway { address, token: "tok".into(), source: None, compress: true };
    let seat = Seat { number: 0, tenant: 0, dial, sampled: false };
    let readers = Readers::start(&[seat], 1).unwrap();
    let failure = readers.all_welcomed(Duration::from_secs(5)).unwrap_err();
    assert!(failure.to_string().ends_with("the gateway does not agree to permessage-deflate"), "{failure}");
    assert!(plain.join().unwrap(), "the handshake itself was right");
}
