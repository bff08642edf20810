//! Does each request get where it belongs, and does what is not for the public stay unreachable?

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use serde_json::json;

use crate::faults::probe::client;
use crate::faults::{PATIENCE, Scene, TENANT, alone};
use crate::shipped::{BY_PATH, Shipped};

#[tokio::test(flavor = "multi_thread")]
async fn every_balancer_sends_everything_where_it_belongs() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 2, publishers: 2, ..StackConfig::default() }).await;
    for kind in BY_PATH {
        let balancer = Shipped::before(kind, &scene.stack).await;
        everything_is_reached(&scene, &balancer).await;
        nothing_private_is_reached(&balancer).await;
    }
}

async fn everything_is_reached(scene: &Scene, balancer: &Shipped) {
    let publisher = Publisher::new(&balancer.url(), scene.stack.api_key()).unwrap();
    let publish = async |note: &str| {
        let post = Post::new(TENANT, "appointment.moved", json!({ "note": note })).tenant_wide();
        publisher.publish(&post, None).await.unwrap()
    };
    let token = scene.token(TENANT, "anna");
    let (mut socket, welcome) = Socket::open(&Connect::new(balancer.ws_url(), &token)).await.unwrap();
    let listen = Listen::new(&balancer.url(), &token).unwrap();
    let mut stream = listen.stream().await.unwrap();
    stream.next_of("welcome", PATIENCE).await.unwrap();
    // One by one: an event that waited for the next in somebody's buffer would never come.
    for note in ["first", "second", "third"] {
        let seq = publish(note).await.seq;
        assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(seq));
        assert_eq!(stream.next_of("event", PATIENCE).await.unwrap().frame.seq(), Some(seq));
    }
    let from = Cursor::new(welcome.seq, welcome.epoch);
    let polled = listen.since(from).poll(Some(PATIENCE / 2)).await.unwrap();
    assert_eq!(polled.events.len(), 3);
    // A body as large as a publisher takes goes through whole, and beyond that it is the publisher who answers.
    let large = "x".repeat(60 * 1024);
    let posts: Vec<Post> = (0..16).map(|_| Post::new(TENANT, "large", json!(large)).tenant_wide()).collect();
    assert_eq!(publisher.publish_many(&posts, None).await.unwrap().len(), posts.len());
    let refused = publisher.publish_many(&[posts.clone(), posts].concat(), None).await.unwrap_err();
    assert_eq!(refused.problem().map(|problem| problem.code.as_str()), Some("body_too_large"), "{refused}");
}

async fn nothing_private_is_reached(balancer: &Shipped) {
    for (path, wanted) in [
        ("/", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/asyncapi.json", 200),
        ("/metrics", 404),
        ("/metrics/tenants", 404),
        ("/readyz", 404),
        ("/livez", 404),
        ("/status", 404),
        ("/v1/ws/", 404),
        ("/v1/wsx", 404),
    ] {
        let answer = client().get(format!("{}{path}", balancer.url())).send().await.unwrap();
        assert_eq!(answer.status(), wanted, "{path}");
    }
}
