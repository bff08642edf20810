//! What do the tests of invariants and faults have in common?
//!
//! A [`Scene`] is a running system, those who publish, those who follow, and the ledger that judges them. A test hurts
//! a part of it and ends with [`Scene::assert_whole`]: everything acknowledged reached everyone, in order, once.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of what others may use")]

pub mod pair;
pub mod probe;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_devstack::client::dice::Dice;
use carillon_devstack::client::follow::Follower;
use carillon_devstack::client::ledger::{Ledger, Verdict, Witness};
use carillon_devstack::client::load::{Load, LoadPlan, LoadReport, SharedLedger};
use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::resume::Follow;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use serde_json::json;

/// For what a healthy system does within a second or two; the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The tenant of most scenes.
pub const TENANT: &str = "studio-nova";

/// Heavy tests of a file run one after the other: two cores give timings only to one of them.
pub async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    ALONE.lock().await
}

/// A system and everyone who uses it.
pub struct Scene {
    // First, so that clients go before the servers they talk to.
    pub followers: Vec<Follower>,
    pub ledger: SharedLedger,
    pub stack: Stack,
}

impl Scene {
    pub async fn start(config: StackConfig) -> Self {
        let stack = Stack::start(config).await.unwrap();
        Self { followers: Vec::new(), ledger: Arc::new(Mutex::new(Ledger::new())), stack }
    }

    /// A user's token for an hour.
    pub fn token(&self, tenant: &str, user: &str) -> String {
        Claims::new(tenant, user, now(), 3_600).sign(self.stack.jwt_secret()).unwrap()
    }

    /// Clients for all publishers, in order.
    pub fn publishers(&self) -> Vec<Publisher> {
        let key = self.stack.api_key();
        self.stack.publishers().iter().map(|each| Publisher::new(&each.url(), key).unwrap()).collect()
    }

    /// A client that takes these addresses in turn.
    pub fn route(&self, tenant: &str, urls: Vec<String>) -> Follow {
        let user = format!("user-{}", self.followers.len());
        Follow::new(urls, self.token(tenant, &user))
    }

    /// Lets a client follow and waits until it is connected.
    pub async fn follow(&mut self, tenant: &str, follow: Follow) -> &Follower {
        let name = format!("follower-{}", self.followers.len());
        self.followers.push(Follower::start(name, tenant, follow));
        let newest = self.followers.last().unwrap();
        newest.connected(PATIENCE).await.unwrap();
        newest
    }

    /// So many followers that know this gateway only.
    pub async fn follow_at(&mut self, gateway: usize, count: usize) {
        for _ in 0..count {
            let follow = self.route(TENANT, vec![self.stack.gateway(gateway).ws_url()]);
            self.start_following(TENANT, follow);
        }
        self.all_connected().await;
    }

    /// So many followers, each beginning at another gateway, that try the next one after each loss.
    pub async fn follow_anywhere(&mut self, count: usize) {
        let urls: Vec<String> = self.stack.gateways().iter().map(|gateway| gateway.ws_url()).collect();
        for n in 0..count {
            let mut mine = urls.clone();
            mine.rotate_left(n % urls.len());
            let follow = self.route(TENANT, mine);
            self.start_following(TENANT, follow);
        }
        self.all_connected().await;
    }

    /// So many followers that come through the balancer.
    pub async fn follow_balanced(&mut self, count: usize) {
        let url = format!("{}/v1/ws", self.stack.lb_url().replacen("http", "ws", 1));
        for _ in 0..count {
            let follow = self.route(TENANT, vec![url.clone()]);
            self.start_following(TENANT, follow);
        }
        self.all_connected().await;
    }

    fn start_following(&mut self, tenant: &str, follow: Follow) {
        let name = format!("follower-{}", self.followers.len());
        self.followers.push(Follower::start(name, tenant, follow));
    }

    pub async fn all_connected(&self) {
        for follower in &self.followers {
            follower.connected(PATIENCE).await.unwrap();
        }
    }

    /// Publishes to everyone of [`TENANT`] through all publishers in turn, so many events a second, until stopped.
    pub fn load(&self, rate: f64) -> Load {
        Load::start(&self.publishers(), &self.ledger, &plan(Some(rate)))
    }

    /// Publishes so many events as fast as it goes and waits for their acknowledgements.
    pub async fn publish(&self, events: u64) -> LoadReport {
        let load = Load::start(&self.publishers(), &self.ledger, &plan(None).total(events));
        let report = load.finished().await;
        assert_eq!((report.acknowledged, report.abandoned), (events, 0), "{report:?}");
        report
    }

    pub fn book(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn acknowledged(&self) -> u64 {
        self.book().acknowledged_count(TENANT) as u64
    }

    /// Waits until `more` further events are acknowledged: how a test lets time pass that is not empty.
    pub async fn acknowledged_more(&self, more: u64) {
        let goal = self.acknowledged() + more;
        wait::until_true(format!("{goal} acknowledgements"), PATIENCE, || self.acknowledged() >= goal)
            .await
            .unwrap_or_else(|timeout| panic!("{timeout}; there are {}", self.acknowledged()));
    }

    /// Waits until every follower has got everything that is acknowledged now.
    pub async fn everything_arrives(&self) {
        for follower in &self.followers {
            let tenant = follower.witness().tenant;
            // What was the last when it was first looked for: under load there is always a later one on its way.
            let goals = std::sync::Mutex::new(std::collections::BTreeMap::new());
            let reached = wait::until(format!("everything at {}", follower.name()), PATIENCE, || async {
                let cursor = follower.status().cursor?;
                let epoch = cursor.epoch.unwrap_or_default();
                let last = self.book().last_seq(&tenant, &epoch);
                let goal = *goals.lock().unwrap().entry(epoch).or_insert(last);
                (cursor.seq >= goal).then_some(())
            });
            if let Err(timeout) = reached.await {
                panic!("{timeout}; it stands at {:?}\n{}", follower.status(), self.verdict());
            }
        }
    }

    pub fn verdict(&self) -> Verdict {
        let witnesses: Vec<Witness> = self.followers.iter().map(Follower::witness).collect();
        self.book().verify(&witnesses)
    }

    /// Everything acknowledged arrives at every follower, in order, once, and nobody was told `reset`.
    pub async fn assert_whole(&self) {
        self.everything_arrives().await;
        let verdict = self.verdict();
        assert!(verdict.is_clean(), "{verdict}");
        assert!(verdict.expected > 0 && verdict.resets == 0, "{verdict}");
        for follower in &self.followers {
            assert_eq!(follower.status().over, None, "{} came back every time", follower.name());
        }
    }
}

/// Stops a load; everything it began must have been acknowledged in the end.
pub async fn stop(load: Load) -> LoadReport {
    let report = load.stop().await;
    assert!(report.acknowledged > 0 && report.abandoned == 0, "{report:?}");
    report
}

/// Events for everyone of [`TENANT`].
pub fn plan(rate: Option<f64>) -> LoadPlan {
    LoadPlan::new(rate, |n| appointment(n, 0)).tasks(8)
}

/// An event for everyone of [`TENANT`] with so many bytes of padding.
pub fn appointment(n: u64, padding: usize) -> Post {
    let data = json!({ "appointment": n, "note": "x".repeat(padding) });
    Post::new(TENANT, "appointment.moved", data).tenant_wide()
}

/// Choices that a failed run can repeat: its seed is printed with the failure and taken from `CARILLON_TEST_SEED`.
#[expect(clippy::print_stdout, reason = "the test harness shows it with a failure")]
pub fn dice() -> Dice {
    let given = std::env::var("CARILLON_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| Dice::fresh().bits());
    println!("CARILLON_TEST_SEED={seed}");
    Dice::seeded(seed)
}
