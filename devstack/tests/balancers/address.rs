//! Whom does a gateway believe about a client's address? Its limit of two connections for each address tells.
//!
//! All of loopback (127.0.0.0/8) is ours, so a client can come from 127.0.0.2. Balancers come from 127.0.0.1, which alone
//! is in CARILLON_TRUSTED_PROXIES.

use std::net::{IpAddr, SocketAddr};

use carillon_devstack::ports::{free, loopback};
use carillon_devstack::stack::StackConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::faults::{PATIENCE, Scene, TENANT, alone};
use crate::shipped::{BY_PATH, Kind, Node, Places, Shipped};

const SWITCHING_PROTOCOLS: u16 = 101;
const TOO_MANY: u16 = 429;

fn narrow() -> StackConfig {
    StackConfig { gateways: 1, ..StackConfig::default() }.gateway_var("CARILLON_MAX_CONNECTIONS_PER_IP", 2)
}

/// One who comes from an address of loopback.
struct Client<'a> {
    scene: &'a Scene,
    source: &'a str,
    /// Bytes before the handshake.
    preface: &'a str,
    /// What they say about themselves, a line of X-Forwarded-For each.
    forwarded_for: &'a [&'a str],
}

impl<'a> Client<'a> {
    fn from(scene: &'a Scene, source: &'a str) -> Self {
        Self { scene, source, preface: "", forwarded_for: &[] }
    }

    fn saying(self, forwarded_for: &'a [&'a str]) -> Self {
        Self { forwarded_for, ..self }
    }

    fn with_preface(self, preface: &'a str) -> Self {
        Self { preface, ..self }
    }

    /// Asks for a WebSocket: the connection and the status of the answer, none when there was no answer.
    async fn knocks(&self, at: SocketAddr) -> (TcpStream, Option<u16>) {
        let socket = TcpSocket::new_v4().unwrap();
        let source: IpAddr = self.source.parse().unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        let mut stream = socket.connect(at).await.unwrap();
        let token = self.scene.token(TENANT, "anna");
        let claimed: String =
            self.forwarded_for.iter().map(|line| format!("X-Forwarded-For: {line}\r\n")).collect();
        let handshake = format!(
            "{}GET /v1/ws HTTP/1.1\r\nHost: carillon\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n{claimed}\r\n",
            self.preface
        );
        // Whoever refuses the preface may have closed before all of it was written.
        let _ = stream.write_all(handshake.as_bytes()).await;
        let mut head = Vec::new();
        let status = timeout(PATIENCE, async {
            let mut byte = [0];
            while !head.ends_with(b"\r\n") {
                match stream.read(&mut byte).await {
                    Ok(1) => head.push(byte[0]),
                    _ => return None,
                }
            }
            String::from_utf8_lossy(&head).split(' ').nth(1)?.parse().ok()
        });
        let status = status.await.expect("an answer, or the end of the connection");
        (stream, status)
    }
}

/// Through the balancer two of each address come in, whatever they say about themselves.
async fn the_address_counts(scene: &Scene, at: SocketAddr, mine: &str, other: &str) {
    let me = || Client::from(scene, mine);
    let (first, status) = me().knocks(at).await;
    assert_eq!(status, Some(SWITCHING_PROTOCOLS));
    let (_second, status) = me().knocks(at).await;
    assert_eq!(status, Some(SWITCHING_PROTOCOLS));
    assert_eq!(me().knocks(at).await.1, Some(TOO_MANY));
    let lies: [&[&str]; 7] = [
        &["198.51.100.9"],
        &["198.51.100.9, 127.0.0.1"],
        &["127.0.0.1"],
        &["::1"],
        &["nonsense"],
        &["198.51.100.9", "127.0.0.1"],
        &["127.0.0.1", "198.51.100.9"],
    ];
    for lie in lies {
        assert_eq!(me().saying(lie).knocks(at).await.1, Some(TOO_MANY), "{lie:?}");
    }
    // It was the address: another one comes in, and so does this one when it has room again.
    let (_third, status) = Client::from(scene, other).knocks(at).await;
    assert_eq!(status, Some(SWITCHING_PROTOCOLS));
    drop(first);
    let again = timeout(PATIENCE, async {
        loop {
            let (stream, status) = me().knocks(at).await;
            if status == Some(SWITCHING_PROTOCOLS) {
                return stream;
            }
        }
    });
    again.await.expect("a place that was left is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_every_balancer_a_client_s_own_address_counts() {
    let _alone = alone().await;
    let scene = Scene::start(narrow()).await;
    let haproxy = Shipped::before(Kind::Haproxy, &scene.stack).await;
    the_address_counts(&scene, haproxy.addr(), "127.0.0.2", "127.0.0.3").await;
    let nginx = Shipped::before(Kind::Nginx, &scene.stack).await;
    the_address_counts(&scene, nginx.addr(), "127.0.0.4", "127.0.0.5").await;
    let envoy = Shipped::before(Kind::Envoy, &scene.stack).await;
    the_address_counts(&scene, envoy.addr(), "127.0.0.10", "127.0.0.11").await;
}

/// Where two balancers stand before the one that is shipped, the second writes a line of its own behind the first one's: several
/// lines are one list (RFC 9110, 5.3). Each file is changed as its own words say.
#[tokio::test(flavor = "multi_thread")]
async fn what_balancers_before_it_say_counts_on_however_many_lines() {
    const FIRST: &str = "127.0.0.20";
    const SECOND: &str = "127.0.0.21";
    let _alone = alone().await;
    let trusted = format!("127.0.0.1,{FIRST},{SECOND}");
    let scene = Scene::start(narrow().gateway_var("CARILLON_TRUSTED_PROXIES", trusted)).await;
    for (number, kind) in BY_PATH.into_iter().enumerate() {
        let places = Places::of(&scene.stack);
        let shipped = places.fill(kind);
        let text = match kind {
            Kind::Haproxy => shipped.replace("\"255.255.255.255\"", &format!("\"{FIRST} {SECOND}\"")),
            Kind::Nginx => {
                let believed = format!("set_real_ip_from {FIRST}; set_real_ip_from {SECOND};");
                let read = "real_ip_header X-Forwarded-For; real_ip_recursive on;";
                shipped.replacen("http {", &format!("http {{ {believed} {read}"), 1)
            }
            Kind::Envoy => shipped.replace("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 2"),
            Kind::ProxyProtocol => unreachable!("it knows no headers"),
        };
        assert_ne!(text, shipped, "{kind:?}");
        let balancer = Shipped::start(kind, places, &text).await;
        let (one, other) = (format!("203.0.113.{number}"), format!("198.51.100.{number}"));
        let knock = async |from, lines: &[&str]| {
            Client::from(&scene, from).saying(lines).knocks(balancer.addr()).await
        };
        let mut kept = Vec::new();
        for (client, wanted) in [
            (&one, SWITCHING_PROTOCOLS),
            (&other, SWITCHING_PROTOCOLS),
            (&one, SWITCHING_PROTOCOLS),
            (&one, TOO_MANY),
            (&other, SWITCHING_PROTOCOLS),
            (&other, TOO_MANY),
        ] {
            let said = format!("192.0.2.9, {client}");
            let (stream, status) = knock(SECOND, &[&said, FIRST]).await;
            assert_eq!(status, Some(wanted), "{kind:?}: {client}");
            kept.push(stream);
        }
        // In one line it is the same client, and whoever is no balancer is believed nothing.
        let (_, status) = knock(SECOND, &[&format!("{one}, {FIRST}")]).await;
        assert_eq!(status, Some(TOO_MANY), "{kind:?}");
        let (stream, status) = knock("127.0.0.22", &[&one, FIRST]).await;
        assert_eq!(status, Some(SWITCHING_PROTOCOLS), "{kind:?}");
        drop((kept, stream));
    }
}

/// Without a balancer between, X-Forwarded-For is only a claim; so is a PROXY header, which is not even HTTP there.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_trusted_proxy_cannot_say_who_they_are() {
    let _alone = alone().await;
    let scene = Scene::start(narrow()).await;
    let gateway = scene.stack.gateway(0).addr();
    let mut kept = Vec::new();
    for (lie, wanted) in [
        ("198.51.100.1", SWITCHING_PROTOCOLS),
        ("198.51.100.2", SWITCHING_PROTOCOLS),
        ("198.51.100.3", TOO_MANY),
    ] {
        let (stream, status) = Client::from(&scene, "127.0.0.6").saying(&[lie]).knocks(gateway).await;
        assert_eq!(status, Some(wanted), "{lie}");
        kept.push(stream);
    }
    // The twin: the trusted address says the same, and is believed.
    for lie in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        let (stream, status) = Client::from(&scene, "127.0.0.1").saying(&[lie]).knocks(gateway).await;
        assert_eq!(status, Some(SWITCHING_PROTOCOLS), "{lie}");
        kept.push(stream);
    }
    // In every form that balancers write it: one client whatever its ports, and another address is another client.
    for (form, other) in [
        ("203.0.113.1", "203.0.113.2:443"),
        ("203.0.113.3:4{n}21", "203.0.113.4"),
        ("[2001:db8:1::1]:4{n}21", "[2001:db8:2::1]"),
        ("198.51.100.9, [2001:db8:3::1]", "2001:db8:4::1"),
    ] {
        for (n, wanted) in [SWITCHING_PROTOCOLS, SWITCHING_PROTOCOLS, TOO_MANY].into_iter().enumerate() {
            let claim = form.replace("{n}", &n.to_string());
            let (stream, status) = Client::from(&scene, "127.0.0.1").saying(&[&claim]).knocks(gateway).await;
            assert_eq!(status, Some(wanted), "{claim}");
            kept.push(stream);
        }
        let (stream, status) = Client::from(&scene, "127.0.0.1").saying(&[other]).knocks(gateway).await;
        assert_eq!(status, Some(SWITCHING_PROTOCOLS), "{other}");
        kept.push(stream);
    }
    let header = "PROXY TCP4 198.51.100.7 127.0.0.1 50000 80\r\n";
    let (_, status) = Client::from(&scene, "127.0.0.1").with_preface(header).knocks(gateway).await;
    assert!(status.is_none_or(|status| status == 400), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_protocol_header_tells_the_address_when_it_comes_from_a_trusted_proxy() {
    let _alone = alone().await;
    let port = loopback(free().unwrap());
    let scene = Scene::start(narrow().gateway_var("CARILLON_PROXY_LISTEN", port)).await;
    let mut places = Places::of(&scene.stack);
    places.gateways = vec![Node { addr: port, ..Node::of(scene.stack.gateway(0)) }];
    let text = places.fill(Kind::ProxyProtocol);
    let balancer = Shipped::start(Kind::ProxyProtocol, places, &text).await;
    the_address_counts(&scene, balancer.addr(), "127.0.0.7", "127.0.0.8").await;

    // By hand: version 1 from the trusted address is believed, from another it ends the connection, and so does none.
    let header = "PROXY TCP4 198.51.100.8 127.0.0.1 50000 80\r\n";
    let mut kept = Vec::new();
    for wanted in [SWITCHING_PROTOCOLS, SWITCHING_PROTOCOLS, TOO_MANY] {
        let (stream, status) = Client::from(&scene, "127.0.0.1").with_preface(header).knocks(port).await;
        assert_eq!(status, Some(wanted));
        kept.push(stream);
    }
    assert_eq!(Client::from(&scene, "127.0.0.9").with_preface(header).knocks(port).await.1, None);
    assert_eq!(Client::from(&scene, "127.0.0.1").knocks(port).await.1, None);
}
