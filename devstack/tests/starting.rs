//! Does a node that cannot work yet stay out of the balancer, and come in by itself?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::find;
use carillon_devstack::ports;
use carillon_devstack::process::{Signal, signal};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use faults::PATIENCE;
use faults::probe::{client, sql};
use serde_json::Value;
use std::process::Stdio;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_unready_until_the_log_has_answered_once_and_its_supervisor_hears_of_it() {
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    sql(&stack, "CREATE DATABASE later").await;
    let later = format!("{}later", stack.database_url().strip_suffix("carillon").unwrap());
    let (ops, listen) = (ports::loopback(ports::free().unwrap()), ports::loopback(ports::free().unwrap()));
    let supervisor = tokio::net::UnixDatagram::bind(stack.folder().join("notify")).unwrap();
    let mut heard = [0; 64];
    let mut gateway = Command::new(find::own_binary("carillon-gateway").unwrap())
        .arg("serve")
        .env_clear()
        .env("DATABASE_URL", &later)
        .env("REDIS_URL", stack.redis_url())
        .env("CARILLON_JWT_SECRET", stack.jwt_secret())
        .env("CARILLON_LISTEN", listen.to_string())
        .env("CARILLON_OPS_LISTEN", ops.to_string())
        .env("CARILLON_DRAIN_DELAY_MS", "0")
        .env("NOTIFY_SOCKET", stack.folder().join("notify"))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let readyz = || async {
        let answer = client().get(format!("http://{ops}/readyz")).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json::<Value>().await.ok()?))
    };
    // There is a database, and nothing in it.
    let told = wait::until("the reason", PATIENCE, || async {
        let (status, said) = readyz().await?;
        assert_eq!(status, 503, "{said}");
        let reason = &said["reasons"][0];
        let detail = reason["detail"].as_str()?.to_owned();
        (reason["code"] == "starting" && detail.contains("carillon-publisher migrate")).then_some(detail)
    });
    told.await.unwrap();
    assert!(supervisor.try_recv(&mut heard).is_err(), "systemd still waits");
    // Who listens already comes back by itself: an EventSource gives up at any status but 200.
    let token = Claims::new("acme", "anna", now(), 600).sign(stack.jwt_secret()).unwrap();
    let early = client().get(format!("http://{listen}/v1/sse")).bearer_auth(token).send().await.unwrap();
    assert_eq!(early.status(), 200);
    assert_eq!(early.headers()["content-type"], "text/event-stream");
    let said = early.text().await.unwrap();
    assert!(said.starts_with("retry: ") && said.contains(r#""code":"unavailable""#), "{said}");

    // Of several servers the first is not there.
    let gone = ports::loopback(ports::free().unwrap());
    let (login, server) = later.split_once('@').unwrap();
    let of_several = format!("{login}@{gone},{server}?target_session_attrs=read-write");
    let migrated = Command::new(find::own_binary("carillon-publisher").unwrap())
        .arg("migrate")
        .env_clear()
        .env("DATABASE_URL", &of_several)
        .output()
        .await
        .unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let mut next = async || {
        let length = tokio::time::timeout(PATIENCE, supervisor.recv(&mut heard)).await.unwrap().unwrap();
        String::from_utf8(heard[..length].to_vec()).unwrap()
    };
    assert_eq!(next().await, "READY=1\n");
    let (status, said) = readyz().await.unwrap();
    assert_eq!((status, &said["status"]), (200, &Value::from("ready")));

    signal(gateway.id().unwrap(), Signal::TERM).unwrap();
    assert_eq!(next().await, "STOPPING=1\n");
    assert!(tokio::time::timeout(PATIENCE, gateway.wait()).await.unwrap().unwrap().success());
}
