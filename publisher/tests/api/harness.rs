//! How does a test get a publisher?

use crate::contract::Contract;
use axum::Router;
use axum::body::{Body, Bytes};
use carillon_backplane::api_key::Fresh;
use carillon_backplane::bus::{BusConfig, BusHealth, BusMode, DownCause, PresenceReader, Registry};
use carillon_backplane::log::{ApiKey, Log, LogConfig, Role, migrate};
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_platform::ask::Asker;
use carillon_platform::auth::{AuthConfig, Caps, ClaimsForMint, Verifier, mint};
use carillon_platform::config::Tenants as Policy;
use carillon_platform::env::Secret;
use carillon_platform::origin::OriginPolicy;
use carillon_platform::outbound::{Outbound, OutboundConfig, Ports};
use carillon_platform::telemetry::Traces;
use carillon_protocol::envelope::Batch;
use carillon_protocol::{ChannelPattern, TenantId, UserId};
use carillon_publisher::access::Gate;
use carillon_publisher::batcher::Batcher;
use carillon_publisher::health::Health;
use carillon_publisher::http::{App, BodyBudget, Parsing, Reads, Trials, router};
use carillon_publisher::inbox::InboxNews;
use carillon_publisher::limits::Limits;
use carillon_publisher::metrics::Metrics;
use carillon_publisher::presence::Presence;
use carillon_publisher::projector;
use carillon_publisher::rates::Rates;
use carillon_publisher::rules::Rules;
use carillon_publisher::stats::StatsReader;
use carillon_publisher::subsystems::Subsystems;
use carillon_publisher::tenants::Tenants;
use carillon_publisher::types::Types;
use carillon_publisher::webhooks::Hint;
use carillon_publisher::worker::Activation;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A private, migrated Postgres; it ends and its files go with the last user.
pub(crate) struct Database {
    pub(crate) postgres: Postgres,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Database {
    /// The one that tests share.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<Database>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let fresh = Self::own().await;
        *shared = Arc::downgrade(&fresh);
        fresh
    }

    /// One for a test that harms it.
    pub(crate) async fn own() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let servers = find::servers().unwrap_or_else(|missing| panic!("{missing}"));
        let config = PostgresConfig::throw_away(servers.postgres_bin, folder.path());
        let postgres = Postgres::start(config).await.unwrap();
        let url = Postgres::url(postgres.port(), None);
        migrate(&url).await.unwrap();
        Arc::new(Self { postgres, url, _folder: folder })
    }

    pub(crate) fn log(&self, role: Role) -> Log {
        Log::connect(LogConfig { url: self.url.clone(), role }).unwrap()
    }

    /// Starts the killed server again. Its orphaned sessions may hold the shared memory for another moment.
    pub(crate) async fn restart(&self) {
        self.postgres.restart().await.unwrap();
    }

    /// Runs a statement as the superuser, past row level security; the printed rows.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let psql = find::servers().unwrap().postgres_bin.join("psql");
        let output = std::process::Command::new(psql).args([&self.url, "-Atqc", statement]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A publisher in this process.
pub(crate) struct Api {
    pub(crate) database: Arc<Database>,
    pub(crate) router: Router,
    pub(crate) announced: Arc<Mutex<Vec<Batch>>>,
    /// Whose settings gateways were told to look at.
    pub(crate) told: Arc<Mutex<Vec<TenantId>>>,
    /// What was sent to whoever is connected.
    pub(crate) live: Arc<Mutex<Vec<Bytes>>>,
    /// The event types that it holds; nothing follows them but a test that asks for it.
    pub(crate) types: Arc<Types>,
    /// An API key for all tenants, with every scope.
    pub(crate) key: String,
    _batcher: Batcher,
}

/// Tenants' URLs may lead to this machine, over HTTP.
fn local_http() -> OutboundConfig {
    OutboundConfig { opened: vec!["127.0.0.0/8".parse().unwrap()], http: true, ports: Ports::Any }
}

/// A Redis that is away.
fn nowhere() -> PresenceReader {
    PresenceReader::connect(&BusConfig::new("redis://127.0.0.1:1", BusMode::Standalone, "crln")).unwrap()
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(Database::shared().await, Policy::Auto).await
    }

    pub(crate) async fn with(database: Arc<Database>, policy: Policy) -> Self {
        let log = database.log(Role::Publisher);
        let metrics = Arc::new(Metrics::new());
        let announced: Arc<Mutex<Vec<Batch>>> = Arc::default();
        let sink = announced.clone();
        let told: Arc<Mutex<Vec<TenantId>>> = Arc::default();
        let sink_of_words = told.clone();
        let live: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let heard = live.clone();
        let tell = Arc::new(move |tenant: &TenantId| sink_of_words.lock().unwrap().push(tenant.clone()));
        let health = Health::new(log.clone(), Activation::default(), CancellationToken::new());
        let announce = Arc::new(move |batch| sink.lock().unwrap().push(batch));
        let batcher =
            Batcher::start(log.clone(), health.clone(), announce, metrics.clone(), &Traces::default());
        let verifier = Verifier::new(AuthConfig {
            secrets: vec![Secret::new(SECRET)],
            public_key_file: None,
            jwks_url: None,
            audiences: Vec::new(),
            issuers: Vec::new(),
            clock_skew: std::time::Duration::from_secs(5),
        });
        let subsystems = Subsystems::new(
            (log.clone(), health.clone(), metrics.clone()),
            projector::names(),
            30,
            || BusHealth::Up,
            || Registry::Unknown(DownCause::Starting),
        );
        let limits = Limits::new(None, "api".into());
        tokio::spawn(limits.clone().follow(log.clone(), health.clone()));
        let types = Arc::new(Types::new(log.clone(), health.clone(), metrics.clone()));
        let app = App {
            intake: batcher.intake(),
            gate: Gate::new(verifier.unwrap(), log.clone(), health.clone()),
            tenants: Tenants::new(log.clone(), health.clone(), policy),
            rules: Rules::new(log.clone(), health.clone(), tell),
            types: types.clone(),
            presence: Presence::new(nowhere(), metrics.clone()),
            limits,
            stats: StatsReader::new(nowhere().limits(), || Registry::Unknown(DownCause::Starting)),
            rates: Rates::default(),
            hint: Hint::default(),
            trials: Trials::default(),
            asker: Asker::new(Outbound::new(local_http()).unwrap()),
            health,
            subsystems,
            bodies: BodyBudget::default(),
            inbox_news: InboxNews::new(
                "api",
                1,
                Arc::new(move |_: &TenantId, envelope| heard.lock().unwrap().push(envelope)),
            ),
            reads: Reads::new(metrics.clone()),
            revocations_last: std::time::Duration::from_secs(90 * 86_400),
            parsing: Parsing::new(2, metrics.clone()).unwrap(),
            metrics,
            traces: Traces::default(),
            origins: OriginPolicy::parse("https://app.example.com").unwrap(),
            leaving: CancellationToken::new(),
            log,
        };
        let key = make_key(&database, None, "publish,read,admin", None).await;
        Self { database, router: router(Arc::new(app)), announced, told, live, types, key, _batcher: batcher }
    }

    /// Sends a request with the key for all tenants.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let bearer = format!("Bearer {}", self.key);
        let authorised =
            headers.iter().any(|(name, _)| matches!(*name, "authorization" | "x-api-key" | "anonymous"));
        let mut request = Request::builder().method(method.clone()).uri(path);
        if !authorised {
            request = request.header("authorization", bearer);
        }
        for (name, value) in headers.iter().filter(|(name, _)| *name != "anonymous") {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let reply = Reply::of(response).await;
        let media = reply.header("content-type").unwrap_or_default();
        let answer = serde_json::from_slice(&reply.bytes).ok();
        self.contract().await.check((&method, path), reply.status, media, answer.as_ref());
        reply
    }

    async fn contract(&self) -> &'static Contract {
        static CONTRACT: OnceCell<Contract> = OnceCell::const_new();
        CONTRACT
            .get_or_init(|| async {
                let request = Request::builder().uri("/openapi.json").body(Body::empty()).unwrap();
                let response = self.router.clone().oneshot(request).await.unwrap();
                Contract::new(Reply::of(response).await.json)
            })
            .await
    }

    pub(crate) async fn post(&self, body: impl ToString) -> Reply {
        self.post_with(&[], body).await
    }

    pub(crate) async fn post_with(&self, headers: &[(&str, &str)], body: impl ToString) -> Reply {
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        self.call(Method::POST, "/v1/events", &all, body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(&[], path).await
    }

    pub(crate) async fn get_with(&self, headers: &[(&str, &str)], path: &str) -> Reply {
        self.call(Method::GET, path, headers, Body::empty()).await
    }
}

/// A stored API key's text.
pub(crate) async fn make_key(
    database: &Database,
    tenant: Option<&str>,
    scopes: &str,
    expires_at: Option<u64>,
) -> String {
    let fresh = Fresh::make().unwrap();
    let key = ApiKey {
        id: fresh.id,
        hash: fresh.hash,
        tenant: tenant.map(|name| TenantId::new(name).unwrap()),
        publish: scopes.contains("publish"),
        read: scopes.contains("read"),
        admin: scopes.contains("admin"),
        relay: false,
        expires_at_secs: expires_at,
    };
    database.log(Role::Owner).create_api_key(&key).await.unwrap();
    fresh.text
}

/// A user token as an `Authorization` value.
pub(crate) fn token(user: &str, tenants: &[(&str, &[&str])], caps: Caps) -> String {
    let roles = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all = tenants.iter().map(|(name, held)| (TenantId::new(*name).unwrap(), roles(held)));
    let claims = ClaimsForMint {
        user: UserId::new(user).unwrap(),
        tenant: None,
        roles: Vec::new(),
        tenants: all.collect::<BTreeMap<_, _>>(),
        channels: Vec::new(),
        caps,
        audience: None,
        issuer: None,
    };
    let minted = mint(&Secret::new(SECRET), &claims, SystemTime::now(), Duration::from_secs(600));
    format!("Bearer {minted}")
}

/// A user token for one tenant and further channels, as an `Authorization` value.
pub(crate) fn token_for(user: &str, tenant: &str, channels: &[&str], caps: Caps) -> String {
    let claims = ClaimsForMint {
        user: UserId::new(user).unwrap(),
        tenant: Some(TenantId::new(tenant).unwrap()),
        roles: Vec::new(),
        tenants: BTreeMap::new(),
        channels: channels.iter().map(|pattern| ChannelPattern::new(pattern).unwrap()).collect(),
        caps,
        audience: None,
        issuer: None,
    };
    let minted = mint(&Secret::new(SECRET), &claims, SystemTime::now(), Duration::from_secs(600));
    format!("Bearer {minted}")
}

pub(crate) const NONE: Caps = Caps { publish: false, admin: false };
pub(crate) const PUBLISH: Caps = Caps { publish: true, admin: false };
pub(crate) const ADMIN: Caps = Caps { publish: true, admin: true };

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) json: Value,
}

impl Reply {
    async fn of(response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status: parts.status, headers: parts.headers, bytes, json }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts a problem of this status and code, in the right form.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.json["code"].as_str()),
            (status, Some(code)),
            "{:?}",
            self.json
        );
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["request_id"].as_str(), self.header("x-request-id"));
        self
    }

    /// Where the faults are and what they are, in order.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = |fault: &Value| {
            ["pointer", "parameter", "header"].iter().find_map(|kind| fault.get(kind)).map(text).unwrap()
        };
        let listed = self.json["errors"].as_array().cloned().unwrap_or_default();
        listed.iter().map(|fault| (place(fault), text(&fault["code"]))).collect()
    }

    /// Asserts a validation problem with exactly these faults.
    #[track_caller]
    pub(crate) fn invalid(&self, faults: &[(&str, &str)]) {
        self.problem(422, "validation");
        let expected: Vec<_> =
            faults.iter().map(|(at, code)| ((*at).to_owned(), (*code).to_owned())).collect();
        assert_eq!(self.faults(), expected, "{:?}", self.json);
    }

    /// Asserts success and gives the seq.
    #[track_caller]
    pub(crate) fn seq(&self) -> u64 {
        assert_eq!(self.status, StatusCode::CREATED, "{:?}", self.json);
        self.json["seq"].as_u64().unwrap()
    }
}

impl Api {
    /// What was announced, once it is as many events: an answer may come a moment before its announcement.
    pub(crate) async fn announced(&self, events: usize) -> Vec<Batch> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let batches = self.announced.lock().unwrap().clone();
            let now: usize = batches.iter().map(|batch| batch.events.len()).sum();
            if now >= events || std::time::Instant::now() > deadline {
                return batches;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
