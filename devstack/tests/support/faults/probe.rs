//! How do tests look behind the contract: into the log, the metrics and the processes?

use std::time::Duration;

use carillon_devstack::client::ledger::{Mark, Received, Witness};
use carillon_devstack::client::post::digest;
use carillon_devstack::stack::{Service, Stack};
use carillon_devstack::wait;
use serde_json::Value;

use super::{PATIENCE, TENANT};

/// Runs SQL as superuser, beside all services and all row level security; what it prints.
pub async fn sql(stack: &Stack, text: &str) -> String {
    stack.sql(text).await.unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Asks a publisher's REST API.
pub async fn get(stack: &Stack, path: &str) -> Value {
    let url = format!("{}{path}", stack.publisher(0).url());
    let answer = client().get(&url).bearer_auth(stack.api_key()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

/// An HTTP client without proxy and with a deadline.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

/// The whole log of [`TENANT`] over REST, as a follower from its beginning would have seen it.
pub async fn log_as_witness(stack: &Stack) -> Witness {
    let mut rows: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(stack, &format!("/v1/events?tenant={TENANT}&limit=200{cursor}")).await;
        rows.extend(page["events"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&after={next}");
    }
    let epoch = rows.first().map(|row| row["epoch"].as_str().unwrap().to_owned()).unwrap_or_default();
    let mut witness = Witness::new("the log", TENANT);
    let channels = ["tenant".to_owned()].into();
    witness.note(Mark::Welcome { epoch, seq: 0, channels, reset_follows: false });
    for row in rows.iter().rev() {
        let event = &row["event"];
        witness.note(Mark::Event(Received {
            seq: row["seq"].as_u64().unwrap(),
            id: event["id"].as_str().unwrap().to_owned(),
            digest: digest(event["type"].as_str().unwrap(), &event["data"]),
            at: std::time::Instant::now(),
        }));
    }
    witness
}

/// A metric's sum over its labels; 0 when it is not there yet.
pub async fn metric(service: &Service, name: &str) -> f64 {
    service.metric(name).await.unwrap_or(0.0)
}

/// One labelled sample (`carillon_x_total{reason="stalled"}`); 0 when it is not there yet.
pub async fn sample(service: &Service, sample: &str) -> f64 {
    let text = service.metrics().await.unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

/// Waits until a labelled sample is at least `goal`.
pub async fn sample_reaches(service: &Service, name: &str, goal: f64) {
    let what = format!("{name} of {} reaching {goal}", service.name());
    wait::until(what, PATIENCE, || async { (sample(service, name).await >= goal).then_some(()) })
        .await
        .unwrap();
}

/// Waits until a metric is at least `goal`.
pub async fn metric_reaches(service: &Service, name: &str, goal: f64) {
    let what = format!("{name} of {} reaching {goal}", service.name());
    let reached =
        wait::until(what, PATIENCE, || async { (metric(service, name).await >= goal).then_some(()) });
    if let Err(timeout) = reached.await {
        panic!("{timeout}; it is {}", metric(service, name).await);
    }
}

/// Waits until `/readyz` says this, for this reason among others (if one is given).
pub async fn readiness_becomes(service: &Service, status: &str, reason: Option<&str>) {
    let what = format!("{} being {status} ({reason:?})", service.name());
    let seen = wait::until(what, PATIENCE, || async {
        let seen = service.readiness().await?;
        let gives = |reason| seen.reasons.iter().any(|given| given["code"] == reason);
        (seen.status == status && reason.is_none_or(gives)).then_some(())
    });
    if let Err(timeout) = seen.await {
        panic!("{timeout}; it says {:?}", service.readiness().await);
    }
}

/// The HTTP status of `/readyz`.
pub async fn readyz_status(service: &Service) -> u16 {
    client().get(format!("{}/readyz", service.ops_url())).send().await.unwrap().status().as_u16()
}

/// Resident memory of a service's process, in bytes.
pub fn memory(service: &Service) -> u64 {
    service.process().memory().unwrap()
}
