//! What does an innocent tenant feel? It publishes and resumes, each time over a new connection.

use crate::client::frame::Cursor;
use crate::client::post::Post;
use crate::client::publish::{PublishError, Publisher};
use crate::client::socket::{Connect, Socket, SocketError};
use crate::command::CommandError;
use crate::command::drill::DrillError;
use crate::stack::{Service, Stack};
use crate::token::{Claims, now};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TENANT: &str = "innocent";
const LARGE_TENANT: &str = "innocent-large";
/// Bytes that make a body large: above 32 KiB bodies are parsed one after the other.
const LARGE: usize = 40_000;
/// Events a resume brings.
const MISSED: u64 = 100;
/// Longest time for one; past it, it counts as refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the innocent needs beside its connections and its turn in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// It publishes bodies that are large enough to wait for their turn to be parsed.
    Parsing,
    /// It publishes to tenants that begin with that.
    TenantLookups,
    /// It comes back with a cursor that only the log can judge.
    Cursors,
}

/// How often it does something.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time between two publishes.
    pub publish: Duration,
    /// And between two resumes.
    pub resume: Duration,
}

/// The drill's: it takes little of what is measured.
const PACE: Pace = Pace { publish: Duration::from_millis(50), resume: Duration::from_millis(200) };

/// The innocent tenant.
#[derive(Debug)]
pub struct Innocent {
    /// How often it publishes and resumes.
    pub pace: Pace,
    /// What it needs that a load takes.
    pub needs: Needs,
    /// A key for all tenants.
    any_key: String,
    api_key: String,
    token: String,
    epoch: String,
}

/// What it felt.
#[derive(Debug, Default)]
pub struct Figures {
    /// How long each publish took, and each resume.
    pub publishes: Vec<Duration>,
    /// Likewise.
    pub resumes: Vec<Duration>,
    /// How often it was refused, by reason.
    pub refused: BTreeMap<String, usize>,
    /// The most memory the services had meanwhile.
    pub(super) publisher_bytes: u64,
    pub(super) gateway_bytes: u64,
}

impl Figures {
    pub(super) fn publish(&self, percent: usize) -> Duration {
        percentile(&self.publishes, percent)
    }

    pub(super) fn resume(&self, percent: usize) -> Duration {
        percentile(&self.resumes, percent)
    }

    /// Publishes and resumes tried.
    pub(super) fn attempts(&self) -> usize {
        self.publishes.len() + self.resumes.len() + self.refused.values().sum::<usize>()
    }

    fn look_at_memory(&mut self, stack: &Stack) {
        let bytes = |service: &Service| service.process().memory().unwrap_or(0);
        self.publisher_bytes = self.publisher_bytes.max(bytes(stack.publisher(0)));
        self.gateway_bytes = self.gateway_bytes.max(bytes(stack.gateway(0)));
    }

    pub(super) fn join(&mut self, other: Self) {
        self.publishes.extend(other.publishes);
        self.resumes.extend(other.resumes);
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.publisher_bytes = self.publisher_bytes.max(other.publisher_bytes);
        self.gateway_bytes = self.gateway_bytes.max(other.gateway_bytes);
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

impl Innocent {
    /// With enough events in its log to be missed.
    pub async fn prepare(stack: &Stack) -> Result<Self, CommandError> {
        let api_key = stack.create_api_key(crate::stack::KeyTenant::One(TENANT), &["publish"]).await?;
        let token = Claims::new(TENANT, "ivana", now(), 36_000).sign(stack.jwt_secret())?;
        let any_key = stack.create_api_key(crate::stack::KeyTenant::All, &["publish"]).await?;
        let mut innocent =
            Self { pace: PACE, needs: Needs::Nothing, any_key, api_key, token, epoch: String::new() };
        let posts: Vec<Post> = (0..2 * MISSED).map(event).collect();
        let publisher = innocent.publisher(stack)?;
        let acks =
            publisher.publish_many(&posts, None).await.map_err(|error| DrillError(error.to_string()))?;
        innocent.epoch = acks.first().map(|ack| ack.epoch.clone()).unwrap_or_default();
        Ok(innocent)
    }

    /// Publishes and resumes for so long.
    pub async fn measure(&self, stack: &Stack, time: Duration) -> Result<Figures, CommandError> {
        let until = Instant::now() + time;
        let head = std::sync::atomic::AtomicU64::new(2 * MISSED);
        let (published, resumed, mut memory) = tokio::join!(
            self.publish(stack, until, &head),
            self.resume(stack, until, &head),
            watch_memory(stack, until),
        );
        memory.join(published?);
        memory.join(resumed);
        Ok(memory)
    }

    async fn publish(
        &self,
        stack: &Stack,
        until: Instant,
        head: &std::sync::atomic::AtomicU64,
    ) -> Result<Figures, CommandError> {
        let mut figures = Figures::default();
        let mut next = tokio::time::interval(self.pace.publish);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < until {
            next.tick().await;
            // A new client has a new connection: what happens at accept is part of what is felt.
            let publisher = self.publisher(stack)?;
            let post = self.post();
            let began = Instant::now();
            match publisher.publish(&post, None).await {
                Ok(ack) => {
                    figures.publishes.push(began.elapsed());
                    if post.tenant == TENANT {
                        head.fetch_max(ack.seq, std::sync::atomic::Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    let reason = match &error {
                        PublishError::Refused(problem) => format!("publish {}", problem.code),
                        _ => "publish without an answer".to_owned(),
                    };
                    *figures.refused.entry(reason).or_default() += 1;
                }
            }
        }
        Ok(figures)
    }

    async fn resume(&self, stack: &Stack, until: Instant, head: &std::sync::atomic::AtomicU64) -> Figures {
        let mut figures = Figures::default();
        let mut next = tokio::time::interval(self.pace.resume);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < until {
            next.tick().await;
            let head = head.load(std::sync::atomic::Ordering::Relaxed);
            let began = Instant::now();
            match self.catch_up(stack, head).await {
                Ok(()) => figures.resumes.push(began.elapsed()),
                Err(error) => *figures.refused.entry(format!("resume: {error}")).or_default() += 1,
            }
        }
        figures
    }

    /// What it publishes.
    fn post(&self) -> Post {
        match self.needs {
            Needs::TenantLookups => {
                let tenant = format!("{TENANT}-{}", uuid::Uuid::now_v7());
                Post::new(tenant, "order.changed", json!({ "order": 0 })).tenant_wide()
            }
            Needs::Parsing => {
                let note = "x".repeat(LARGE);
                // Not into the log that is read again and again.
                Post::new(LARGE_TENANT, "order.changed", json!({ "order": 0, "note": note })).tenant_wide()
            }
            Needs::Nothing | Needs::Cursors => event(0),
        }
    }

    /// Comes back with a cursor and reads until `head`.
    async fn catch_up(&self, stack: &Stack, head: u64) -> Result<(), SocketError> {
        if self.needs == Needs::Cursors {
            return self.come_back_as_nobody(stack).await;
        }
        let cursor = Cursor::new(head - MISSED, self.epoch.clone());
        let mut connect = Connect::new(stack.gateway(0).ws_url(), self.token.clone()).since(cursor);
        connect.patience = PATIENCE;
        let (mut socket, _) = Socket::open(&connect).await?;
        while socket.next_of("event", PATIENCE).await?.seq().is_some_and(|seq| seq < head) {}
        socket.close().await;
        Ok(())
    }

    /// Comes back with a cursor of an epoch that never was, and is told so.
    async fn come_back_as_nobody(&self, stack: &Stack) -> Result<(), SocketError> {
        let cursor = Cursor::new(1, "never".to_owned());
        let mut connect = Connect::new(stack.gateway(0).ws_url(), self.token.clone()).since(cursor);
        connect.patience = PATIENCE;
        let (mut socket, _) = Socket::open(&connect).await?;
        socket.next_of("reset", PATIENCE).await?;
        socket.close().await;
        Ok(())
    }

    fn publisher(&self, stack: &Stack) -> Result<Publisher, CommandError> {
        let key = match self.needs {
            Needs::TenantLookups | Needs::Parsing => &self.any_key,
            Needs::Nothing | Needs::Cursors => &self.api_key,
        };
        let publisher = Publisher::new(&stack.publisher(0).url(), key.clone());
        Ok(publisher.map_err(|error| DrillError(error.to_string()))?)
    }
}

async fn watch_memory(stack: &Stack, until: Instant) -> Figures {
    let mut figures = Figures::default();
    while Instant::now() < until {
        figures.look_at_memory(stack);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    figures
}

fn event(n: u64) -> Post {
    Post::new(TENANT, "order.changed", json!({ "order": n, "status": "confirmed" })).tenant_wide()
}
