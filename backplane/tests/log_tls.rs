//! Does `DATABASE_URL` mean with TLS what it means to every Postgres client?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

use carillon_backplane::log::{Log, LogConfig, Role, migrate};
use carillon_devstack::authority::Authority;
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn sslmode_and_sslrootcert_decide_who_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let servers = find::servers().expect("the servers are installed (carillon install)");
    let postgres =
        Postgres::start(PostgresConfig::throw_away(servers.postgres_bin, folder.path())).await.unwrap();
    let plain = Postgres::url(postgres.port(), None);
    migrate(&format!("{plain}?sslmode=prefer")).await.unwrap();
    let required =
        Log::connect(config(&format!("{plain}?sslmode=require"))).unwrap().ping().await.unwrap_err();
    assert!(required.to_string().contains("TLS"), "a server without it: {required}");

    // The certificate is for localhost alone, and the URLs also name 127.0.0.1.
    let ours = Authority::new(folder.path(), "ours").unwrap();
    let strangers = Authority::new(folder.path(), "strangers").unwrap();
    let server = ours.sign(postgres.socket_folder(), "DNS:localhost").unwrap();
    let (superuser, connection) = tokio_postgres::connect(&plain, NoTls).await.unwrap();
    tokio::spawn(connection);
    for order in [
        format!("ALTER SYSTEM SET ssl_cert_file = '{}'", server.certificate.display()),
        format!("ALTER SYSTEM SET ssl_key_file = '{}'", server.key.display()),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        superuser.batch_execute(&order).await.unwrap();
    }
    let by_name = plain.replace("127.0.0.1", "localhost");
    let since = Instant::now();
    while Log::connect(config(&format!("{plain}?sslmode=require"))).unwrap().ping().await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(20), "postgres takes the certificate");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let (ours, strangers) = (ours.certificate(), strangers.certificate());
    let (ours, strangers) = (ours.display(), strangers.display());
    for (url, refused) in [
        (format!("{plain}?sslmode=disable"), None),
        (plain.clone(), None),
        (format!("{plain}?sslmode=require"), None),
        (format!("{plain}?sslmode=require&sslrootcert={ours}"), None),
        (format!("{plain}?sslmode=require&sslrootcert={strangers}"), Some("invalid peer certificate")),
        (format!("{plain}?sslmode=verify-ca&sslrootcert={ours}"), None),
        (format!("{plain}?sslmode=verify-ca&sslrootcert={strangers}"), Some("invalid peer certificate")),
        (format!("{plain}?sslmode=verify-ca"), Some("UnknownIssuer")),
        (format!("{by_name}?sslmode=verify-full&sslrootcert={ours}"), None),
        (format!("{plain}?sslmode=verify-full&sslrootcert={ours}"), Some("not valid for name")),
        (format!("{by_name}?sslmode=verify-full&sslrootcert=system"), Some("UnknownIssuer")),
    ] {
        let log = Log::connect(config(&url)).unwrap();
        let answer = log.ping().await.map_err(|error| error.to_string());
        match refused {
            None => assert_eq!(answer, Ok(()), "{url}"),
            Some(why) => {
                let error = answer.expect_err(&url);
                assert!(error.contains(why), "{url}: {error}");
            }
        }
        let encrypted = connections(&superuser, "AND ssl").await;
        let wanted = refused.is_none() && !url.contains("disable");
        assert_eq!(encrypted > 0, wanted, "{url}");
        drop(log);
        gone(&superuser).await;
    }
    for (url, why) in [
        (format!("{plain}?sslmode=sometimes"), "sslmode"),
        (format!("{plain}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"), "/nowhere/ca.pem"),
    ] {
        let error = Log::connect(config(&url)).err().expect(&url).to_string();
        assert!(error.starts_with("database configuration: ") && error.contains(why), "{url}: {error}");
    }
}

fn config(url: &str) -> LogConfig {
    LogConfig { url: url.to_owned(), role: Role::Publisher }
}

/// Waits until the last log's connection has ended.
async fn gone(superuser: &Client) {
    let since = Instant::now();
    while connections(superuser, "").await > 0 {
        assert!(since.elapsed() < Duration::from_secs(20), "a dropped pool ends its connections");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many connections of ours Postgres has, of which `more` holds.
async fn connections(superuser: &Client, more: &str) -> i64 {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
         WHERE application_name = 'carillon_publisher' {more}"
    );
    superuser.query_one(&query, &[]).await.unwrap().get(0)
}
