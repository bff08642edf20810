//! A private Postgres with the schema, and what the tests ask it.

use carillon_backplane::log::{
    Append, ChannelIndex, Log, LogConfig, News, Progress, Reader, Role, Turn, migrate,
};
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Channel, EventId, TenantId};
use tempfile::TempDir;
use tokio_postgres::NoTls;

pub(crate) struct Database {
    url: String,
    _postgres: Postgres,
    _folder: TempDir,
}

impl Database {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = find::servers().expect("the servers are installed (carillon install)");
        let postgres =
            Postgres::start(PostgresConfig::throw_away(servers.postgres_bin, folder.path())).await.unwrap();
        let url = Postgres::url(postgres.port(), None);
        migrate(&url).await.unwrap();
        Self { url, _postgres: postgres, _folder: folder }
    }

    pub(crate) fn log(&self, role: Role) -> Log {
        Log::connect(LogConfig { url: self.url.clone(), role }).unwrap()
    }

    /// A connection that bypasses row level security.
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Events of a tenant, made by the database itself: `channels` is an SQL expression of the number `n`.
    pub(crate) async fn fill(&self, tenant: &str, events: u32, channels: &str) {
        self.log(Role::Publisher).open_tenant(&self::tenant(tenant), true).await.unwrap();
        let sql = format!(
            "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
             SELECT '{tenant}', n, now() - interval '2 hours' + n * interval '1 ms', 'e' || n, 'order.paid', 'api',
                ({channels})::text[], now(), '{{\"n\":' || n || '}}' FROM generate_series(1, {events}) AS n;
             UPDATE carillon.tenants SET head = {events} WHERE id = '{tenant}'"
        );
        self.superuser().await.batch_execute(&sql).await.unwrap();
    }

    /// Where the index differs from the log: rows of both kinds, none when they say the same.
    pub(crate) async fn differences(&self) -> i64 {
        let sql = "WITH log AS (SELECT e.tenant_id, c.channel, e.seq FROM carillon.events e, unnest(e.channels) AS c(channel)),
                index AS (SELECT i.tenant_id, i.channel, s.seq FROM carillon.channel_index i, unnest(i.seqs) AS s(seq))
            SELECT (SELECT count(*) FROM (SELECT * FROM log EXCEPT ALL SELECT * FROM index) AS missing)
                + (SELECT count(*) FROM (SELECT * FROM index EXCEPT ALL SELECT * FROM log) AS wrong)";
        self.superuser().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(crate) fn append(tenant_name: &str, request: u32, id: &str, channels: &[&str]) -> Append {
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
            channels: channels.iter().map(|name| channel(name)).collect(),
            time: "2026-11-21T10:00:00Z".into(),
            body: format!("{{\"id\":\"{id}\"}}"),
            traceparent: None,
        },
        key: None,
    }
}

/// Reads on until no tenant of this worker's slots has news.
pub(crate) async fn read_all(log: &Log, worker: &str) {
    let name = ChannelIndex.name();
    loop {
        let slots = log.lease_slots(name, worker).await.unwrap();
        let news = log.projector_news(name, &slots, None, 100).await.unwrap();
        if news.is_empty() {
            return;
        }
        for News { tenant, slot, .. } in news {
            let slot = *slots.iter().find(|held| held.number == slot).unwrap();
            let turn = Turn { tenant: &tenant, slot, worker };
            assert_ne!(log.project(&ChannelIndex, turn).await.unwrap(), Progress::LeaseLost);
        }
    }
}
