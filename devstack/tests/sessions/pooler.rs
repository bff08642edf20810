//! A real PgBouncer between the services and Postgres.

use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::find;
use carillon_devstack::pgbouncer::{PgBouncer, PgBouncerConfig};
use carillon_devstack::ports::loopback;
use carillon_devstack::postgres::{Postgres, SUPERUSER};
use carillon_devstack::stack::{Service, Stack, StackConfig};
use serde_json::json;
use tempfile::TempDir;

use crate::faults::pair::open_folder;
use crate::faults::probe::{readiness_becomes, readyz_status, sql};
use crate::faults::{PATIENCE, Scene, TENANT};
use crate::refused;

const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");

/// A running pooler, and where its files lie.
struct Pooler {
    pgbouncer: PgBouncer,
    _folder: TempDir,
}

impl Pooler {
    async fn before(stack: &Stack, login: &str, settings: &str) -> Self {
        let folder = open_folder();
        let pgbouncer = PgBouncer::start(PgBouncerConfig {
            program: find::pgbouncer().unwrap(),
            folder: folder.path().join("pgbouncer"),
            postgres: stack.postgres().port(),
            login: login.into(),
            settings: settings.into(),
        });
        Self { pgbouncer: pgbouncer.await.unwrap(), _folder: folder }
    }

    /// The service is started behind it.
    async fn in_front_of(&self, service: &Service) {
        let link = &service.links().unwrap().postgres;
        link.lead_to(self.pgbouncer.addr()).await.unwrap();
        service.process().restart().unwrap();
    }
}

async fn scene() -> Scene {
    Scene::start(StackConfig { gateways: 1, chaos: true, ..StackConfig::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_takes_no_start_up_options_is_refused_by_name_at_the_start() {
    let scene = scene().await;
    let (publisher, gateway) = (scene.stack.publisher(0), scene.stack.gateway(0));
    let drops = "pool_mode = session\nignore_startup_parameters = extra_float_digits, options";
    // The login is a superuser, as the one who migrated often is.
    for (settings, advice) in [
        (drops, r#"ALTER ROLE "carillon" SET role = 'carillon_"#),
        ("pool_mode = session", "ignore_startup_parameters = extra_float_digits, options"),
    ] {
        let pooler = Pooler::before(&scene.stack, SUPERUSER, settings).await;
        for service in [publisher, gateway] {
            pooler.in_front_of(service).await;
            readiness_becomes(service, "unready", Some("database_session")).await;
            assert_eq!(readyz_status(service).await, 503);
            let reasons = service.readiness().await.unwrap().reasons;
            let names = |reason: &serde_json::Value| reason["detail"].as_str().unwrap().contains(advice);
            assert!(reasons.iter().any(names), "{reasons:?}");
        }
        refused::by_name(&scene, "database_session", 5).await;
        let guest = Connect::new(gateway.ws_url(), scene.token(TENANT, "anna"));
        assert!(Socket::open(&guest).await.is_err(), "its log would be read without row level security");
    }
    // Somebody leads the address past the pooler.
    for service in [publisher, gateway] {
        let link = &service.links().unwrap().postgres;
        link.lead_to(loopback(scene.stack.postgres().port())).await.unwrap();
        readiness_becomes(service, "ready", None).await;
    }
    scene.publish(5).await;
    assert_eq!(sql(&scene.stack, "SELECT count(*) FROM carillon.events").await, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_refuses_a_pooler_by_name_and_leaves_nothing_on_its_connections() {
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    sql(&stack, "DROP SCHEMA carillon CASCADE").await;
    for settings in [
        "pool_mode = transaction\nignore_startup_parameters = extra_float_digits, options",
        "pool_mode = session\nignore_startup_parameters = extra_float_digits, options",
        "pool_mode = transaction",
    ] {
        let pooler = Pooler::before(&stack, SUPERUSER, settings).await;
        let url = Postgres::url(pooler.pgbouncer.addr().port(), None);
        let mut migrate = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap());
        let said = migrate.arg("migrate").env("DATABASE_URL", url).output().await.unwrap();
        let words = String::from_utf8(said.stderr).unwrap();
        assert!(!said.status.success() && words.contains("leads to Postgres itself"), "{settings}: {words}");
        let left = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
            + (SELECT count(*) FROM pg_namespace WHERE nspname = 'carillon')";
        assert_eq!(sql(&stack, left).await, "0");
    }
    let output = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap())
        .arg("migrate")
        .env("DATABASE_URL", stack.database_url())
        .output();
    assert!(output.await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_lines_of_the_handbook_everything_works_behind_a_pooler() {
    let mut scene = scene().await;
    let _poolers = tokio::join!(
        as_the_handbook_says(&scene.stack, "publisher", scene.stack.publisher(0)),
        as_the_handbook_says(&scene.stack, "gateway", scene.stack.gateway(0)),
    );
    scene.follow_at(0, 2).await;
    scene.publish(20).await;
    // Row level security binds the sessions: each tenant's events are stored and read as its own.
    let publisher = &scene.publishers()[0];
    for tenant in ["second-tenant", "third-tenant"] {
        let post = Post::new(tenant, "order.paid", json!({})).tenant_wide();
        assert_eq!(publisher.publish(&post, None).await.unwrap().seq, 1);
    }
    // PgBouncer hands the same sessions to the next client, cleaned.
    for service in [scene.stack.publisher(0), scene.stack.gateway(0)] {
        service.restart().await.unwrap();
    }
    scene.publish(20).await;
    scene.follow_at(0, 1).await;
    for follower in &scene.followers {
        follower.reached(40, PATIENCE).await.unwrap();
    }
    scene.assert_whole().await;
    let logins = "SELECT string_agg(DISTINCT usename, ' ' ORDER BY usename) FROM pg_stat_activity
        WHERE datname = 'carillon' AND pid <> pg_backend_pid()";
    assert_eq!(sql(&scene.stack, logins).await, "app_gateway app_publisher", "nothing goes past the poolers");
}

/// Makes a login for this service, and a pooler before it.
async fn as_the_handbook_says(stack: &Stack, name: &str, service: &Service) -> Pooler {
    let login = format!("app_{name}");
    sql(stack, &format!("CREATE ROLE {login} LOGIN; GRANT carillon_{name} TO {login}")).await;
    sql(stack, &lines_for_the_login(name)).await;
    let pooler = Pooler::before(stack, &login, &lines_of_the_pooler()).await;
    pooler.in_front_of(service).await;
    readiness_becomes(service, "ready", None).await;
    pooler
}

/// The SQL under "Behind a pooler", for the login of one service.
fn lines_for_the_login(service: &str) -> String {
    let (_, section) = OPERATIONS.split_once("**Behind a pooler.**").unwrap();
    let sql = section.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(sql.matches("ALTER ROLE app_publisher SET ").count(), 8, "{sql}");
    sql.replace("publisher", service)
}

/// The settings of PgBouncer that stand behind it.
fn lines_of_the_pooler() -> String {
    let (_, said) = OPERATIONS.split_once("and the pooler has `").unwrap();
    let settings: Vec<&str> = said.split('.').next().unwrap().split('`').step_by(2).collect();
    assert_eq!(settings.len(), 2, "{settings:?}");
    settings.join("\n")
}
