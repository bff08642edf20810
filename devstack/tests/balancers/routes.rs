//! Does each request get where it belongs, and does what is not for the public stay unreachable?

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::faults::probe::{self, client};
use crate::faults::{PATIENCE, Scene, TENANT, alone};
use crate::paths::{ALIAS, of_gateways};
use crate::shipped::{BY_PATH, Shipped};

#[tokio::test(flavor = "multi_thread")]
async fn every_balancer_sends_everything_where_it_belongs() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 2, publishers: 2, ..StackConfig::default() }).await;
    for kind in BY_PATH {
        let balancer = Shipped::before(kind, &scene.stack).await;
        everything_is_reached(&scene, &balancer).await;
        every_path_is_sent_to_who_has_it(&scene, &balancer).await;
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

/// Every operation that the documents of the contract name, with some name where a path has one.
async fn operations(scene: &Scene) -> Vec<(Method, String)> {
    let document: Value = probe::get(&scene.stack, "/openapi.json").await;
    let rest = document["paths"].as_object().unwrap().iter().flat_map(|(path, operations)| {
        let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        methods
            .into_iter()
            .filter(|method| !operations[method.as_str().to_lowercase()].is_null())
            .map(move |method| (method, path))
    });
    let sockets = of_gateways().into_iter().map(|path| {
        let method = if path == "/v1/commands" { Method::POST } else { Method::GET };
        (method, path)
    });
    let operations: Vec<_> = rest.map(|(method, path)| (method, path.clone())).chain(sockets).collect();
    assert!(operations.len() > 30 && operations.iter().any(|(_, path)| path == ALIAS), "{operations:?}");
    operations
}

/// Whoever does not have a path says 404 to it, also to those who show nothing; who has it says what the balancer says.
async fn every_path_is_sent_to_who_has_it(scene: &Scene, balancer: &Shipped) {
    let gateways = of_gateways();
    let (gateway, publisher) = (scene.stack.gateway(0).url(), scene.stack.publisher(0).url());
    for (method, path) in operations(scene).await {
        let (owner, other) =
            if gateways.contains(&path) { (&gateway, &publisher) } else { (&publisher, &gateway) };
        let filled: String = path
            .split('/')
            .skip(1)
            .map(|part| if part.starts_with('{') { "/x".to_owned() } else { format!("/{part}") })
            .collect();
        let ask = async |url: &str| -> StatusCode {
            client().request(method.clone(), format!("{url}{filled}")).send().await.unwrap().status()
        };
        let said = ask(owner).await;
        assert_ne!(said, StatusCode::NOT_FOUND, "{method} {path}: whose it is does not know it");
        assert_eq!(ask(other).await, StatusCode::NOT_FOUND, "{method} {path}: the other service has it, too");
        assert_eq!(ask(&balancer.url()).await, said, "{method} {path}");
    }
}

/// The contract in words names no path that the documents for programs do not.
#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_contract_is_in_a_document() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig::default()).await;
    let documented = operations(&scene).await;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut named = 0;
    for text in page.split('`').skip(1).step_by(2) {
        let Some((method, rest)) = text.trim().split_once(' ').filter(|(_, rest)| rest.starts_with("/v1/"))
        else {
            continue;
        };
        let path = rest.split(['?', ' ', '\n']).next().unwrap();
        let is_it = |documented: &str| {
            let (ours, theirs) = (path.split('/'), documented.split('/'));
            ours.clone().count() == theirs.clone().count()
                && ours.zip(theirs).all(|(one, other)| one == other || other.starts_with('{'))
        };
        let known = documented.iter().any(|(verb, documented)| verb.as_str() == method && is_it(documented));
        assert!(known, "docs/PROTOCOL.md names {text}, and no document does");
        named += 1;
    }
    assert!(named > 30, "{named} paths");
}
