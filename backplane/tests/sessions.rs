//! Does each kind of work keep to its own connections, and is no session used that is not what we asked for?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use carillon_backplane::log::{
    Append, EventFilter, Log, LogConfig, LogError, Order, Role, Unwritable, describe_metrics, migrate,
};
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Channel, EventId, Seq, TenantId};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// For what a healthy database does at once; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

struct Database {
    log: Log,
    superuser: Client,
    url: String,
    _postgres: Postgres,
    _folder: TempDir,
}

impl Database {
    /// With one tenant that has one event.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = find::servers().expect("the servers are installed (carillon install)");
        let config = PostgresConfig::throw_away(servers.postgres_bin, folder.path());
        let postgres = Postgres::start(config).await.unwrap();
        let url = Postgres::url(postgres.port(), None);
        migrate(&url).await.unwrap();
        let (superuser, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let log = Log::connect(LogConfig { url: url.clone(), role: Role::Publisher }).unwrap();
        log.open_tenant(&tenant(), true).await.unwrap();
        log.append(&[event("first")]).await.unwrap();
        Self { log, superuser, url, _postgres: postgres, _folder: folder }
    }

    async fn sql(&self, statement: &str) {
        self.superuser.batch_execute(statement).await.unwrap();
    }

    /// From now on a search takes longer than a statement may; nothing else does.
    async fn slow_searches(&self) {
        self.sql(
            "ALTER POLICY tenant_reads ON carillon.events
             USING (tenant_id = ANY ((SELECT carillon.scope())::text[]) AND pg_sleep(30)::text IS NOT NULL)",
        )
        .await;
    }

    fn search(&self) -> tokio::task::JoinHandle<Result<usize, LogError>> {
        let log = self.log.clone();
        tokio::spawn(async move {
            let range = (Seq::ZERO, Seq(10));
            let mut search = log.search(&tenant(), EventFilter::default(), range, Order::Descending).await?;
            log.search_on(&mut search, 10, 1_000_000).await.map(|found| found.len())
        })
    }

    /// Appends until the outcome is the wanted one.
    async fn until_append(&self, wanted: impl Fn(&Result<(), LogError>) -> bool) {
        let began = Instant::now();
        for n in 0.. {
            let outcome = self.log.append(&[event(&format!("until-{n}"))]).await.map(drop);
            if wanted(&outcome) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "still {outcome:?}");
        }
    }
}

fn tenant() -> TenantId {
    TenantId::new("studio").unwrap()
}

fn event(id: &str) -> Append {
    let event = NewEvent {
        id: EventId::new(id).unwrap(),
        kind: "t".into(),
        source: "s".into(),
        subject: None,
        actor: None,
        priority: None,
        channels: vec![Channel::tenant()],
        time: "2026-11-21T10:00:00Z".into(),
        body: "{}".into(),
        traceparent: None,
    };
    Append { tenant: tenant(), request: 0, event, key: None }
}

fn scrape() -> &'static PrometheusHandle {
    static SCRAPE: OnceLock<PrometheusHandle> = OnceLock::new();
    SCRAPE.get_or_init(|| {
        let handle = PrometheusBuilder::new().install_recorder().unwrap();
        describe_metrics();
        handle
    })
}

fn unwritable(outcome: &Result<(), LogError>, why: Unwritable) -> bool {
    matches!(outcome, Err(LogError::Unwritable(found, _)) if *found == why)
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_searches_that_take_too_long_delay_nothing_else() {
    let scrape = scrape();
    let database = Database::start().await;
    database.slow_searches().await;
    let searches: Vec<_> = (0..32).map(|_| database.search()).collect();
    let (mut slowest, mut looks) = (Duration::ZERO, 0);
    while !searches.iter().all(tokio::task::JoinHandle::is_finished) {
        let began = Instant::now();
        assert_eq!(database.log.heads(&[tenant()]).await.unwrap().len(), 1);
        slowest = slowest.max(began.elapsed());
        looks += 1;
        database.log.append(&[event(&format!("meanwhile-{looks}"))]).await.unwrap();
        assert_eq!(database.log.api_key("nobody").await.unwrap(), None);
        assert!(scrape.render().contains("carillon_db_up 1\n"), "a slow search is no dead database");
    }
    // A search that waits for a connection waits a second; two of them one after the other would be seen.
    assert!(looks > 3 && slowest < Duration::from_secs(1), "the slowest of {looks} looks took {slowest:?}");
    let (mut slow, mut busy) = (0, 0);
    for search in searches {
        match search.await.unwrap() {
            Err(LogError::TooSlow(_)) => slow += 1,
            Err(LogError::Busy(_)) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(slow >= 4 && busy > 0, "{slow} took too long, {busy} found no connection");
    let told = scrape.render();
    for line in ["{work=\"search\",kind=\"too_slow\"}", "{work=\"search\",kind=\"busy\"}"] {
        assert!(told.contains(&format!("carillon_log_failures_total{line}")), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_leaves_no_statement_in_the_way_of_the_next() {
    let database = Database::start().await;
    database.slow_searches().await;
    let busy =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%carillon.events%'
                AND pid <> pg_backend_pid()";
    for round in 0..3 {
        let searches: Vec<_> = (0..16).map(|_| database.search()).collect();
        let began = Instant::now();
        while database.superuser.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(began.elapsed() < PATIENCE, "the searches begin");
        }
        searches.iter().for_each(tokio::task::JoinHandle::abort);
        let working: i64 = database.superuser.query_one(busy, &[]).await.unwrap().get(0);
        assert!(working <= 4, "round {round}: hanging up gives nobody more of the database, {working} work");
        // Behind somebody else's statement it would miss its own deadline, and the database would be taken for dead.
        let next = database.search().await.unwrap();
        assert!(matches!(next, Err(LogError::TooSlow(_) | LogError::Busy(_))), "round {round}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_row_level_security_does_not_bind_is_given_up_while_in_use() {
    let database = Database::start().await;
    database.sql("ALTER ROLE carillon_publisher BYPASSRLS").await;
    database.until_append(|outcome| matches!(outcome, Err(LogError::Session(_)))).await;
    let fresh = Log::connect(LogConfig { url: database.url.clone(), role: Role::Publisher }).unwrap();
    let refused = fresh.heads(&[tenant()]).await.unwrap_err().to_string();
    assert!(refused.contains("ALTER ROLE carillon_publisher NOSUPERUSER NOBYPASSRLS"), "{refused}");
    database.sql("ALTER ROLE carillon_publisher NOBYPASSRLS; ALTER ROLE carillon_gateway SUPERUSER").await;
    database.until_append(Result::is_ok).await;
    let gateway = Log::connect(LogConfig { url: database.url.clone(), role: Role::Gateway }).unwrap();
    assert!(matches!(gateway.heads(&[tenant()]).await, Err(LogError::Session(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_read_only_is_named_and_found_again() {
    let database = Database::start().await;
    database.log.prove_writable().await.unwrap();
    database.sql("ALTER SYSTEM SET default_transaction_read_only = on").await;
    database.sql("SELECT pg_reload_conf()").await;
    database.until_append(|outcome| unwritable(outcome, Unwritable::ReadOnly)).await;
    assert!(unwritable(&database.log.prove_writable().await, Unwritable::ReadOnly));
    database.sql("ALTER SYSTEM RESET default_transaction_read_only").await;
    database.sql("SELECT pg_reload_conf()").await;
    database.until_append(Result::is_ok).await;
    database.log.prove_writable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_partition_for_now_is_named_by_the_append_and_by_the_proof() {
    let database = Database::start().await;
    database
        .sql(
            "DO $$ DECLARE part regclass; BEGIN
                FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'carillon.events'::regclass LOOP
                    EXECUTE format('ALTER TABLE carillon.events DETACH PARTITION %s', part);
                END LOOP;
             END $$",
        )
        .await;
    database.until_append(|outcome| unwritable(outcome, Unwritable::NoPartition)).await;
    assert!(unwritable(&database.log.prove_writable().await, Unwritable::NoPartition));
    database
        .sql(
            "CREATE TABLE carillon.old (LIKE carillon.events INCLUDING ALL);
             ALTER TABLE carillon.events ATTACH PARTITION carillon.old FOR VALUES FROM (MINVALUE) TO ('2020-01-01')",
        )
        .await;
    assert!(
        unwritable(&database.log.prove_writable().await, Unwritable::NoPartition),
        "another day's is none"
    );
    database
        .sql(
            "CREATE TABLE carillon.rest (LIKE carillon.events INCLUDING ALL);
             ALTER TABLE carillon.events ATTACH PARTITION carillon.rest FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)",
        )
        .await;
    database.log.prove_writable().await.unwrap();
    database.until_append(Result::is_ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_writes_new_pages_and_its_table_stays_small_also_while_a_backup_reads_it() {
    let database = Database::start().await;
    let size = async || {
        let row = database.superuser.query_one("SELECT pg_relation_size('carillon.write_probe')", &[]).await;
        row.unwrap().get::<_, i64>(0)
    };
    for pages in 1..=3 {
        database.log.prove_writable().await.unwrap();
        assert_eq!(size().await, pages * 8192);
    }
    for _ in 0..200 {
        database.log.prove_writable().await.unwrap();
    }
    assert!(size().await <= 1_048_576);
    database.sql("BEGIN; LOCK TABLE carillon.write_probe IN ACCESS SHARE MODE").await;
    let began = Instant::now();
    for _ in 0..150 {
        database.log.prove_writable().await.unwrap();
    }
    assert!(size().await > 1_048_576, "it goes on beside a backup");
    assert!(began.elapsed() < PATIENCE, "and waits for none");
    database.sql("COMMIT").await;
    database.log.prove_writable().await.unwrap();
    assert_eq!(size().await, 8192);
}
