//! A private Postgres with the schema, for one test, and an event for it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of what others may use")]

use carillon_backplane::log::{Append, IdempotencyKey, Log, LogConfig, Role, migrate};
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Channel, EventId, TenantId};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A running Postgres with the newest schema; gone with this value. A test file may give it more methods.
pub struct Database {
    pub url: String,
    pub publisher: Log,
    pub gateway: Log,
    client: Client,
    _postgres: Postgres,
    _folder: TempDir,
}

impl Database {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With other settings than tests have.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Whoever runs Postgres must be able to enter, or its data lies elsewhere and stays.
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let servers = find::servers().expect("the servers are installed (carillon install)");
        let mut config = PostgresConfig::throw_away(servers.postgres_bin, folder.path());
        config.settings = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let postgres = Postgres::start(config).await.unwrap();
        let url = Postgres::url(postgres.port(), None);
        migrate(&url).await.unwrap();
        let client = superuser(&url).await;
        let (publisher, gateway) = (log(&url, Role::Publisher), log(&url, Role::Gateway));
        Self { url, publisher, gateway, client, _postgres: postgres, _folder: folder }
    }

    /// Another process's log.
    pub fn log(&self, role: Role) -> Log {
        log(&self.url, role)
    }

    /// One more connection that bypasses row level security.
    pub async fn superuser(&self) -> Client {
        superuser(&self.url).await
    }

    /// Runs statements as superuser, always on the same connection.
    pub async fn sql(&self, statements: &str) {
        self.client.batch_execute(statements).await.unwrap();
    }

    /// The one number that a query answers, on the connection of [`Self::sql`].
    pub async fn count(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }
}

fn log(url: &str, role: Role) -> Log {
    Log::connect(LogConfig { url: url.to_owned(), role }).unwrap()
}

async fn superuser(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

/// An event of this tenant with this id; `key` is an idempotency key and the first byte of its request's hash.
pub fn append(tenant_name: &str, request: u32, id: &str, key: Option<(&str, u8)>) -> Append {
    Append {
        tenant: tenant(tenant_name),
        request,
        event: NewEvent {
            id: EventId::new(id).unwrap(),
            kind: "appointment.created".into(),
            source: "api".into(),
            subject: None,
            actor: None,
            priority: None,
            channels: vec![Channel::tenant(), channel("user:Mila, 2")],
            time: "2026-11-21T10:00:00.123456Z".into(),
            body: format!("{{\"id\":\"{id}\"}}"),
            traceparent: None,
            latest: None,
            notice: None,
        },
        key: key.map(|(name, hash)| IdempotencyKey { name: name.into(), hash: [hash; 32] }),
        except: None,
    }
}

/// The day (UTC) so long ago.
pub fn days_ago(days: i64) -> jiff::civil::Date {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    today.checked_sub(jiff::Span::new().days(days)).unwrap()
}

impl Database {
    /// So many partitions of days in a row, the newest so many days ago.
    pub async fn old_partitions(&self, newest_days_ago: i32, count: i32) {
        let client = self.superuser().await;
        // A few at a time: they hold more locks than the lock table has places.
        for from in (0..count).step_by(50) {
            let to = (from + 50).min(count) - 1;
            let sql = format!(
                "SET timezone = 'UTC'; SET ROLE carillon_owner;
                 DO $$ DECLARE day date; BEGIN
                    FOR n IN {from}..{to} LOOP
                        day := current_date - {newest_days_ago} - n;
                        EXECUTE format('CREATE TABLE carillon.events_%s PARTITION OF carillon.events
                            FOR VALUES FROM (%L) TO (%L)', to_char(day, 'YYYYMMDD'), day::timestamptz, (day + 1)::timestamptz);
                    END LOOP;
                 END $$"
            );
            client.batch_execute(&sql).await.unwrap();
        }
    }
}
