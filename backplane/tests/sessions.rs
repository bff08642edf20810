//! Does each kind of work keep to its own connections, and is no session used that is not what we asked for?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Append, EventFilter, LogError, Order, Role, Unwritable, describe_metrics};
use carillon_protocol::{Seq, TenantId};
use database::Database;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// For what a healthy database does at once; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

impl Database {
    /// With one tenant that has one event.
    async fn with_an_event() -> Self {
        let database = Self::start().await;
        database.publisher.open_tenant(&tenant(), true).await.unwrap();
        database.publisher.append(&[event("first")]).await.unwrap();
        database
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
        let log = self.publisher.clone();
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
            let outcome = self.publisher.append(&[event(&format!("until-{n}"))]).await.map(drop);
            if wanted(&outcome) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "still {outcome:?}");
        }
    }
}

fn tenant() -> TenantId {
    database::tenant("studio")
}

fn event(id: &str) -> Append {
    database::append("studio", 0, id, None)
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
    let database = Database::with_an_event().await;
    database.slow_searches().await;
    let searches: Vec<_> = (0..32).map(|_| database.search()).collect();
    let (mut slowest, mut looks) = (Duration::ZERO, 0);
    while !searches.iter().all(tokio::task::JoinHandle::is_finished) {
        let began = Instant::now();
        assert_eq!(database.publisher.heads(&[tenant()]).await.unwrap().len(), 1);
        slowest = slowest.max(began.elapsed());
        looks += 1;
        database.publisher.append(&[event(&format!("meanwhile-{looks}"))]).await.unwrap();
        assert_eq!(database.publisher.api_key("nobody").await.unwrap(), None);
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
    let database = Database::with_an_event().await;
    database.slow_searches().await;
    let busy =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%carillon.events%'
                AND pid <> pg_backend_pid()";
    for round in 0..3 {
        let searches: Vec<_> = (0..16).map(|_| database.search()).collect();
        let began = Instant::now();
        while database.count(busy).await == 0 {
            assert!(began.elapsed() < PATIENCE, "the searches begin");
        }
        searches.iter().for_each(tokio::task::JoinHandle::abort);
        let working = database.count(busy).await;
        assert!(working <= 4, "round {round}: hanging up gives nobody more of the database, {working} work");
        // Behind somebody else's statement it would miss its own deadline, and the database would be taken for dead.
        let next = database.search().await.unwrap();
        assert!(matches!(next, Err(LogError::TooSlow(_) | LogError::Busy(_))), "round {round}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_row_level_security_does_not_bind_is_given_up_while_in_use() {
    let database = Database::with_an_event().await;
    database.sql("ALTER ROLE carillon_publisher BYPASSRLS").await;
    database.until_append(|outcome| matches!(outcome, Err(LogError::Session(_)))).await;
    let fresh = database.log(Role::Publisher);
    let refused = fresh.heads(&[tenant()]).await.unwrap_err().to_string();
    assert!(refused.contains("ALTER ROLE carillon_publisher NOSUPERUSER NOBYPASSRLS"), "{refused}");
    database.sql("ALTER ROLE carillon_publisher NOBYPASSRLS; ALTER ROLE carillon_gateway SUPERUSER").await;
    database.until_append(Result::is_ok).await;
    let gateway = database.log(Role::Gateway);
    assert!(matches!(gateway.heads(&[tenant()]).await, Err(LogError::Session(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_read_only_is_named_and_found_again() {
    let database = Database::with_an_event().await;
    database.publisher.prove_writable().await.unwrap();
    database.sql("ALTER SYSTEM SET default_transaction_read_only = on").await;
    database.sql("SELECT pg_reload_conf()").await;
    database.until_append(|outcome| unwritable(outcome, Unwritable::ReadOnly)).await;
    assert!(unwritable(&database.publisher.prove_writable().await, Unwritable::ReadOnly));
    database.sql("ALTER SYSTEM RESET default_transaction_read_only").await;
    database.sql("SELECT pg_reload_conf()").await;
    database.until_append(Result::is_ok).await;
    database.publisher.prove_writable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_partition_for_now_is_named_by_the_append_and_by_the_proof() {
    let database = Database::with_an_event().await;
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
    assert!(unwritable(&database.publisher.prove_writable().await, Unwritable::NoPartition));
    database
        .sql(
            "CREATE TABLE carillon.old (LIKE carillon.events INCLUDING ALL);
             ALTER TABLE carillon.events ATTACH PARTITION carillon.old FOR VALUES FROM (MINVALUE) TO ('2020-01-01')",
        )
        .await;
    assert!(
        unwritable(&database.publisher.prove_writable().await, Unwritable::NoPartition),
        "another day's is none"
    );
    database
        .sql(
            "CREATE TABLE carillon.rest (LIKE carillon.events INCLUDING ALL);
             ALTER TABLE carillon.events ATTACH PARTITION carillon.rest FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)",
        )
        .await;
    database.publisher.prove_writable().await.unwrap();
    database.until_append(Result::is_ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_writes_new_pages_and_its_table_stays_small_also_while_a_backup_reads_it() {
    let database = Database::with_an_event().await;
    let size = || database.count("SELECT pg_relation_size('carillon.write_probe')");
    for pages in 1..=3 {
        database.publisher.prove_writable().await.unwrap();
        assert_eq!(size().await, pages * 8192);
    }
    for _ in 0..200 {
        database.publisher.prove_writable().await.unwrap();
    }
    assert!(size().await <= 1_048_576);
    database.sql("BEGIN; LOCK TABLE carillon.write_probe IN ACCESS SHARE MODE").await;
    let began = Instant::now();
    for _ in 0..150 {
        database.publisher.prove_writable().await.unwrap();
    }
    assert!(size().await > 1_048_576, "it goes on beside a backup");
    assert!(began.elapsed() < PATIENCE, "and waits for none");
    database.sql("COMMIT").await;
    database.publisher.prove_writable().await.unwrap();
    assert_eq!(size().await, 8192);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_append_together_whatever_isolation_the_database_has() {
    let database = Database::with_an_event().await;
    database.sql("ALTER DATABASE carillon SET default_transaction_isolation = 'serializable'").await;
    let appends = ["one", "other"].map(|name| {
        let log = database.log(Role::Publisher);
        tokio::spawn(async move {
            for n in 0..100 {
                log.append(&[event(&format!("{name}-{n}"))]).await.unwrap();
            }
        })
    });
    for append in appends {
        append.await.unwrap();
    }
    assert_eq!(database.count("SELECT count(*) FROM carillon.events").await, 201);
}
