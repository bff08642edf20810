//! Do secrets and what customers send stay out of everything an operator sees: logs, processes, metrics, answers?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::client::socket::{Connect, Socket, TokenPlace};
use carillon_devstack::stack::{Service, StackConfig};
use faults::probe::{client, readiness_becomes};
use faults::{PATIENCE, Scene, TENANT};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;

/// What a customer sends; it looks like what must not leak.
const PAYLOAD: &str = "4111-1111-1111-1111";
const REDIS_PASSWORD: &str = "redis-hunter2-77aa";

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_payloads_appear_in_no_log_process_list_metric_or_answer() {
    let folder = tempfile::tempdir().unwrap();
    // As a production has it, with a password for Postgres, and everything logged.
    let config = StackConfig {
        gateways: 1,
        ephemeral: false,
        data: Some(folder.path().to_path_buf()),
        ..StackConfig::default()
    };
    let config = config.gateway_var("CARILLON_LOG", "trace").publisher_var("CARILLON_LOG", "trace");
    let mut scene = Scene::start(config).await;
    scene.stack.redis().command(&format!("CONFIG SET requirepass {REDIS_PASSWORD}")).await.unwrap();
    let redis = scene.stack.redis_url().replace("redis://", &format!("redis://:{REDIS_PASSWORD}@"));
    let canary_token = scene.token("carillon-canary", "canary");
    let index = scene
        .stack
        .add_gateway(&[("REDIS_URL".into(), redis), ("CARILLON_CANARY_TOKEN".into(), canary_token.clone())])
        .await
        .unwrap();

    let mut answers = String::new();
    let good = scene.token(TENANT, "ada");
    // One letter in the middle of its secret part.
    let key = scene.stack.api_key();
    let place = key.len() - 10;
    let other = if key[place..].starts_with('x') { 'y' } else { 'x' };
    let mistyped_key = format!("{}{other}{}", &key[..place], &key[place + 1..]);
    let forged = format!("{}x", scene.token(TENANT, "eve"));
    let gateway = scene.stack.gateway(index);
    for place in [TokenPlace::Query, TokenPlace::Header, TokenPlace::Subprotocol] {
        let refused =
            Socket::open(&Connect::new(gateway.ws_url(), &forged).place(place)).await.err().unwrap();
        write!(answers, "{refused:?}").unwrap();
    }
    let (mut socket, _) = Socket::open(&Connect::new(gateway.ws_url(), &good)).await.unwrap();
    let publisher = scene.stack.publisher(0).url();
    let post = |credential: &str, body: serde_json::Value| {
        client().post(format!("{publisher}/v1/events")).bearer_auth(credential).json(&body).send()
    };
    let event =
        json!({"tenant": TENANT, "type": "invoice.paid", "tenant_wide": true, "data": {"card": PAYLOAD}});
    let stored = post(scene.stack.api_key(), event.clone()).await.unwrap();
    assert_eq!(stored.status(), 201);
    answers += &stored.text().await.unwrap();
    let heard = socket.next_of("event", PATIENCE).await.unwrap();
    assert!(heard.0.to_string().contains(PAYLOAD), "the one who may read it");
    // Wrong in every way there is: who asks, what they send, and how.
    let mut no_type = event.clone();
    no_type["type"] = json!({ "card": PAYLOAD });
    let mut no_channel = event.clone();
    no_channel["channels"] = json!([PAYLOAD.repeat(100)]);
    for (credential, body) in [
        (mistyped_key.as_str(), event.clone()),
        (forged.as_str(), event.clone()),
        (scene.stack.api_key(), no_type),
        (scene.stack.api_key(), no_channel),
        (scene.stack.api_key(), json!([{ "card": PAYLOAD }])),
        (scene.stack.api_key(), json!(PAYLOAD)),
    ] {
        let refused = post(credential, body).await.unwrap();
        assert!(refused.status().is_client_error(), "{}", refused.status());
        answers += &refused.text().await.unwrap();
    }
    for frame in
        [json!({"type": PAYLOAD}), json!({"type": "subscribe", "channels": [PAYLOAD, {"card": PAYLOAD}]})]
    {
        socket.send_json(&frame).await.unwrap();
        answers += &socket.next_of("error", PATIENCE).await.unwrap().0.to_string();
    }
    // And while everything beneath is gone: errors speak of connections.
    scene.stack.postgres().process().kill().unwrap();
    scene.stack.redis().process().kill().unwrap();
    readiness_becomes(scene.stack.publisher(0), "unready", None).await;
    readiness_becomes(scene.stack.gateway(index), "degraded", Some("database")).await;
    for path in ["/v1/events?tenant=studio-nova", "/v1/events/00000000-0000-7000-8000-000000000000"] {
        let answer = client().get(format!("{publisher}{path}")).bearer_auth(&good).send().await.unwrap();
        answers += &answer.text().await.unwrap();
    }
    answers += &post(scene.stack.api_key(), event).await.unwrap().text().await.unwrap();
    assert!(answers.contains("unavailable"), "{answers}");
    assert!(
        !answers.contains(&scene.stack.postgres().port().to_string()),
        "callers learn no address: {answers}"
    );

    let mut seen = vec![("answers", answers)];
    let services: Vec<&Service> = scene.stack.gateways().iter().chain(scene.stack.publishers()).collect();
    for service in &services {
        for path in ["/metrics", "/metrics/tenants", "/readyz", "/livez"] {
            let url = format!("{}{path}", service.ops_url());
            seen.push(("the ops port", client().get(url).send().await.unwrap().text().await.unwrap()));
        }
        seen.push(("a log", fs::read_to_string(service.process().log_path()).unwrap()));
    }
    seen.push(("a log", fs::read_to_string(scene.stack.redis().process().log_path()).unwrap()));
    seen.push(("a log", fs::read_to_string(scene.stack.postgres().process().log_path()).unwrap()));
    seen.push(("the process list", process_list()));
    assert!(
        seen.iter().any(|(what, text)| *what == "a log" && text.contains("DEBUG")),
        "everything was logged"
    );
    assert!(seen.iter().any(|(_, text)| text.contains("carillon-gateway")), "the process list is one");

    let keys: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("keys.json")).unwrap()).unwrap();
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for (name, secret) in [
        ("the database's password", keys["database_password"].as_str().unwrap().to_owned()),
        ("the JWT secret", scene.stack.jwt_secret().to_owned()),
        ("the API key", scene.stack.api_key().to_owned()),
        ("a mistyped API key", mistyped_key.clone()),
        ("a user's token", signature(&good)),
        ("a forged token", signature(&forged)),
        ("the canary's token", signature(&canary_token)),
        ("Redis's password", REDIS_PASSWORD.to_owned()),
        ("a payload", PAYLOAD.to_owned()),
    ] {
        assert!(secret.len() >= 16, "{name} can be looked for");
        for (place, text) in &seen {
            // Who sends nonsense may be told which.
            if secret == PAYLOAD && *place == "answers" {
                continue;
            }
            let line = text.lines().find(|line| line.contains(&secret));
            assert!(line.is_none(), "{name} is in {place}: {}", line.unwrap_or_default());
        }
    }
}

/// The arguments of every process of this machine, as `ps` shows them to everybody.
fn process_list() -> String {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments.map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " ") + "\n").collect()
}
