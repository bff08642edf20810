//! Does DNS alone bring HAProxy new gateways and take old ones away? (As with Compose's replicas or a headless Service.)
//!
//! The shipped servers stay as they are, by name; a small name server of this test says which addresses the name has.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use carillon_devstack::ports::{free, loopback};
use carillon_devstack::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

use crate::faults::probe::client;
use crate::faults::{PATIENCE, alone};
use crate::shipped::{Kind, Places, Shipped};

/// DNS types (RFC 1035).
const TYPE_A: u16 = 1;
const HEADER: usize = 12;

/// An address of loopback that no other server of the tests has.
fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 7, number)
}

/// Knows one name: `gateway`.
#[derive(Clone, Default)]
struct NameServer {
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl NameServer {
    fn say(&self, addresses: Vec<Ipv4Addr>) {
        *self.addresses.lock().unwrap() = addresses;
    }

    async fn serve(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = self.answer(&buffer[..length]) {
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    }

    /// The query's header and question back, with an A record for each address.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let name_ends = HEADER + query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
        let question_ends = name_ends + 5;
        let kind = u16::from_be_bytes([*query.get(name_ends + 1)?, *query.get(name_ends + 2)?]);
        let asks_for_us = kind == TYPE_A && query.get(HEADER..name_ends)? == b"\x07gateway";
        let addresses = self.addresses.lock().unwrap().clone();
        let answers = if asks_for_us { addresses } else { Vec::new() };
        let mut text = query.get(..2)?.to_vec();
        // An answer without error to one question; then so many records.
        text.extend([0x81, 0x80, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0]);
        text.extend(query.get(HEADER..question_ends)?);
        for address in answers {
            // The name is the question's; type A, class IN, one second to live, four bytes.
            text.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            text.extend(address.octets());
        }
        Some(text)
    }
}

/// Answers everything with 200 and its own address.
async fn host_serves(addr: SocketAddr) -> AbortHandle {
    let listener = TcpListener::bind(addr).await.unwrap();
    let name = addr.ip().to_string();
    let task = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", name.len());
            let answer = head + &name;
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    task.abort_handle()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_dns_names_come_and_go_by_themselves() {
    let _alone = alone().await;
    let (port, ops) = (free().unwrap(), free().unwrap());
    let mut hosts = Vec::new();
    for number in 1..=3 {
        hosts.push(host_serves((host(number), port).into()).await);
        hosts.push(host_serves((host(number), ops).into()).await);
    }
    let names = NameServer::default();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let name_server = socket.local_addr().unwrap();
    hosts.push(tokio::spawn(names.clone().serve(socket)).abort_handle());

    let shipped = std::fs::read_to_string(Kind::Haproxy.file()).unwrap();
    assert!(shipped.contains("parse-resolv-conf"));
    let text = shipped
        .replace("parse-resolv-conf", &format!("nameserver test {name_server}"))
        .replace("\"gateway:8080\"", &format!("\"gateway:{port}\""))
        .replace("CARILLON_GATEWAY_OPS_PORT  9080", &format!("CARILLON_GATEWAY_OPS_PORT  {ops}"));
    let place = || loopback(free().unwrap());
    let places =
        Places { public: place(), rest: place(), ops: place(), gateways: Vec::new(), publishers: Vec::new() };
    names.say(vec![host(1), host(2)]);
    let balancer = Shipped::start(Kind::Haproxy, places, &text).await;
    answering(&balancer, &[1, 2]).await;
    names.say(vec![host(1), host(2), host(3)]);
    answering(&balancer, &[1, 2, 3]).await;
    names.say(vec![host(2), host(3)]);
    answering(&balancer, &[2, 3]).await;
    hosts.iter().for_each(AbortHandle::abort);
}

/// Waits until these hosts, and no others, answer what clients ask.
async fn answering(balancer: &Shipped, hosts: &[u8]) {
    let wanted: BTreeSet<String> = hosts.iter().map(|number| host(*number).to_string()).collect();
    let url = format!("{}/v1/poll", balancer.url());
    let seen = wait::until(format!("answers from {wanted:?}"), 2 * PATIENCE, || async {
        let mut seen = BTreeSet::new();
        for _ in 0..12 {
            let answer = client().get(&url).send().await.ok()?;
            seen.insert(answer.text().await.ok()?);
        }
        (seen == wanted).then_some(())
    });
    seen.await.unwrap();
}
