//! In which order does a stack start, and with which settings does each service?

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::Stack;
use super::admin::{self, KeyTenant};
use super::config::{Observer, StackConfig, Variable};
use super::error::StackError;
use super::folder::Folder;
use super::keys::Keys;
use super::logins::Logins;
use super::service::{Links, Service, ServicePlan};
use crate::environment;
use crate::find::{self, Servers};
use crate::haproxy::{self, Haproxy, HaproxyConfig};
use crate::http;
use crate::ports::{Ports, loopback, retry_if_taken};
use crate::postgres::{Postgres, PostgresConfig};
use crate::redis::{self, Redis, RedisConfig};

/// Time a stopping gateway takes for its clients: a developer waits for it.
const DRAIN_MS: u32 = 2_000;
/// All clients of a development stack come from one address.
const PER_IP: u32 = 100_000;

/// See [`Stack::start`].
pub(super) async fn start(config: StackConfig) -> Result<Stack, StackError> {
    if config.gateways == 0 || config.publishers == 0 {
        return Err(StackError::Config("a stack needs at least one gateway and one publisher"));
    }
    if config.chaos && config.redis_cluster {
        return Err(StackError::Config("chaos links and a redis cluster exclude each other"));
    }
    if config.detached && config.data.is_none() {
        return Err(StackError::Config("a detached stack needs a data folder"));
    }
    let servers = find::servers()?;
    let gateway_binary = find::own_binary("carillon-gateway")?;
    let publisher_binary = find::own_binary("carillon-publisher")?;
    let wished = config.data.clone().unwrap_or_default();
    let folder_fault = |source| StackError::Folder { folder: wished.clone(), source };
    let folder = Folder::open(config.data.as_deref()).map_err(folder_fault)?;
    let mut keys = Keys::of(folder.path(), config.ephemeral).map_err(folder_fault)?;
    let ports = ports(&config, folder.path())?;

    config.observer.step(if config.redis_cluster { "Postgres, Redis Cluster" } else { "Postgres, Redis" });
    let (postgres, redis) = tokio::join!(
        retry_if_taken(|| start_postgres(&servers, &config, &folder, &keys, &ports)),
        start_redis(&servers, &config, &folder, &ports),
    );
    let (postgres, redis) = (postgres?, redis?);

    config.observer.step("migrations");
    let (port, logins, password) = (postgres.port(), config.logins, keys.database_password.clone());
    let database_url = Postgres::url_of(logins.migrator(), port, password.as_deref());
    if postgres.is_fresh() {
        logins.prepare(port, password.as_deref()).await?;
    }
    admin::migrate(&publisher_binary, &database_url).await?;
    if postgres.is_fresh() {
        logins.admit_services(port, password.as_deref()).await?;
    }
    let api_key = match keys.api_key.clone().filter(|_| !postgres.is_fresh()) {
        Some(known) => known,
        None => {
            let scopes = ["publish", "read", "admin"];
            let key =
                admin::create_api_key(&publisher_binary, &database_url, KeyTenant::All, &scopes).await?;
            keys.set_api_key(key.clone()).map_err(folder_fault)?;
            key
        }
    };

    // A link needs us alive, and leads to one Redis.
    let can_be_late = config.ephemeral && !config.detached && !config.redis_cluster;
    let news_delay = if can_be_late { environment::redis_news_delay() } else { Duration::ZERO };
    let has_links = config.chaos || !news_delay.is_zero();
    let launcher = Launcher {
        gateway_binary,
        publisher_binary,
        folder: folder.path().to_path_buf(),
        postgres_port: port,
        logins,
        password,
        redis_url: redis_url(&redis, None),
        redis_addr: redis.first().filter(|_| has_links).map(Redis::addr),
        news_delay,
        common_env: common_env(&keys, redis.len() > 1),
        gateway_env: config.gateway_env.clone(),
        publisher_env: config.publisher_env.clone(),
        publisher_url: None,
        detached: config.detached,
        ports: ports.clone(),
        observer: Arc::clone(&config.observer),
        http: http::client(|client| client)
            .map_err(|error| StackError::Part { what: "the probes", source: std::io::Error::other(error) })?,
    };
    config.observer.step("publishers and gateways");
    let only = config.publishers == 1;
    // Gateways are told where a publisher is.
    let publishers = (1..=config.publishers).map(|number| launcher.publisher(number.into(), only));
    let publishers = try_join_all(publishers).await?;
    let launcher = Launcher { publisher_url: publishers.first().map(Service::url), ..launcher };
    let gateways = (1..=config.gateways).map(|number| launcher.gateway(number.into(), &[]));
    let gateways = try_join_all(gateways).await?;

    let haproxy = if config.lb {
        config.observer.step("load balancer");
        let haproxy = retry_if_taken(|| {
            let place = HaproxyConfig {
                program: servers.haproxy.clone(),
                folder: folder.path().join("haproxy"),
                sockets: postgres.socket_folder().to_path_buf(),
                log: folder.log(haproxy::NAME),
                detached: config.detached,
                ports: ports.clone(),
            };
            let backends = |services: &[Service]| services.iter().map(Service::backend).collect();
            Haproxy::start(place, backends(&gateways), backends(&publishers))
        });
        let haproxy = haproxy.await?;
        config.observer.started(haproxy.process());
        Some(haproxy)
    } else {
        None
    };
    Ok(Stack { gateways, publishers, haproxy, redis, postgres, keys, api_key, launcher, folder })
}

/// The ports of a stack that is kept stay the same over its restarts.
fn ports(config: &StackConfig, folder: &Path) -> Result<Ports, StackError> {
    let ports = if config.ephemeral && config.port.is_none() {
        Ports::random()
    } else {
        let observer = Arc::clone(&config.observer);
        Ports::remembered(folder, move |text| observer.note(text))?
    };
    // Before anything starts: a port that was asked for is there, or nothing happens.
    if let Some(port) = config.port {
        ports.fix(haproxy::NAME, port)?;
    }
    Ok(ports)
}

async fn start_postgres(
    servers: &Servers,
    config: &StackConfig,
    folder: &Folder,
    keys: &Keys,
    ports: &Ports,
) -> Result<Postgres, StackError> {
    let postgres = Postgres::start(PostgresConfig {
        bin: servers.postgres_bin.clone(),
        data: folder.path().to_path_buf(),
        log: folder.log("postgres"),
        password: keys.database_password.clone(),
        ephemeral: config.ephemeral,
        detached: config.detached,
        ports: ports.clone(),
        settings: Vec::new(),
    })
    .await?;
    config.observer.started(postgres.process());
    Ok(postgres)
}

async fn start_redis(
    servers: &Servers,
    config: &StackConfig,
    folder: &Folder,
    ports: &Ports,
) -> Result<Vec<Redis>, StackError> {
    let plan = || RedisConfig {
        name: "redis".into(),
        program: servers.redis.clone(),
        folder: folder.path().join("redis"),
        log: folder.log("redis"),
        detached: config.detached,
        ports: ports.clone(),
    };
    let nodes = if config.redis_cluster {
        retry_if_taken(|| redis::start_cluster(plan())).await?
    } else {
        vec![retry_if_taken(|| Redis::start(plan())).await?]
    };
    nodes.iter().for_each(|node| config.observer.started(node.process()));
    Ok(nodes)
}

/// The URL the services get: of a proxy, of the one Redis, or of a cluster with all its nodes.
pub(super) fn redis_url(nodes: &[Redis], proxy: Option<std::net::SocketAddr>) -> String {
    let mut addrs = nodes.iter().map(Redis::addr);
    let Some(first) = proxy.or_else(|| addrs.next()) else { return String::new() };
    let others: Vec<String> = addrs.map(|addr| format!("node={addr}")).collect();
    match others.as_slice() {
        _ if proxy.is_some() => format!("redis://{first}"),
        [] => format!("redis://{first}"),
        others => format!("redis://{first}?{}", others.join("&")),
    }
}

/// What publishers and gateways have in common, except where Postgres and Redis are.
fn common_env(keys: &Keys, cluster: bool) -> Vec<Variable> {
    let mode = if cluster { "cluster" } else { "standalone" };
    [
        ("CARILLON_REDIS_MODE", mode),
        ("CARILLON_JWT_SECRET", keys.jwt_secret.as_str()),
        ("CARILLON_LOG", "info"),
        ("CARILLON_LOG_FORMAT", "text"),
        // The developer's application runs on this machine, on any port and without a certificate.
        ("CARILLON_WEBHOOK_ALLOW", "127.0.0.0/8,::1"),
        ("CARILLON_WEBHOOK_HTTP", "on"),
        ("CARILLON_WEBHOOK_PORTS", "any"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into()
}

/// Knows how to start a service of this stack, at the start and later.
pub(super) struct Launcher {
    gateway_binary: PathBuf,
    publisher_binary: PathBuf,
    folder: PathBuf,
    postgres_port: u16,
    logins: Logins,
    password: Option<String>,
    redis_url: String,
    /// Where the proxies of a stack with chaos lead.
    redis_addr: Option<std::net::SocketAddr>,
    /// How much later than usual subscribers hear Redis.
    news_delay: Duration,
    common_env: Vec<Variable>,
    gateway_env: Vec<Variable>,
    publisher_env: Vec<Variable>,
    /// Of the first one, once it runs.
    publisher_url: Option<String>,
    detached: bool,
    ports: Ports,
    observer: Arc<dyn Observer>,
    http: reqwest::Client,
}

impl std::fmt::Debug for Launcher {
    /// Its settings hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launcher").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Launcher {
    /// Creates an API key as the login that migrates.
    pub(super) async fn create_api_key(
        &self,
        tenant: KeyTenant<'_>,
        scopes: &[&str],
    ) -> Result<String, StackError> {
        let url = Postgres::url_of(self.logins.migrator(), self.postgres_port, self.password.as_deref());
        admin::create_api_key(&self.publisher_binary, &url, tenant, scopes).await
    }

    /// Starts a gateway and waits until it is ready; `env` wins over everything else.
    pub(super) async fn gateway(&self, number: usize, env: &[Variable]) -> Result<Service, StackError> {
        let own = [
            ("CARILLON_TRUSTED_PROXIES", "127.0.0.1/32".to_owned()),
            ("CARILLON_ALLOWED_ORIGINS", "*".into()),
            ("CARILLON_DRAIN_MS", DRAIN_MS.to_string()),
            ("CARILLON_MAX_CONNECTIONS_PER_IP", PER_IP.to_string()),
            ("CARILLON_MAX_CONNECTIONS_PER_USER", PER_IP.to_string()),
            ("CARILLON_SOCKETIO", "on".into()),
            ("CARILLON_PEER_ADDRESS", "127.0.0.1".into()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let publisher = self.publisher_url.clone().map(|url| ("CARILLON_PUBLISHER_URL".to_owned(), url));
        let env = own.iter().chain(&publisher).chain(&self.gateway_env).chain(env).cloned().collect();
        self.service(format!("gateway-{number}"), &self.gateway_binary, self.logins.gateway(), env).await
    }

    /// Starts a publisher and waits until it is ready. An only one is called `publisher`.
    pub(super) async fn publisher(&self, number: usize, only: bool) -> Result<Service, StackError> {
        let name = if only { "publisher".into() } else { format!("publisher-{number}") };
        // Behind no balancer, or one that looks every 250 ms.
        let own = ("CARILLON_DRAIN_DELAY_MS".to_owned(), "500".to_owned());
        let env = std::iter::once(&own).chain(&self.publisher_env).cloned().collect();
        self.service(name, &self.publisher_binary, self.logins.publisher(), env).await
    }

    async fn service(
        &self,
        name: String,
        program: &Path,
        login: &str,
        env: Vec<Variable>,
    ) -> Result<Service, StackError> {
        retry_if_taken(|| self.launch(&name, program, login, &env)).await
    }

    async fn launch(
        &self,
        name: &str,
        program: &Path,
        login: &str,
        own: &[Variable],
    ) -> Result<Service, StackError> {
        let postgres = loopback(self.postgres_port);
        let links = match self.redis_addr {
            Some(redis) => Some(
                Links::start(redis, postgres, self.news_delay)
                    .await
                    .map_err(|source| StackError::Part { what: "a chaos proxy", source })?,
            ),
            None => None,
        };
        let (postgres, redis_url) = match &links {
            Some(links) => (links.postgres.addr(), redis_url(&[], Some(links.redis.addr()))),
            None => (postgres, self.redis_url.clone()),
        };
        let database_url = Postgres::url_of(login, postgres.port(), self.password.as_deref());
        let mut env = self.common_env.clone();
        env.push(("DATABASE_URL".into(), database_url));
        env.push(("REDIS_URL".into(), redis_url));
        env.extend(own.iter().cloned());
        let plan = ServicePlan {
            name: name.into(),
            program: program.into(),
            log: self.folder.join("log").join(format!("{name}.log")),
            folder: self.folder.clone(),
            env,
            detached: self.detached,
            ports: self.ports.clone(),
        };
        let service = Service::launch(&plan, links, self.http.clone())?;
        self.observer.started(service.process());
        service.ready().await?;
        Ok(service)
    }
}
