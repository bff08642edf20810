//! One gateway or publisher of a stack: where it listens, its process, and its links to Postgres and Redis.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;

use super::config::Variable;
use crate::chaos::ChaosProxy;
use crate::haproxy::Backend;
use crate::info::ws_url;
use crate::ports::{self, Ports};
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};

/// A service that starts while two cores serve a whole test run.
const READY: Duration = Duration::from_secs(45);
/// Time to stop beyond the drain.
const GRACE: Duration = Duration::from_secs(15);
const LISTEN: &str = "CARILLON_LISTEN";
const OPS_LISTEN: &str = "CARILLON_OPS_LISTEN";
const PROBE: Duration = Duration::from_secs(2);

/// How a service is started.
#[derive(Debug, Clone)]
pub(super) struct ServicePlan {
    /// `gateway-1`.
    pub(super) name: String,
    /// The binary.
    pub(super) program: PathBuf,
    /// Its log file.
    pub(super) log: PathBuf,
    /// Its working folder.
    pub(super) folder: PathBuf,
    /// Everything but its own addresses.
    pub(super) env: Vec<Variable>,
    /// Whether it outlives us.
    pub(super) detached: bool,
    /// Where its ports come from.
    pub(super) ports: Ports,
}

/// The proxies between one service and what it depends on.
#[derive(Debug)]
pub struct Links {
    /// On the way to Redis.
    pub redis: ChaosProxy,
    /// On the way to Postgres.
    pub postgres: ChaosProxy,
}

impl Links {
    /// Clear links, on which subscribers hear Redis this much later.
    pub(super) async fn start(
        redis: SocketAddr,
        postgres: SocketAddr,
        news_delay: Duration,
    ) -> io::Result<Self> {
        let redis = ChaosProxy::start_late(redis, news_delay).await?;
        Ok(Self { redis, postgres: ChaosProxy::start(postgres).await? })
    }
}

/// A running gateway or publisher.
#[derive(Debug)]
pub struct Service {
    process: Process,
    addr: SocketAddr,
    ops: SocketAddr,
    links: Option<Links>,
    http: reqwest::Client,
}

/// What `/readyz` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Readiness {
    /// `ready`, `degraded` or `unready`.
    pub status: String,
    /// Why it is not `ready`.
    #[serde(default)]
    pub reasons: Vec<serde_json::Value>,
}

impl Service {
    /// Starts it without waiting for it.
    pub(super) fn launch(
        plan: &ServicePlan,
        links: Option<Links>,
        http: reqwest::Client,
    ) -> Result<Self, ProcessError> {
        let port = |name: &str| {
            plan.ports.take(name).map(ports::loopback).map_err(|error| ProcessError::Spawn {
                name: plan.name.clone(),
                program: plan.program.clone(),
                source: error.into(),
            })
        };
        let (addr, ops) = (port(&plan.name)?, port(&format!("{}.ops", plan.name))?);
        let own =
            [("CARILLON_NODE", plan.name.clone()), (LISTEN, addr.to_string()), (OPS_LISTEN, ops.to_string())];
        let mut env: Vec<Variable> = own.map(|(name, value)| (name.into(), value)).into();
        env.extend(plan.env.iter().cloned());
        // The last one given counts.
        let drain = env.iter().rev().find(|(name, _)| name == "CARILLON_DRAIN_MS");
        let drain = drain.and_then(|(_, ms)| ms.parse().ok()).map(Duration::from_millis).unwrap_or_default();
        let process = Process::start(Spec {
            name: plan.name.clone(),
            program: plan.program.clone(),
            args: vec!["serve".into()],
            env,
            log: plan.log.clone(),
            folder: plan.folder.clone(),
            account: None,
            lifetime: if plan.detached { Lifetime::Detached } else { Lifetime::Tied(Signal::KILL) },
            stop: Signal::TERM,
            grace: GRACE + drain,
        })?;
        Ok(Self { process, addr, ops, links, http })
    }

    /// Starts one again that another supervisor started, without waiting for it; none when it is no service.
    pub(crate) fn start_again(spec: Spec, http: reqwest::Client) -> Option<Result<Self, ProcessError>> {
        let addr = |name: &str| {
            let (_, text) = spec.env.iter().rev().find(|(known, _)| known == name)?;
            text.parse::<SocketAddr>().ok()
        };
        let (addr, ops) = (addr(LISTEN)?, addr(OPS_LISTEN)?);
        Some(Process::start_again(spec).map(|process| Self { process, addr, ops, links: None, http }))
    }

    /// Its name: `gateway-1`.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// `http://127.0.0.1:PORT` of its public port.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `ws://127.0.0.1:PORT/v1/ws`.
    pub fn ws_url(&self) -> String {
        ws_url(&self.url())
    }

    /// `http://127.0.0.1:PORT` of its ops port.
    pub fn ops_url(&self) -> String {
        format!("http://{}", self.ops)
    }

    /// Its public address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its links, in a stack with chaos.
    pub fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.process.kill()
    }

    /// SIGTERM; returns when it has drained and ended.
    pub async fn terminate(&self) -> Result<ExitStatus, ProcessError> {
        self.process.terminate().await
    }

    /// SIGSTOP.
    pub fn freeze(&self) -> Result<(), ProcessError> {
        self.process.freeze()
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<(), ProcessError> {
        self.process.thaw()
    }

    /// Kills it if it runs, starts it again on the same ports, and waits until it is ready.
    pub async fn restart(&self) -> Result<(), ProcessError> {
        self.process.restart()?;
        self.ready().await
    }

    /// Waits until it is ready, and not merely degraded.
    pub async fn ready(&self) -> Result<(), ProcessError> {
        let is_ready = || async { self.readiness().await.is_some_and(|seen| seen.status == "ready") };
        self.process.ready(READY, is_ready).await
    }

    /// What its `/readyz` says now; none when it does not answer.
    pub async fn readiness(&self) -> Option<Readiness> {
        readiness(&self.http, &self.ops_url()).await
    }

    /// The text of its `/metrics`; none when it does not answer.
    pub async fn metrics(&self) -> Option<String> {
        self.http.get(format!("{}/metrics", self.ops_url())).send().await.ok()?.text().await.ok()
    }

    /// The sum of a metric over all its labels; none when it is not there.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        sum(&self.metrics().await?, name)
    }

    pub(super) fn backend(&self) -> Backend {
        Backend { name: self.name().into(), addr: self.addr, ops_port: self.ops.port() }
    }
}

/// What `/readyz` of the service with this ops URL says; none when it does not answer in time.
pub async fn readiness(http: &reqwest::Client, ops_url: &str) -> Option<Readiness> {
    let answer = http.get(format!("{ops_url}/readyz")).timeout(PROBE).send().await.ok()?;
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}

/// Adds up all samples of one metric in Prometheus's text format.
fn sum(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) {
            return None;
        }
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    samples.reduce(|sum, sample| sum + sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_mixed_with_longer_names() {
        let text = "# TYPE a counter\na{x=\"1 2\"} 3\na{x=\"b\"} 4\na_total 9\n";
        assert_eq!(sum(text, "a"), Some(7.0));
        assert_eq!(sum(text, "a_total"), Some(9.0));
        assert_eq!(sum(text, "b"), None);
    }
}
