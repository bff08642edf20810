//! Does a session of the console stand for its API key, and end with it?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{ApiKey, LogError, Role, SessionFor};
use database::{Database, tenant};
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(60);

async fn key(database: &Database, id: &str) {
    let key = ApiKey {
        id: id.into(),
        hash: [1; 32],
        tenant: Some(tenant("acme")),
        publish: false,
        read: true,
        admin: false,
        relay: false,
        expires_at_secs: None,
    };
    database.log(Role::Owner).create_api_key(&key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stands_for_its_key_and_ends_with_it() {
    let database = Database::start().await;
    let log = &database.publisher;
    key(&database, "k1").await;
    assert!(log.begin_console_session(("s1", &[7; 32]), SessionFor::Key("k1"), LASTS).await.unwrap());
    let found = log.console_session("s1").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.hash, found.tenant), ("k1", [7; 32], Some(tenant("acme"))));
    assert!(found.read && !found.admin && found.expires_at_secs.is_some());
    assert!(!log.begin_console_session(("s2", &[7; 32]), SessionFor::Key("none"), LASTS).await.unwrap());
    log.end_console_session("s1").await.unwrap();
    assert_eq!(log.console_session("s1").await.unwrap(), None);
    assert!(log.begin_console_session(("s3", &[8; 32]), SessionFor::Key("k1"), LASTS).await.unwrap());
    database.log(Role::Owner).revoke_api_key("k1").await.unwrap();
    assert_eq!(log.console_session("s3").await.unwrap(), None, "its key has ended");
    assert!(!log.begin_console_session(("s4", &[8; 32]), SessionFor::Key("k1"), LASTS).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_begins_one_session_whoever_brings_it_at_the_same_time() {
    let database = Database::start().await;
    let log = &database.publisher;
    key(&database, "k1").await;
    for round in 0..20u8 {
        let code = [round; 32];
        assert!(log.issue_console_code(&code, "k1", LASTS).await.unwrap());
        let names: Vec<String> = (0..4).map(|n| format!("s{round}x{n}")).collect();
        let begin = names
            .iter()
            .map(|name| log.begin_console_session((name, &[7; 32]), SessionFor::Code(&code), LASTS));
        let begun = futures_util::future::join_all(begin).await;
        assert_eq!(begun.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1, "round {round}");
    }
    assert!(log.issue_console_code(&[99; 32], "k1", LASTS).await.unwrap());
    database.sql("UPDATE carillon.console_codes SET expires_at = now() - interval '1 second'").await;
    let late = log.begin_console_session(("late", &[7; 32]), SessionFor::Code(&[99; 32]), LASTS).await;
    assert!(!late.unwrap(), "its time is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_codes_of_a_key_are_bounded_and_no_role_reads_them() {
    let database = Database::start().await;
    let log = &database.publisher;
    key(&database, "k1").await;
    for n in 0..103u8 {
        let name = format!("s{n}");
        assert!(log.begin_console_session((&name, &[n; 32]), SessionFor::Key("k1"), LASTS).await.unwrap());
    }
    for n in 0..23u8 {
        assert!(log.issue_console_code(&[n; 32], "k1", LASTS).await.unwrap());
    }
    assert_eq!(database.count("SELECT count(*) FROM carillon.console_sessions").await, 100);
    assert_eq!(database.count("SELECT count(*) FROM carillon.console_codes").await, 20);
    assert!(log.console_session("s102").await.unwrap().is_some(), "the newest stays");
    assert_eq!(log.console_session("s0").await.unwrap(), None, "the oldest goes");
    for role in ["carillon_gateway", "carillon_publisher"] {
        let seen = format!(
            "SELECT count(*) FROM information_schema.role_table_grants WHERE table_name LIKE 'console_%' AND grantee = '{role}'"
        );
        assert_eq!(database.count(&seen).await, 0, "{role} may read them");
    }
    let refused = database.gateway.console_session("s102").await;
    assert!(matches!(refused, Err(LogError::Database(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_waits_for_nobody_who_takes_away_what_is_over() {
    let database = Database::start().await;
    let log = &database.publisher;
    key(&database, "k1").await;
    assert!(log.begin_console_session(("old", &[1; 32]), SessionFor::Key("k1"), LASTS).await.unwrap());
    assert!(log.issue_console_code(&[1; 32], "k1", LASTS).await.unwrap());
    for table in ["console_sessions", "console_codes"] {
        database.sql(&format!("UPDATE carillon.{table} SET expires_at = now() - interval '1 second'")).await;
    }
    let holder = database.superuser().await;
    let hold = "BEGIN; DELETE FROM carillon.console_sessions; DELETE FROM carillon.console_codes";
    holder.batch_execute(hold).await.unwrap();
    let begun = tokio::time::timeout(Duration::from_secs(20), async {
        assert!(log.issue_console_code(&[2; 32], "k1", LASTS).await.unwrap());
        log.begin_console_session(("new", &[2; 32]), SessionFor::Code(&[2; 32]), LASTS).await.unwrap()
    });
    assert!(begun.await.unwrap());
    holder.batch_execute("ROLLBACK").await.unwrap();
}
