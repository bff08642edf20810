//! Where do the numbers come from?
//!
//! From this process, from one question to the log and from what gateways wrote into Redis. The question is about all tenants, so
//! its answer is kept for a moment and asked for by one at a time: how often health is asked for does not matter to the log. So is that
//! about one tenant, of as many tenants as there is room for.

use super::analytics::{self, AnalyticsHealth};
use super::events::{self, EventsHealth, Numbers, Seen};
use super::notifications::{self, NotificationsHealth};
use super::websocket::{self, WebsocketHealth};
use crate::health::Health;
use crate::metrics::Metrics;
use carillon_backplane::bus::{BusHealth, Registry};
use carillon_backplane::log::{Log, LogError, WEBHOOKS};
use carillon_protocol::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the log's numbers are kept.
const KEPT: Duration = Duration::from_secs(2);
/// Tenants whose numbers are kept at a time.
const TENANTS: usize = 1_024;
/// Longest wait for the proof that the log takes events.
const PROOF: Duration = Duration::from_millis(1_000);

/// Looks at every part of the installation.
pub struct Subsystems {
    log: Log,
    health: Health,
    metrics: Arc<Metrics>,
    projectors: Vec<&'static str>,
    retention_days: u32,
    redis: Box<dyn Fn() -> BusHealth + Send + Sync>,
    registry: Box<dyn Fn() -> Registry + Send + Sync>,
    /// Of all tenants; held by who asks.
    numbers: tokio::sync::Mutex<Option<(Instant, Numbers)>>,
    of_tenants: Mutex<HashMap<TenantId, (Instant, Numbers)>>,
}

impl Subsystems {
    /// `redis` says whether this process reaches it, `registry` what it has of the gateways.
    pub fn new(
        (log, health, metrics): (Log, Health, Arc<Metrics>),
        projectors: Vec<&'static str>,
        retention_days: u32,
        redis: impl Fn() -> BusHealth + Send + Sync + 'static,
        registry: impl Fn() -> Registry + Send + Sync + 'static,
    ) -> Self {
        let (redis, registry) = (Box::new(redis), Box::new(registry));
        Self {
            log,
            health,
            metrics,
            projectors,
            retention_days,
            redis,
            registry,
            numbers: Default::default(),
            of_tenants: Mutex::default(),
        }
    }

    /// How the log and what follows it are: for this tenant, or for all.
    pub async fn events(&self, tenant: Option<&TenantId>) -> EventsHealth {
        let (writable, numbers) = self.log_says(tenant).await;
        events::judge(Seen {
            writable,
            exhausted: self.health.exhausted(),
            numbers,
            commit: self.metrics.commits.last(),
            redis: (self.redis)(),
        })
    }

    /// How the counting of events is: for this tenant, or for all.
    pub async fn analytics(&self, tenant: Option<&TenantId>) -> AnalyticsHealth {
        let (writable, numbers) = self.log_says(tenant).await;
        analytics::judge(writable, numbers)
    }

    /// How notices are: for this tenant, or for all.
    pub async fn notifications(&self, tenant: Option<&TenantId>) -> NotificationsHealth {
        let (writable, numbers) = self.log_says(tenant).await;
        notifications::judge(writable, numbers, (self.redis)())
    }

    async fn log_says(&self, tenant: Option<&TenantId>) -> (Result<(), LogError>, Result<Numbers, LogError>) {
        let writable = self.writable().await;
        let numbers = match &writable {
            // Nothing that is known to be away is asked.
            Err(fault) if fault.is_down() => Err(fault.clone()),
            _ => self.numbers(tenant).await,
        };
        (writable, numbers)
    }

    /// Whether the log takes events, found out within a second.
    pub async fn writable(&self) -> Result<(), LogError> {
        let proof = tokio::time::timeout(PROOF, self.health.prove_writable()).await;
        proof.unwrap_or_else(|_| Err(LogError::Down("it does not answer in time".to_owned())))
    }

    /// How the gateways are. `whole`: whoever asks may know about all tenants.
    pub fn websocket(&self, whole: bool) -> WebsocketHealth {
        websocket::judge(&(self.registry)(), (self.redis)(), whole)
    }

    async fn numbers(&self, tenant: Option<&TenantId>) -> Result<Numbers, LogError> {
        if let Some(tenant) = tenant {
            return self.numbers_of(tenant).await;
        }
        let mut kept = self.numbers.lock().await;
        if let Some((at, numbers)) = &*kept
            && at.elapsed() < KEPT
        {
            return Ok(numbers.clone());
        }
        let asked = Instant::now();
        let numbers = self.health.ask(self.ask(None)).await?;
        *kept = Some((asked, numbers.clone()));
        Ok(numbers)
    }

    /// Whether the log need not be asked about this tenant.
    pub fn knows(&self, tenant: &TenantId) -> bool {
        self.of_tenants().get(tenant).is_some_and(|(at, _)| at.elapsed() < KEPT)
    }

    async fn numbers_of(&self, tenant: &TenantId) -> Result<Numbers, LogError> {
        if let Some((at, numbers)) = self.of_tenants().get(tenant)
            && at.elapsed() < KEPT
        {
            return Ok(numbers.clone());
        }
        let asked = Instant::now();
        let numbers = self.health.ask(self.ask(Some(tenant))).await?;
        let mut kept = self.of_tenants();
        if kept.len() >= TENANTS {
            kept.retain(|_, (at, _)| at.elapsed() < KEPT);
        }
        if kept.len() < TENANTS {
            kept.insert(tenant.clone(), (asked, numbers.clone()));
        }
        Ok(numbers)
    }

    fn of_tenants(&self) -> MutexGuard<'_, HashMap<TenantId, (Instant, Numbers)>> {
        self.of_tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, tenant: Option<&TenantId>) -> Result<Numbers, LogError> {
        let began = Instant::now();
        let partitions = self.log.partition_state(self.retention_days).await?;
        let mut projectors = Vec::with_capacity(self.projectors.len());
        for name in &self.projectors {
            projectors.push((*name, self.log.projector_lag(name, tenant).await?));
        }
        projectors.push((WEBHOOKS, self.log.webhook_lag(tenant).await?));
        let outbox = self.log.outbox_state(tenant).await?;
        let archive = match tenant {
            None => Some(self.log.archive_state(self.retention_days).await?),
            Some(_) => None,
        };
        let escalations = self.log.escalation_lag(tenant).await?;
        Ok(Numbers {
            answer_ms: began.elapsed().as_secs_f64() * 1_000.0,
            partitions,
            projectors,
            outbox,
            archive,
            escalations,
        })
    }
}
