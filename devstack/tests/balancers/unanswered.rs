//! What does a balancer say itself when nobody behind it can answer?

use std::time::Duration;

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::listen::Messages;
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use reqwest::Method;
use serde_json::Value;

use crate::faults::probe::client;
use crate::faults::{PATIENCE, Scene, alone};
use crate::shipped::{Kind, Shipped};

const PAGE: &str = "https://page.example";

#[tokio::test(flavor = "multi_thread")]
async fn when_every_service_is_out_haproxy_and_nginx_say_what_the_contract_says() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let mut balancers = Vec::new();
    for kind in [Kind::Haproxy, Kind::Nginx] {
        balancers.push(Shipped::before(kind, &scene.stack).await);
    }
    for balancer in &balancers {
        // The twin: as long as they are there, they answer themselves.
        let answer = ask(balancer, Method::POST, "/v1/events").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(ask(balancer, Method::GET, "/v1/sse").await.status(), 401);
    }
    scene.stack.publisher(0).kill().unwrap();
    scene.stack.gateway(0).kill().unwrap();
    for balancer in &balancers {
        let noticed =
            async || (ask(balancer, Method::OPTIONS, "/v1/sse").await.status() == 204).then_some(());
        wait::until("the balancer's own answers", PATIENCE, noticed).await.unwrap();
        for (method, path) in [
            (Method::POST, "/v1/events"),
            (Method::GET, "/v1/events"),
            (Method::GET, "/v1/poll"),
            (Method::GET, "/v1/ws"),
        ] {
            is_a_problem_that_pages_may_read(balancer, method, path).await;
        }
        for (path, method) in [("/v1/events", "POST"), ("/v1/poll", "GET"), ("/v1/sse", "GET")] {
            let preflight = ask(balancer, Method::OPTIONS, path).await;
            assert_eq!(preflight.status(), 204, "{path}");
            assert_eq!(header(&preflight, "access-control-allow-origin"), "*", "{path}");
            assert!(header(&preflight, "access-control-allow-methods").contains(method), "{preflight:?}");
            assert!(
                header(&preflight, "access-control-allow-headers").contains("authorization"),
                "{preflight:?}"
            );
        }
        an_event_stream_is_told_when_to_come_back(balancer).await;
    }
}

async fn ask(balancer: &Shipped, method: Method, path: &str) -> reqwest::Response {
    let request = client().request(method, format!("{}{path}", balancer.url())).header("origin", PAGE);
    request.header("access-control-request-method", "GET").body("{}").send().await.unwrap()
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn is_a_problem_that_pages_may_read(balancer: &Shipped, method: Method, path: &str) {
    let answer = ask(balancer, method.clone(), path).await;
    assert_eq!(answer.status(), 503, "{method} {path}");
    assert_eq!(header(&answer, "content-type"), "application/problem+json", "{method} {path}");
    assert_eq!(header(&answer, "retry-after"), "1", "{method} {path}");
    assert_eq!(header(&answer, "access-control-allow-origin"), "*", "{method} {path}");
    assert!(header(&answer, "access-control-expose-headers").contains("Retry-After"), "{answer:?}");
    let id = header(&answer, "x-request-id").to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"unavailable".into(), &503.into()));
    assert!(!id.is_empty() && problem["request_id"] == id, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}

async fn an_event_stream_is_told_when_to_come_back(balancer: &Shipped) {
    let answer = ask(balancer, Method::GET, "/v1/sse").await;
    assert_eq!((answer.status().as_u16(), header(&answer, "content-type")), (200, "text/event-stream"));
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
