//! The harness itself: does it start, hurt, grow and stop the real system? (Needs the built binaries.)

use std::time::Duration;

use super::*;
use crate::wait;

const SOON: Duration = Duration::from_secs(20);

async fn becomes(service: &Service, status: &str) {
    let is_so = || async { (service.readiness().await?.status == status).then_some(()) };
    wait::until(format!("{} is {status}", service.name()), SOON, is_so).await.unwrap();
}

/// A signal reaches a process a moment after it was sent.
async fn falls_silent(service: &Service) {
    let is_silent = || async { service.readiness().await.is_none().then_some(()) };
    wait::until(format!("{} is silent", service.name()), SOON, is_silent).await.unwrap();
}

#[tokio::test]
async fn a_stack_starts_grows_and_stops_without_a_trace() {
    let config = StackConfig { gateways: 1, lb: true, ..StackConfig::default() };
    let mut stack = Stack::start(config).await.unwrap();
    let key = stack.create_api_key(KeyTenant::One("studio-nova"), &["read"]).await.unwrap();
    assert!(key.starts_with("crln_") && key != stack.api_key());
    assert_eq!(stack.add_gateway(&[("CARILLON_NODE".into(), "late".into())]).await.unwrap(), 1);
    assert!(stack.gateway(1).metrics().await.unwrap().contains("carillon_"));
    let identities: Vec<_> = stack.processes().iter().map(|process| process.identity().unwrap()).collect();
    let folder = stack.folder().to_path_buf();
    assert_eq!(identities.len(), stack.info().pids.len());
    stack.stop().await.unwrap();
    assert!(identities.iter().all(|identity| !identity.is_alive()));
    assert!(!folder.exists());
}

#[tokio::test]
async fn services_log_in_as_the_handbook_names_when_that_is_asked_for() {
    for (logins, ephemeral, wanted) in [
        (Logins::Documented, true, "stack_gateway|f|f\nstack_publisher|f|f"),
        // With passwords.
        (Logins::Documented, false, "stack_gateway|f|f\nstack_publisher|f|f"),
        (Logins::Superuser, true, "carillon|t|t"),
    ] {
        let config = StackConfig { gateways: 1, logins, ephemeral, ..StackConfig::default() };
        let stack = Stack::start(config).await.unwrap();
        assert!(stack.create_api_key(KeyTenant::All, &["read"]).await.unwrap().starts_with("crln_"));
        let seen = "SELECT DISTINCT usename, rolsuper, rolcreaterole FROM pg_stat_activity
            JOIN pg_roles ON rolname = usename
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY usename";
        assert_eq!(stack.sql(seen).await.unwrap(), wanted);
        let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()";
        let migrator = if logins == Logins::Documented { "migrator" } else { "carillon" };
        assert_eq!(stack.sql(owner).await.unwrap(), migrator);
    }
}

#[tokio::test]
async fn cut_links_are_felt_by_the_services_and_heal() {
    let config = StackConfig { gateways: 1, chaos: true, ..StackConfig::default() };
    let stack = Stack::start(config).await.unwrap();
    stack.cut_redis().await;
    becomes(stack.gateway(0), "degraded").await;
    stack.restore_redis().await;
    becomes(stack.gateway(0), "ready").await;
    stack.cut_postgres().await;
    becomes(stack.publisher(0), "unready").await;
    stack.restore_postgres().await;
    becomes(stack.publisher(0), "ready").await;
}

#[tokio::test]
async fn killed_and_frozen_services_come_back_on_their_ports() {
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let gateway = stack.gateway(0);
    let url = gateway.url();
    gateway.kill().unwrap();
    falls_silent(gateway).await;
    gateway.restart().await.unwrap();
    assert_eq!(gateway.url(), url);
    gateway.freeze().unwrap();
    falls_silent(gateway).await;
    gateway.thaw().unwrap();
    becomes(gateway, "ready").await;
    stack.redis().process().kill().unwrap();
    becomes(gateway, "degraded").await;
    stack.redis().restart().await.unwrap();
    becomes(gateway, "ready").await;
}

#[tokio::test]
async fn impossible_stacks_are_refused_before_anything_starts() {
    let none = StackConfig { gateways: 0, ..StackConfig::default() };
    let both = StackConfig { chaos: true, redis_cluster: true, ..StackConfig::default() };
    let homeless = StackConfig { detached: true, ..StackConfig::default() };
    for config in [none, both, homeless] {
        assert!(matches!(Stack::start(config).await, Err(StackError::Config(_))));
    }
}
