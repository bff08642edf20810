//! Does whoever only listens get the types of its URL, and nothing else, over each way and with an API key?

use std::time::Duration;

use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use carillon_devstack::stack::{KeyTenant, Stack};
use serde_json::json;

use crate::wire::{self, PATIENCE, block_on, claims, publisher};
use crate::{BEATING, PLAIN, events_to, listen, seqs, stack};

/// Publishes events of these types to these channels, in one array; answers their numbers.
async fn publish(stack: &Stack, tenant: &str, events: &[(&str, &str)]) -> Vec<u64> {
    let posts: Vec<Post> =
        events.iter().map(|(kind, channel)| Post::new(tenant, *kind, json!({})).channel(*channel)).collect();
    publisher(stack).publish_many(&posts, None).await.unwrap().iter().map(|ack| ack.seq).collect()
}

const EVENTS: [(&str, &str); 6] = [
    ("order.new", "a:1"),
    ("paid", "a:1"),
    ("seen", "a:1"),
    ("seen", "tenant"),
    ("paid", "user:anna"),
    ("order.x", "tenant"),
];

#[test]
fn i3_event_streams_and_polls_get_the_types_of_their_url_and_pass_the_rest() {
    block_on(async {
        let stack = stack().await;
        let tenant = "listens-typed";
        let anna = claims(tenant, "anna").channels(["a:*"]);
        let listen = |gateway| listen(&stack, gateway, &anna).channels(["a:1"]).types(["order.*", "paid"]);
        let begin = listen(PLAIN).poll(None).await.unwrap().cursor;
        let mut stream = listen(BEATING).stream().await.unwrap();
        stream.next_of("welcome", PATIENCE).await.unwrap();
        let sent = publish(&stack, tenant, &EVENTS).await;
        let wanted = [0, 1, 4, 5].map(|place| sent[place]);
        assert_eq!(seqs(&events_to(&mut stream, sent[5]).await), wanted);
        let mut polled = Vec::new();
        let mut cursor = begin;
        while cursor.seq < sent[5] {
            let page = listen(PLAIN).since(cursor).poll(None).await.unwrap();
            polled.extend(wire::seqs(&page.events));
            cursor = page.cursor;
        }
        assert_eq!(polled, wanted);
        // What is not chosen moves the cursor: of a stream with its heartbeat, of a poll with its empty answer.
        let skipped = publish(&stack, tenant, &[("seen", "a:1"), ("seen", "tenant")]).await;
        let beat = loop {
            let message = stream.next(PATIENCE).await.unwrap();
            assert!(message.frame.is("heartbeat"), "{message:?}");
            if message.frame.seq() == Some(skipped[1]) {
                break message;
            }
        };
        let mut back = listen(PLAIN);
        back.last_event_id = beat.id;
        let mut back = back.stream().await.unwrap();
        assert_eq!(back.next(PATIENCE).await.unwrap().frame.0["resumed"], "live");
        let empty = listen(PLAIN).since(cursor).poll(Some(Duration::from_secs(1))).await.unwrap();
        assert_eq!((empty.events.len(), empty.cursor.seq), (0, skipped[1]));
        let last = publish(&stack, tenant, &[("paid", "a:1")]).await[0];
        for stream in [&mut stream, &mut back] {
            assert_eq!(seqs(&events_to(stream, last).await), [last]);
        }
        let page = listen(PLAIN).since(empty.cursor).poll(None).await.unwrap();
        assert_eq!(wire::seqs(&page.events), [last]);
        for way in [
            listen(PLAIN).types(["a*b"]).stream().await.err(),
            listen(PLAIN).types(["a b"]).poll(None).await.err(),
        ] {
            assert!(
                matches!(&way, Some(SocketError::Refused { status: 400, code, .. }) if code == "invalid_query"),
                "{way:?}"
            );
        }
    });
}

#[test]
fn i3_a_back_end_gets_some_types_of_everything_and_all_of_what_it_subscribes_to() {
    block_on(async {
        let stack = stack().await;
        let tenant = "svc-typed";
        let key = stack.create_api_key(KeyTenant::One(tenant), &["read"]).await.unwrap();
        let connect = Connect::new(stack.gateway(PLAIN).ws_url(), &key).types(["order.*", "paid"]);
        let (mut socket, _) = Socket::open(&connect).await.unwrap();
        let (mut some, _) = Socket::open(&connect.clone().channels(["a:*", "tenant"])).await.unwrap();
        let sent = publish(&stack, tenant, &EVENTS).await;
        assert_eq!(
            wire::seqs(&wire::events_to(&mut socket, sent[5]).await),
            [0, 1, 4, 5].map(|place| sent[place])
        );
        assert_eq!(
            wire::seqs(&wire::events_to(&mut some, sent[5]).await),
            [0, 1, 5].map(|place| sent[place])
        );
        let frame = json!({"type": "subscribe", "id": 1, "channel": "a:1", "types": ["seen"]});
        assert!(wire::ask(&mut socket, frame).await.is("ok"));
        let sent = publish(&stack, tenant, &EVENTS).await;
        let got = wire::seqs(&wire::events_to(&mut socket, sent[5]).await);
        assert_eq!(got, [0, 1, 2, 4, 5].map(|place| sent[place]), "by its key's channels or by this one");
    });
}
