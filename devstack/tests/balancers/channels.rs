//! How many channels can a client name when it comes back, at each place on the way?
//!
//! A URL takes as much at a balancer as at a gateway; the first frame of a WebSocket, and the form that asks for an event stream
//! or a poll, take the contract's thousand everywhere.

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Connect, Socket, SocketError, TokenPlace};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::token::{Claims, now};
use serde_json::json;
use uuid::Uuid;

use crate::faults::{PATIENCE, Scene, TENANT, alone};
use crate::shipped::{Kind, Shipped};

/// Most channels of a connection, its own included.
const MOST: usize = 1_000;
/// As many as fit into a URL with their names encoded as libraries do it, beside a token.
const IN_A_URL: usize = 550;

fn contacts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("contact:{}", Uuid::from_u128((1 << 100) + n as u128))).collect()
}

/// Where event streams and polls are, beside this WebSocket.
fn url_of(socket: &str) -> String {
    socket.replacen("ws", "http", 1).trim_end_matches("/v1/ws").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_channels_come_back_through_every_balancer() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, lb: true, ..StackConfig::default() }).await;
    let haproxy = Shipped::before(Kind::Haproxy, &scene.stack).await;
    let nginx = Shipped::before(Kind::Nginx, &scene.stack).await;
    let envoy = Shipped::before(Kind::Envoy, &scene.stack).await;
    let claims = Claims::new(TENANT, "anna", now(), 3_600).channels(["contact:*"]);
    let token = claims.sign(scene.stack.jwt_secret()).unwrap();
    let publisher = Publisher::new(&scene.stack.publisher(0).url(), scene.stack.api_key()).unwrap();
    let gateway = scene.stack.gateway(0).ws_url();
    // What is said to a URL that is too long; HAProxy's status is another from 3.2 on.
    for (place, url, too_large) in [
        ("gateway", gateway, &[431][..]),
        ("HAProxy", haproxy.ws_url(), &[400, 414]),
        ("devstack's HAProxy", format!("{}/v1/ws", scene.stack.lb_url().replace("http", "ws")), &[400, 414]),
        ("nginx", nginx.ws_url(), &[414]),
        ("Envoy", envoy.ws_url(), &[431]),
    ] {
        let mut wanted = Connect::new(url, &token).channels(contacts(IN_A_URL));
        wanted.patience = PATIENCE;
        let (mut heard, welcome) = Socket::open(&wanted).await.unwrap();
        assert_eq!(welcome.channels.len(), IN_A_URL + 2, "{place}");
        // Whoever has more is told by a status, not by silence.
        let too_long = wanted.clone().channels(contacts(MOST));
        let channels = contacts(MOST - 2);
        let base = url_of(&wanted.url);
        let listener = Listen::new(&base, &*token).unwrap().channels(channels.clone());
        for error in [
            Socket::open(&too_long).await.map(|_| ()).unwrap_err(),
            listener.stream().await.map(|_| ()).unwrap_err(),
            listener.poll(None).await.map(|_| ()).unwrap_err(),
        ] {
            let SocketError::Refused { status, code, .. } = &error else { panic!("{place}: {error}") };
            assert!(too_large.contains(status), "{place}: {error}");
            assert_eq!(code == "head_too_large", place == "gateway", "{place}: {error}");
        }
        // Asked with a form, both come through with all of them.
        let by_form = listener.posting();
        let mut stream = by_form.stream().await.unwrap();
        let begun = stream.next_of("welcome", PATIENCE).await.unwrap();
        assert_eq!(begun.frame.channels().len(), MOST, "{place}");

        // The first frame takes all of it, and the cursor: what was missed in the last channel comes.
        let mut missed = Post::new(TENANT, "moved", json!({}));
        // In the first channel it is heard, in the last one it was missed.
        missed.channels = [channels.first(), channels.last()].into_iter().flatten().cloned().collect();
        let seq = publisher.publish(&missed, None).await.unwrap().seq;
        // The gateway may learn of an event after whoever published it has the answer.
        while heard.next_of("event", PATIENCE).await.unwrap().seq() < Some(seq) {}
        let mut bare = Connect::new(&wanted.url, &token).place(TokenPlace::Nowhere);
        bare.patience = PATIENCE;
        let mut socket = Socket::connect(&bare).await.unwrap();
        let auth = json!({
            "type": "auth", "token": token, "channels": channels, "device": "phone",
            "since": welcome.seq, "epoch": welcome.epoch,
        });
        socket.send_json(&auth).await.unwrap();
        let welcome = socket.next_of("welcome", PATIENCE).await.unwrap();
        assert_eq!((welcome.channels().len(), welcome.text("resumed")), (MOST, Some("replay")), "{place}");
        assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(seq), "{place}");
        let streamed = stream.next_of("event", PATIENCE).await.unwrap();
        assert_eq!(streamed.frame.seq(), Some(seq), "{place}");
        let begun = Cursor::new(begun.frame.seq().unwrap(), begun.frame.epoch().unwrap());
        let polled = by_form.since(begun).poll(None).await.unwrap();
        assert_eq!((polled.events.len(), polled.cursor.seq), (1, seq), "{place}");
    }
}
