//! What happens in a drill, and how is it judged?

use super::DrillError;
use crate::cli::FleetArgs;
use crate::client::follow::Follower;
use crate::client::ledger::{Ledger, Witness};
use crate::client::load::{Load, LoadPlan, SharedLedger};
use crate::client::post::Post;
use crate::client::publish::Publisher;
use crate::client::resume::Follow;
use crate::command::{CommandError, say};
use crate::install;
use crate::stack::{Service, Stack, StackConfig};
use crate::token::{Claims, now};
use crate::wait;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const TENANT: &str = "studio-nova";
/// Longest time a client may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// Clients that connect at a time.
const AT_A_TIME: usize = 200;

/// A fleet and everybody who uses it.
pub(super) struct Scene {
    // First, so that clients go before the servers they talk to.
    followers: Vec<Follower>,
    ledger: SharedLedger,
    stack: Stack,
}

/// How the load is spread, and how long it took to be so.
pub(super) struct Settled {
    nodes: Vec<f64>,
    pub(super) after: Duration,
}

impl Settled {
    pub(super) fn mean(&self) -> f64 {
        self.nodes.iter().sum::<f64>() / self.nodes.len().max(1) as f64
    }

    pub(super) fn loads(&self) -> String {
        self.nodes.iter().map(|load| format!("{load:.0}")).collect::<Vec<_>>().join(", ")
    }
}

impl Scene {
    /// Starts the fleet and connects everybody.
    pub(super) async fn start(args: &FleetArgs) -> Result<Self, CommandError> {
        install::ensure(say)?;
        let config = StackConfig { lb: true, gateways: args.gateways, ..StackConfig::default() }
            .gateway_var("CARILLON_DRAIN_MS", args.drain_ms)
            .gateway_var("CARILLON_DRAIN_RATE", args.drain_rate)
            .gateway_var("CARILLON_REBALANCE", "on")
            .gateway_var("CARILLON_REBALANCE_PERCENT", args.rebalance_percent);
        let stack = Stack::start(config).await?;
        let mut scene = Self { followers: Vec::new(), ledger: Arc::new(Mutex::new(Ledger::new())), stack };
        say(&format!("connecting {} clients", args.clients));
        let url = format!("{}/v1/ws", scene.stack.lb_url().replacen("http", "ws", 1));
        for n in 0..args.clients {
            let token =
                Claims::new(TENANT, format!("user-{n}"), now(), 7_200).sign(scene.stack.jwt_secret())?;
            let follow = Follow::new([url.clone()], token);
            scene.followers.push(Follower::start(format!("client-{n}"), TENANT, follow));
            if n % AT_A_TIME == AT_A_TIME - 1 {
                scene.all_connected().await?;
            }
        }
        scene.all_connected().await?;
        Ok(scene)
    }

    async fn all_connected(&self) -> Result<(), CommandError> {
        for follower in &self.followers {
            follower.connected(PATIENCE).await.map_err(|error| DrillError(error.to_string()))?;
        }
        Ok(())
    }

    /// Publishes to everybody until stopped.
    pub(super) fn publish(&self, rate: f64) -> Load {
        let publishers: Vec<Publisher> = self
            .stack
            .publishers()
            .iter()
            .filter_map(|each| Publisher::new(&each.url(), self.stack.api_key()).ok())
            .collect();
        let make = |n: u64| {
            Post::new(TENANT, "appointment.updated", json!({ "appointment": n, "status": "confirmed" }))
                .tenant_wide()
        };
        Load::start(&publishers, &self.ledger, &LoadPlan::new(Some(rate), make))
    }

    /// Replaces a gateway. Answers at which rate clients came (back), in the fastest second of it, over all nodes.
    pub(super) async fn restart(&mut self, index: usize) -> Result<f64, CommandError> {
        let over = AtomicBool::new(false);
        let replace = async {
            let gateway = self.stack.gateway(index);
            let ended = gateway.terminate().await;
            let restarted = match ended {
                Ok(status) if status.success() => gateway.restart().await.map_err(|error| error.to_string()),
                Ok(status) => Err(format!("gateway-{} ended with {status}", index + 1)),
                Err(error) => Err(error.to_string()),
            };
            // Those who were sent away last are still on their way back.
            tokio::time::sleep(Duration::from_secs(3)).await;
            over.store(true, Ordering::Relaxed);
            restarted
        };
        let watch = async {
            let mut fastest: f64 = 0.0;
            let (mut before, mut at) = (self.accepted().await, Instant::now());
            while !over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let (now, looked) = (self.accepted().await, Instant::now());
                // The node that was replaced counts from nought again.
                let came: f64 = now.iter().zip(&before).map(|(now, before)| (now - before).max(0.0)).sum();
                // On a busy machine a look may come late: what counts is the rate.
                fastest = fastest.max(came / (looked - at).as_secs_f64());
                (before, at) = (now, looked);
            }
            fastest
        };
        let (replaced, fastest) = tokio::join!(replace, watch);
        replaced.map_err(DrillError)?;
        self.all_connected().await?;
        Ok(fastest)
    }

    /// Starts one more gateway.
    pub(super) async fn add(&mut self) -> Result<(), CommandError> {
        self.stack.add_gateway(&[]).await?;
        Ok(())
    }

    /// Waits until every node has between so many times the mean.
    pub(super) async fn evens_out(
        &self,
        least: f64,
        most: f64,
        within: Duration,
    ) -> Result<Settled, CommandError> {
        let began = Instant::now();
        let even = wait::until("an even load", within, || async {
            let settled = Settled { nodes: self.loads().await, after: began.elapsed() };
            let mean = settled.mean();
            let all = settled.nodes.iter().sum::<f64>() >= self.followers.len() as f64;
            (all && settled.nodes.iter().all(|load| (mean * least..=mean * most).contains(load)))
                .then_some(settled)
        });
        match even.await {
            Ok(settled) => Ok(settled),
            Err(timeout) => Err(DrillError(format!("{timeout}: {:?}", self.loads().await)).into()),
        }
    }

    /// Everything acknowledged has reached everybody, once and in order.
    pub(super) async fn judge(&self) -> Result<String, CommandError> {
        for follower in &self.followers {
            let epoch = follower.status().cursor.and_then(|cursor| cursor.epoch).unwrap_or_default();
            let last = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).last_seq(TENANT, &epoch);
            follower.reached(last, PATIENCE).await.map_err(|error| DrillError(error.to_string()))?;
        }
        let witnesses: Vec<Witness> = self.followers.iter().map(Follower::witness).collect();
        let verdict = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).verify(&witnesses);
        if !verdict.is_clean() || verdict.resets > 0 {
            return Err(DrillError(verdict.to_string()).into());
        }
        Ok(format!(
            "delivered              {} of {}, none twice, no reset",
            verdict.deliveries, verdict.expected
        ))
    }

    async fn loads(&self) -> Vec<f64> {
        self.of_each("carillon_connections").await
    }

    async fn accepted(&self) -> Vec<f64> {
        self.of_each("carillon_connections_accepted_total").await
    }

    async fn of_each(&self, metric: &str) -> Vec<f64> {
        let mut values = Vec::new();
        for gateway in self.stack.gateways() {
            values.push(Service::metric(gateway, metric).await.unwrap_or(0.0));
        }
        values
    }
}
