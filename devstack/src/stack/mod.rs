//! The whole system on this machine: start it, find its parts, hurt them, stop it.

mod admin;
mod config;
mod error;
mod folder;
mod keys;
mod launch;
mod logins;
mod service;
mod sql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::future::{join_all, try_join_all};

pub use self::admin::KeyTenant;
pub use self::config::{Observer, StackConfig, Variable};
pub use self::error::StackError;
use self::folder::Folder;
pub use self::keys::Keys;
pub(crate) use self::keys::write_private;
use self::launch::Launcher;
pub use self::logins::Logins;
pub use self::service::{Links, Readiness, Service, readiness};
use crate::haproxy::Haproxy;
use crate::info::StackInfo;
use crate::postgres::Postgres;
use crate::process::Process;
use crate::redis::Redis;

/// A running system. Dropped, all of it ends at once.
///
/// The fields are in the order in which they may go: services before what they depend on.
#[derive(Debug)]
pub struct Stack {
    gateways: Vec<Service>,
    publishers: Vec<Service>,
    haproxy: Option<Haproxy>,
    /// One, or the nodes of a cluster; never empty.
    redis: Vec<Redis>,
    postgres: Postgres,
    keys: Keys,
    api_key: String,
    launcher: Launcher,
    folder: Folder,
}

impl Stack {
    /// Starts everything and waits until every part is ready.
    pub async fn start(config: StackConfig) -> Result<Self, StackError> {
        launch::start(config).await
    }

    /// The one URL that serves everything: the balancer's; without one the first gateway's, which knows no REST.
    pub fn lb_url(&self) -> String {
        match &self.haproxy {
            Some(haproxy) => format!("http://{}", haproxy.addr()),
            None => self.gateways.first().map(Service::url).unwrap_or_default(),
        }
    }

    /// The load balancer, if there is one.
    pub fn haproxy(&self) -> Option<&Haproxy> {
        self.haproxy.as_ref()
    }

    /// The gateway with this index, from 0 (its name is `gateway-<index + 1>`). Panics if there are fewer.
    pub fn gateway(&self, index: usize) -> &Service {
        &self.gateways[index]
    }

    /// All gateways.
    pub fn gateways(&self) -> &[Service] {
        &self.gateways
    }

    /// The publisher with this index, from 0. Panics if there are fewer.
    pub fn publisher(&self, index: usize) -> &Service {
        &self.publishers[index]
    }

    /// All publishers.
    pub fn publishers(&self) -> &[Service] {
        &self.publishers
    }

    /// Redis; of a cluster the first node.
    pub fn redis(&self) -> &Redis {
        &self.redis[0]
    }

    /// Redis, or the nodes of the cluster.
    pub fn redis_nodes(&self) -> &[Redis] {
        &self.redis
    }

    /// Postgres.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The superuser's URL, never through a proxy.
    pub fn database_url(&self) -> String {
        Postgres::url(self.postgres.port(), self.keys.database_password.as_deref())
    }

    /// Redis's URL, never through a proxy.
    pub fn redis_url(&self) -> String {
        launch::redis_url(&self.redis, None)
    }

    /// Signs user tokens.
    pub fn jwt_secret(&self) -> &str {
        &self.keys.jwt_secret
    }

    /// An API key for all tenants and scopes.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Where data (`postgres`), logs (`log`) and keys lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where this stack keeps sockets.
    pub fn socket_folder(&self) -> &Path {
        self.postgres.socket_folder()
    }

    /// Creates a further API key with these scopes (`publish`, `read`, `admin`).
    pub async fn create_api_key(&self, tenant: KeyTenant<'_>, scopes: &[&str]) -> Result<String, StackError> {
        self.launcher.create_api_key(tenant, scopes).await
    }

    /// Starts one more gateway, with these variables besides the stack's own; returns its index.
    pub async fn add_gateway(&mut self, env: &[Variable]) -> Result<usize, StackError> {
        let number = self.gateways.len() + 1;
        let gateway = self.launcher.gateway(number, env).await?;
        if let Some(haproxy) = &mut self.haproxy {
            haproxy.add_gateway(gateway.backend()).await?;
        }
        self.gateways.push(gateway);
        Ok(number - 1)
    }

    /// Cuts every service's link to Redis. Without chaos it does nothing.
    pub async fn cut_redis(&self) {
        join_all(self.links().map(|links| links.redis.cut())).await;
    }

    /// Clears every service's link to Redis.
    pub async fn restore_redis(&self) {
        join_all(self.links().map(|links| links.redis.restore())).await;
    }

    /// Cuts every service's link to Postgres. Without chaos it does nothing.
    pub async fn cut_postgres(&self) {
        join_all(self.links().map(|links| links.postgres.cut())).await;
    }

    /// Clears every service's link to Postgres.
    pub async fn restore_postgres(&self) {
        join_all(self.links().map(|links| links.postgres.restore())).await;
    }

    fn links(&self) -> impl Iterator<Item = &Links> {
        self.gateways.iter().chain(&self.publishers).filter_map(Service::links)
    }

    /// Every process of the stack.
    pub fn processes(&self) -> Vec<&Process> {
        let servers = [self.postgres.process()].into_iter().chain(self.redis.iter().map(Redis::process));
        let services = self.publishers.iter().chain(&self.gateways).map(Service::process);
        servers.chain(services).chain(self.haproxy.as_ref().map(Haproxy::process)).collect()
    }

    /// Addresses and keys for people and scripts.
    pub fn info(&self) -> StackInfo {
        let pids: BTreeMap<String, u32> =
            self.processes().into_iter().map(|process| (process.name().to_owned(), process.pid())).collect();
        StackInfo {
            lb: self.lb_url(),
            gateways: self.gateways.iter().map(Service::url).collect(),
            publisher: self.publishers.first().map(Service::url).unwrap_or_default(),
            ops: self.gateways.iter().chain(&self.publishers).map(Service::ops_url).collect(),
            database_url: self.database_url(),
            redis_url: self.redis_url(),
            jwt_secret: self.keys.jwt_secret.clone(),
            api_key: self.api_key.clone(),
            examples: None,
            pids,
        }
    }

    /// Starts again, on its ports, whatever has ended by itself, and waits until it is ready.
    pub async fn revive(&self) -> Result<(), StackError> {
        let gone = |process: &Process| !process.is_running();
        if gone(self.postgres.process()) {
            self.postgres.restart().await?;
        }
        for redis in self.redis.iter().filter(|redis| gone(redis.process())) {
            redis.restart().await?;
        }
        for service in self.publishers.iter().chain(&self.gateways).filter(|service| gone(service.process()))
        {
            service.restart().await?;
        }
        if let Some(haproxy) = self.haproxy.as_ref().filter(|haproxy| gone(haproxy.process())) {
            haproxy.restart().await?;
        }
        Ok(())
    }

    /// Stops everything kindly and in order: gateways drain, publishers finish what they have acknowledged, then
    /// the balancer, Redis and Postgres.
    pub async fn stop(self) -> Result<(), StackError> {
        try_join_all(self.gateways.iter().map(Service::terminate)).await?;
        try_join_all(self.publishers.iter().map(Service::terminate)).await?;
        if let Some(haproxy) = &self.haproxy {
            haproxy.process().terminate().await?;
        }
        try_join_all(self.redis.iter().map(|redis| redis.process().terminate())).await?;
        self.postgres.process().terminate().await?;
        Ok(())
    }

    /// Lets go of everything: it stays when this value goes (for a stack that was started `detached`).
    pub fn release(self) -> PathBuf {
        self.processes().into_iter().for_each(Process::release);
        self.folder.path().to_path_buf()
    }
}

#[cfg(test)]
mod tests;
