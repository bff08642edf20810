//! Can an operator see what the system does: the canary, the probe, tenants' use, traces?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use carillon_devstack::find;
use carillon_devstack::process::Signal;
use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::wait;
use faults::probe::{client, get, readiness_becomes, sample, sample_reaches};
use faults::{PATIENCE, Scene, TENANT, alone};

fn variables<const N: usize>(pairs: [(&str, String); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_measures_the_round_trip_and_says_which_part_failed() {
    let _alone = alone().await;
    let mut stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let canary = variables([
        ("CARILLON_CANARY_PUBLISH_URL", stack.publisher(0).url()),
        ("CARILLON_CANARY_INTERVAL_MS", "200".to_owned()),
    ]);
    let index = stack.add_gateway(&canary).await.unwrap();
    let gateway = stack.gateway(index);
    let runs = |result: &str| format!("carillon_canary_runs_total{{result=\"{result}\"}}");
    sample_reaches(gateway, &runs("ok"), 5.0).await;
    sample_reaches(gateway, "carillon_canary_round_trip_seconds_count", 5.0).await;

    stack.publisher(0).kill().unwrap();
    sample_reaches(gateway, &runs("publish_failed"), 1.0).await;
    stack.publisher(0).restart().await.unwrap();
    let before = sample(gateway, &runs("ok")).await;
    sample_reaches(gateway, &runs("ok"), before + 3.0).await;
    assert_eq!(sample(gateway, "carillon_canary_gaps_total").await, 0.0);
    assert_eq!(sample(gateway, "carillon_canary_duplicates_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_runs_again_when_an_emptied_node_serves_again() {
    let _alone = alone().await;
    let mut stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let canary = variables([
        ("CARILLON_CANARY_PUBLISH_URL", stack.publisher(0).url()),
        ("CARILLON_CANARY_INTERVAL_MS", "100".to_owned()),
        ("CARILLON_DRAIN_DELAY_MS", "100".to_owned()),
    ]);
    let index = stack.add_gateway(&canary).await.unwrap();
    let gateway = stack.gateway(index);
    let ok = "carillon_canary_runs_total{result=\"ok\"}";
    for _ in 0..2 {
        let before = sample(gateway, ok).await;
        sample_reaches(gateway, ok, before + 3.0).await;
        gateway.process().signal(Signal::USR1).unwrap();
        readiness_becomes(gateway, "unready", Some("evacuating")).await;
        gateway.process().signal(Signal::USR2).unwrap();
        readiness_becomes(gateway, "ready", None).await;
    }
    let before = sample(gateway, ok).await;
    sample_reaches(gateway, ok, before + 3.0).await;
    for failure in ["publish_failed", "not_received", "not_connected"] {
        let failed = sample(gateway, &format!("carillon_canary_runs_total{{result=\"{failure}\"}}")).await;
        assert_eq!(failed, 0.0, "{failure}: leaving is no failure");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_whether_an_installation_works_from_end_to_end() {
    let _alone = alone().await;
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let probe = |publish: String, patience: &str| {
        let mut command = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap());
        command
            .args(["probe", "--publish-url", &publish, "--socket-url", &stack.gateway(0).ws_url()])
            .args(["--patience", patience])
            .env_clear()
            .env("CARILLON_JWT_SECRET", stack.jwt_secret());
        command
    };
    let works = probe(stack.publisher(0).url(), "30").output().await.unwrap();
    let said = String::from_utf8_lossy(&works.stdout).into_owned();
    assert!(works.status.success(), "{said}{}", String::from_utf8_lossy(&works.stderr));
    assert_eq!(said.matches("published and received in").count(), 3, "{said}");

    // Nobody listens there.
    let fails = probe(stack.gateway(0).url(), "0").output().await.unwrap();
    let said = String::from_utf8_lossy(&fails.stderr).into_owned();
    assert!(!fails.status.success() && said.contains("not published: HTTP 404"), "{said}");
    assert!(!said.contains(stack.jwt_secret()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_series_apart_and_only_so_many() {
    let _alone = alone().await;
    let config = StackConfig { gateways: 1, ..StackConfig::default() }
        .gateway_var("CARILLON_TENANT_METRICS", 1)
        .publisher_var("CARILLON_TENANT_METRICS", 1);
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 3).await;
    let url = scene.stack.gateway(0).ws_url();
    let elsewhere = scene.route("green-school", vec![url]);
    scene.follow("green-school", elsewhere).await;
    scene.publish(7).await;
    scene.everything_arrives().await;
    let tenants = |service: &Service| {
        let url = format!("{}/metrics/tenants", service.ops_url());
        async move { client().get(url).send().await.unwrap().text().await.unwrap() }
    };
    // A shard counts behind what it writes.
    let tell = async |service: &Service, lines: &[&str]| {
        let all = || async {
            let text = tenants(service).await;
            lines.iter().all(|line| text.lines().any(|found| found == *line)).then_some(())
        };
        if let Err(timeout) = wait::until("each tenant's series", PATIENCE, all).await {
            panic!("{timeout}: {lines:?} in\n{}", tenants(service).await);
        }
    };
    let of_gateway = [
        "carillon_tenant_connections{tenant=\"studio-nova\"} 3",
        "carillon_tenant_connections{tenant=\"OTHER\"} 1",
        "carillon_tenant_events_total{tenant=\"studio-nova\"} 7",
        "carillon_tenant_deliveries_total{tenant=\"studio-nova\"} 21",
    ];
    tell(scene.stack.gateway(0), &of_gateway).await;
    let of_publisher = "carillon_tenant_events_published_total{tenant=\"studio-nova\"} 7";
    tell(scene.stack.publisher(0), &[of_publisher]).await;
    let everything = scene.stack.gateway(0).metrics().await.unwrap();
    assert!(!everything.contains(TENANT) && !everything.contains("green-school"), "/metrics names no tenant");
}

/// Takes spans as a collector does; what came, as bytes.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keep = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let keep = Arc::clone(&keep);
            std::thread::spawn(move || take(stream, &keep));
        }
    });
    (url, seen)
}

fn take(mut stream: TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 16 * 1024];
    let mut request: Vec<u8> = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        request.extend_from_slice(&chunk[..read]);
        while let Some(length) = whole(&request) {
            seen.lock().unwrap().extend(request.drain(..length));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    }
}

/// The length of the first request, once all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_request_leaves_spans_on_both_services_and_its_trace_in_the_event() {
    let _alone = alone().await;
    let (url, seen) = collector();
    let config = StackConfig { gateways: 1, ..StackConfig::default() }
        .gateway_var("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .publisher_var("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 1).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let body = serde_json::json!({ "tenant": TENANT, "type": "lead.created", "tenant_wide": true, "data": {"card": "4111"} });
    let answer = client()
        .post(format!("{}/v1/events", scene.stack.publisher(0).url()))
        .bearer_auth(scene.stack.api_key())
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    scene.followers[0].reached(1, PATIENCE).await.unwrap();
    let log = get(&scene.stack, &format!("/v1/events?tenant={TENANT}")).await;
    let parent = log["events"][0]["event"]["traceparent"].as_str().unwrap().to_owned();
    assert!(parent.starts_with(&format!("00-{trace}-")) && !parent.contains("b7ad6b7169203331"), "{parent}");
    for span in ["send events", "append to the log", "announce to redis", "deliver event", "carillon-gateway"]
    {
        wait::until_true(format!("the span {span}"), PATIENCE, || {
            seen.lock().unwrap().windows(span.len()).any(|window| window == span.as_bytes())
        })
        .await
        .unwrap();
    }
    let bytes = seen.lock().unwrap().clone();
    let secret = scene.stack.api_key().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "no key");
    assert!(!bytes.windows(4).any(|window| window == b"4111"), "no content");
}
