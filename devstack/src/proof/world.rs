//! What runs in a run? A system of its own, and everyone who uses it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Api, ProofError};
use super::meddler::{Meddler, Trick};
use super::receiver::Receiver;
use super::workload::{Marks, Person, ROLE, ROOM, TENANTS, USERS, Workload, roles};
use crate::chaos::ChaosProxy;
use crate::client::follow::Follower;
use crate::client::ledger::Ledger;
use crate::client::load::{Load, LoadPlan, SharedLedger};
use crate::client::publish::Publisher;
use crate::client::resume::Follow;
use crate::client::socket::{Connect, Socket};
use crate::stack::{Service, Stack, StackConfig};
use crate::token::{Claims, now};
use crate::wait;

/// For what a healthy system does within seconds; the machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// What gateways promise as their longest silence; clients go after twice as long.
const HEARTBEAT_MS: u64 = 5_000;
/// A client that stops reading is soon felt.
const SMALL_BUFFER: u32 = 4_096;

/// What a run needs beside its seed.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Three Redis Cluster nodes and no links that can be cut.
    pub redis_cluster: bool,
    /// Clients come through HAProxy.
    pub balanced: bool,
    /// Where data lies; none takes a temporary folder.
    pub data: Option<std::path::PathBuf>,
    /// Tricks on the way to some clients.
    pub tricks: Vec<Trick>,
    /// The endpoints of webhooks forget the message with this number.
    pub forgets: Option<u64>,
}

/// A system, and everyone who uses it. Dropped, all of it ends.
pub struct World {
    /// First, so that clients go before the servers they talk to.
    pub clients: Vec<Follower>,
    /// On the way to some clients.
    meddlers: Vec<Meddler>,
    /// The way of publishers' clients to each publisher.
    pub doors: Vec<ChaosProxy>,
    /// The system.
    pub stack: Stack,
    /// What was published and acknowledged.
    pub ledger: SharedLedger,
    /// Each tenant's endpoint, in the order of [`TENANTS`].
    pub endpoints: Vec<Receiver>,
    /// Everyone who has an inbox.
    pub people: Vec<Person>,
    /// What they did to it.
    pub marks: Marks,
    /// Questions to publishers, past the doors.
    pub api: Api,
    /// What is published.
    pub workload: Workload,
}

impl World {
    /// Starts the system and lets everyone come.
    pub async fn start(seed: u64, shape: &Shape) -> Result<Self, ProofError> {
        let config = StackConfig {
            gateways: 3,
            publishers: 2,
            chaos: !shape.redis_cluster,
            redis_cluster: shape.redis_cluster,
            lb: shape.balanced,
            // A kill of Postgres must lose nothing: it writes through.
            ephemeral: false,
            data: shape.data.clone(),
            ..StackConfig::default()
        };
        let config = config
            .gateway_var("CARILLON_RING_EVENTS", 64)
            .gateway_var("CARILLON_DRAIN_MS", 1_500)
            .gateway_var("CARILLON_HEARTBEAT_MS", HEARTBEAT_MS);
        let stack = Stack::start(config).await.map_err(ProofError::of("the stack"))?;
        let api = Api::new(stack.publishers().iter().map(Service::url).collect())?;
        let mut doors = Vec::new();
        for publisher in stack.publishers() {
            let door = ChaosProxy::start(publisher.addr()).await;
            doors.push(door.map_err(ProofError::of("the door of a publisher"))?);
        }
        let mut world = Self {
            clients: Vec::new(),
            meddlers: Vec::new(),
            doors,
            stack,
            ledger: Arc::new(Mutex::new(Ledger::new())),
            endpoints: Vec::new(),
            people: Vec::new(),
            marks: Arc::default(),
            api,
            workload: Workload { seed },
        };
        world.prepare(shape).await?;
        world.let_clients_come(shape).await?;
        Ok(world)
    }

    /// A user's token for two hours.
    fn token(&self, tenant: &str, user: usize) -> Result<String, ProofError> {
        let claims = Claims::new(tenant, USERS[user], now(), 7_200).roles(roles(user));
        claims.sign(self.stack.jwt_secret()).map_err(ProofError::of("a token"))
    }

    /// Rules, webhooks and inboxes are there before the first event.
    async fn prepare(&mut self, shape: &Shape) -> Result<(), ProofError> {
        let rule = json!({"subscribe": ["anyone"], "presence": ["anyone"], "presence_grace_ms": 1_000});
        for tenant in TENANTS {
            let path = format!("/v1/channel-rules/room:%7Broom%7D?tenant={tenant}");
            self.api.ask(Method::PUT, &path, self.stack.api_key(), Some(&rule)).await?;
            let receiver = Receiver::start(shape.forgets).await.map_err(ProofError::of("an endpoint"))?;
            let path = format!("/v1/webhooks/proof?tenant={tenant}");
            let webhook = json!({"url": receiver.url});
            self.api.ask(Method::PUT, &path, self.stack.api_key(), Some(&webhook)).await?;
            self.endpoints.push(receiver);
            for (number, user) in USERS.iter().enumerate() {
                let token = self.token(tenant, number)?;
                self.api.ask(Method::GET, "/v1/inbox", &token, None).await?;
                let mut channels = vec!["tenant".to_owned(), format!("user:{user}")];
                channels.extend(roles(number).iter().map(|_| format!("role:{ROLE}")));
                let (tenant, user) = (tenant.to_owned(), (*user).to_owned());
                self.people.push(Person { tenant, user, token, channels });
            }
        }
        Ok(())
    }

    /// One client for each person, beginning at gateways in turn; it tries the next one after each loss.
    async fn let_clients_come(&mut self, shape: &Shape) -> Result<(), ProofError> {
        let mut urls: Vec<String> = self.stack.gateways().iter().map(Service::ws_url).collect();
        for (url, person) in urls.iter().flat_map(|url| self.people.iter().map(move |person| (url, person))) {
            shown(url, person).await?;
        }
        if shape.balanced {
            urls = vec![format!("{}/v1/ws", self.stack.lb_url().replacen("http", "ws", 1))];
        }
        let mut meddlers = Vec::new();
        for (gateway, trick) in self.stack.gateways().iter().cycle().zip(&shape.tricks) {
            let meddler = Meddler::start(gateway.addr(), *trick).await;
            meddlers.push(meddler.map_err(ProofError::of("a meddler"))?);
        }
        for (number, person) in self.people.iter().enumerate() {
            let mut mine = urls.clone();
            mine.rotate_left(number % urls.len());
            // The n-th person of each tenant goes past the n-th trick, so it meets three tenants.
            if let Some(meddler) = meddlers.get(number % USERS.len()) {
                mine = vec![meddler.ws_url()];
            }
            let mut follow = Follow::new(mine, person.token.clone()).channels([ROOM]);
            follow.presence = true;
            follow.patience = Duration::from_secs(20);
            if number % USERS.len() == USERS.len() - 1 {
                follow = follow.receive_buffer(SMALL_BUFFER);
            }
            let name = format!("{} {number}", person.user);
            self.clients.push(Follower::start(name, &person.tenant, follow));
        }
        self.meddlers = meddlers;
        for client in &self.clients {
            client.connected(PATIENCE).await.map_err(ProofError::of("a client"))?;
        }
        Ok(())
    }

    /// Who publishes, through the doors.
    pub fn publishers(&self) -> Result<Vec<Publisher>, ProofError> {
        let key = self.stack.api_key();
        let made = self.doors.iter().map(|door| Publisher::new(&format!("http://{}", door.addr()), key));
        made.collect::<Result<_, _>>().map_err(ProofError::of("a publisher's client"))
    }

    /// The workload, so many events a second, until it is stopped.
    pub fn load(&self, rate: f64) -> Result<Load, ProofError> {
        let workload = self.workload;
        let plan = LoadPlan::new(Some(rate), move |n| workload.post(n)).tasks(8);
        Ok(Load::start(&self.publishers()?, &self.ledger, &plan))
    }

    /// The ledger.
    pub fn book(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events are acknowledged.
    pub fn acknowledged(&self) -> usize {
        let book = self.book();
        TENANTS.iter().map(|tenant| book.acknowledged_count(tenant)).sum()
    }

    /// Waits until so many more events are acknowledged.
    pub async fn acknowledged_more(&self, more: usize) -> Result<(), ProofError> {
        let goal = self.acknowledged() + more;
        let reached = wait::until_true("more acknowledgements", PATIENCE, || self.acknowledged() >= goal);
        reached.await.map_err(ProofError::of("publishing does not go on"))
    }

    /// Waits until every client has got all that is acknowledged for it now; how long the last one took.
    pub async fn everything_arrives(&self) -> Result<Duration, ProofError> {
        let begun = Instant::now();
        for (client, person) in self.clients.iter().zip(&self.people) {
            let mut channels: std::collections::BTreeSet<String> = person.channels.iter().cloned().collect();
            channels.insert(ROOM.to_owned());
            let reached = wait::until("everything arriving", PATIENCE, || async {
                let cursor = client.status().cursor?;
                let epoch = cursor.epoch.unwrap_or_default();
                let goal = self.book().last_seq_for(&person.tenant, &epoch, &channels);
                (cursor.seq >= goal).then_some(())
            });
            if reached.await.is_err() {
                // Not an error of the run: the checker will say what is missing.
                return Ok(begun.elapsed());
            }
        }
        Ok(begun.elapsed())
    }

    /// Publishes one event to each tenant and waits until everyone has it: from the first attempt to the last arrival.
    pub async fn round(&self, number: u64) -> Result<Duration, ProofError> {
        let begun = Instant::now();
        let workload = self.workload;
        // Numbers past those of the load; three in a row are not always for three tenants, so these say whom they are for.
        let plan = LoadPlan::new(None, move |n| {
            let mut post = workload.post(u64::MAX / 2 + number * 8 + n);
            post.tenant = TENANTS[n as usize % TENANTS.len()].to_owned();
            post.data = json!({"n": n, "round": number});
            post.tenant_wide()
        });
        let plan = plan.total(TENANTS.len() as u64);
        let report = Load::start(&self.publishers()?, &self.ledger, &plan).finished().await;
        if report.abandoned > 0 {
            return Err(ProofError(format!("an event of a healthy system was given up: {report:?}")));
        }
        self.everything_arrives().await?;
        Ok(begun.elapsed())
    }
}

/// Waits until a gateway knows the rule that shows who is in the room.
async fn shown(url: &str, person: &Person) -> Result<(), ProofError> {
    let mut wanted = Connect::new(url, person.token.clone()).channels([ROOM]);
    wanted.presence = true;
    let known = wait::until("a gateway knowing the rules", PATIENCE, || async {
        let (socket, _) = Socket::open(&wanted).await.ok()?;
        socket.close().await;
        Some(())
    });
    known.await.map_err(ProofError::of(url))
}

/// What an answer lists under a name: each entry's member.
pub fn listed(answer: &Value, list: &str, member: &str) -> std::collections::BTreeSet<String> {
    let entries = answer[list].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry[member].as_str().map(str::to_owned)).collect()
}

/// Peaks of processes' memory so far, by name.
pub type Peaks = BTreeMap<String, u64>;
