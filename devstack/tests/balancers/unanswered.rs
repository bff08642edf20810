//! What does a balancer say itself when nobody behind it can answer?

use std::time::Duration;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::listen::Messages;
use carillon_devstack::stack::StackConfig;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::faults::probe::client;
use crate::faults::{PATIENCE, Scene, TENANT, alone};
use crate::shipped::{BY_PATH, Shipped};

const PAGE: &str = "https://page.example";
/// What a page's preflight asks for: the contract allows any header.
const ASKED: &str = "authorization,ce-id,content-type";
/// Above the time in which each balancer has noticed a death, some 2 s.
const WINDOW: Duration = Duration::from_secs(4);

/// The shipped files and devstack's own HAProxy, as names and addresses.
pub(crate) async fn balancers(scene: &Scene) -> (Vec<Shipped>, Vec<(String, String)>) {
    let (mut running, mut urls) = (Vec::new(), vec![("devstack".to_owned(), scene.stack.lb_url())]);
    for kind in BY_PATH {
        let balancer = Shipped::before(kind, &scene.stack).await;
        urls.push((format!("{kind:?}"), balancer.url()));
        running.push(balancer);
    }
    (running, urls)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_service_is_out_each_balancer_says_what_the_contract_says_from_the_first_moment() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, lb: true, ..StackConfig::default() }).await;
    let (_running, balancers) = balancers(&scene).await;
    for (name, url) in &balancers {
        // The twin: as long as they are there, they answer themselves.
        let answer = ask(url, Method::POST, "/v1/events").await;
        assert_eq!(answer.status(), 401, "{name}");
        assert_eq!(ask(url, Method::GET, "/v1/sse").await.status(), 401, "{name}");
    }
    scene.stack.publisher(0).kill().unwrap();
    scene.stack.gateway(0).kill().unwrap();
    let until = Instant::now() + WINDOW;
    let mut asked = 0;
    // Before the death is noticed, and after.
    while Instant::now() < until || asked < 2 {
        for (name, url) in &balancers {
            everything_is_said(name, url).await;
        }
        asked += 1;
    }
}

async fn everything_is_said(name: &str, url: &str) {
    for (method, path) in [
        (Method::POST, "/v1/events"),
        (Method::GET, "/v1/events"),
        (Method::GET, "/v1/poll"),
        (Method::GET, "/v1/ws"),
    ] {
        let place = format!("{name}: {method} {path}");
        is_a_problem_that_pages_may_read(&place, ask(url, method, path).await).await;
    }
    for (path, method) in [
        ("/v1/events", "POST"),
        ("/v1/channel-rules/contact:*", "PUT"),
        ("/v1/channel-rules/contact:*", "DELETE"),
        ("/v1/poll", "GET"),
        ("/v1/sse", "GET"),
    ] {
        let preflight = ask(url, Method::OPTIONS, path).await;
        assert!(preflight.status().is_success(), "{name} {path}: {preflight:?}");
        assert_eq!(header(&preflight, "access-control-allow-origin"), "*", "{name} {path}");
        let methods = header(&preflight, "access-control-allow-methods");
        assert!(methods.split(',').any(|one| one.trim() == method), "{name} {path}: {preflight:?}");
        assert_eq!(header(&preflight, "access-control-allow-headers"), ASKED, "{name} {path}: any header");
    }
    an_event_stream_is_told_when_to_come_back(name, ask(url, Method::GET, "/v1/sse").await).await;
}

/// An `EventSource` asks all the time, while the only gateway is killed and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_never_meets_a_status_that_ends_it_for_good() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, lb: true, ..StackConfig::default() }).await;
    let (_running, balancers) = balancers(&scene).await;
    let token = scene.token(TENANT, "anna");
    let mut pages = Vec::new();
    for (name, url) in balancers {
        let url = format!("{url}/v1/sse?token={token}");
        pages.push(tokio::spawn(async move { asks_until_it_is_back(&name, &url).await }));
    }
    let gateway = scene.stack.gateway(0);
    gateway.kill().unwrap();
    tokio::time::sleep(WINDOW).await;
    gateway.restart().await.unwrap();
    for page in pages {
        page.await.unwrap();
    }
}

/// Asks without a pause until the balancer has said that nobody is there, and then until it is welcome again.
async fn asks_until_it_is_back(name: &str, url: &str) {
    let (mut told, mut welcome) = (0, false);
    let back = async {
        while told == 0 || !welcome {
            // A gateway that dies while it answers ends the connection, and EventSource comes back from that.
            let Ok(mut answer) = client().get(url).header("origin", PAGE).send().await else { continue };
            assert_eq!(answer.status(), 200, "{name}: {answer:?}");
            assert_eq!(header(&answer, "content-type"), "text/event-stream", "{name}");
            let first = answer.chunk().await.ok().flatten().unwrap_or_default();
            welcome = String::from_utf8_lossy(&first).contains("welcome");
            told += usize::from(String::from_utf8_lossy(&first).contains("no gateway answers now"));
        }
    };
    timeout(PATIENCE, back).await.unwrap_or_else(|_| panic!("{name}: told {told} times, not welcome again"));
    assert!(told > 10, "{name}: it asked many times, and was told {told} times");
}

async fn ask(url: &str, method: Method, path: &str) -> reqwest::Response {
    let request = client().request(method, format!("{url}{path}")).header("origin", PAGE);
    let request = request.header("access-control-request-method", "GET");
    request.header("access-control-request-headers", ASKED).body("{}").send().await.unwrap()
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn is_a_problem_that_pages_may_read(place: &str, answer: reqwest::Response) {
    assert_eq!(answer.status(), 503, "{place}");
    assert_eq!(header(&answer, "content-type"), "application/problem+json", "{place}");
    assert_eq!(header(&answer, "retry-after"), "1", "{place}");
    assert_eq!(header(&answer, "access-control-allow-origin"), "*", "{place}");
    let exposed = header(&answer, "access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{place}: {answer:?}");
    let id = header(&answer, "x-request-id").to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"unavailable".into(), &503.into()));
    assert!(!id.is_empty() && problem["request_id"] == id, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}

async fn an_event_stream_is_told_when_to_come_back(name: &str, answer: reqwest::Response) {
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-type")),
        (200, "text/event-stream"),
        "{name}"
    );
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    let mut messages = Messages::default();
    messages.feed(&answer.bytes().await.unwrap());
    let message = messages.next().unwrap().unwrap();
    let waits = Duration::from_secs(1)..=Duration::from_secs(3);
    assert!(message.retry.is_some_and(|retry| waits.contains(&retry)), "{message:?}");
    let told: &Frame = &message.frame;
    assert_eq!((told.kind(), told.code()), ("error", Some("unavailable")), "{told:?}");
    assert!(messages.next().is_none(), "then it ends");
}
