use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::find;

fn config(folder: &Path, password: Option<&str>) -> PostgresConfig {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let bin = find::servers().unwrap().postgres_bin;
    PostgresConfig { password: password.map(Into::into), ..PostgresConfig::throw_away(bin, folder) }
}

/// What psql prints for a statement.
fn query(config: &PostgresConfig, url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new(config.bin.join("psql")).args([url, "-Atqc", sql]).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[tokio::test]
async fn a_throw_away_postgres_keeps_what_it_committed_through_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), None);
    let postgres = Postgres::start(config.clone()).await.unwrap();
    let url = Postgres::url(postgres.port(), None);
    assert!(postgres.is_fresh());
    assert_eq!(query(&config, &url, "show search_path").unwrap(), "carillon, public");
    query(&config, &url, "create table kept(x int); insert into kept values (7)").unwrap();
    postgres.process().kill().unwrap();
    assert!(query(&config, &url, "select 1").is_err());
    postgres.restart().await.unwrap();
    assert_eq!(query(&config, &url, "select x from kept").unwrap(), "7");
    let identity = postgres.process().identity().unwrap();
    drop(postgres);
    assert!(!identity.is_alive());
}

#[tokio::test]
async fn a_lasting_postgres_asks_for_its_password_and_starts_again_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), Some("a-secret"));
    let postgres = Postgres::start(config.clone()).await.unwrap();
    let url = Postgres::url(postgres.port(), Some("a-secret"));
    query(&config, &url, "create table kept(x int)").unwrap();
    let refused = query(&config, &Postgres::url(postgres.port(), Some("wrong")), "select 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    postgres.process().terminate().await.unwrap();
    drop(postgres);
    let again = Postgres::start(config.clone()).await.unwrap();
    assert!(!again.is_fresh());
    assert_eq!(
        query(&config, &Postgres::url(again.port(), Some("a-secret")), "select count(*) from kept").unwrap(),
        "0"
    );
}
