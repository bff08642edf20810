//! Does a ticket let one in, once, and is a person's number of them bounded?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::LogError;
use carillon_protocol::UserId;
use database::{Database, tenant};
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_bring_a_ticket_at_the_same_time_one_gets_in() {
    let database = Database::start().await;
    let mila = UserId::new("mila").unwrap();
    for round in 0..50u8 {
        let hash = [round; 32];
        let whom = (&tenant("one"), &mila);
        assert!(database.publisher.issue_ticket(&hash, whom, r#"{"a": 1}"#, LASTS, 16).await.unwrap());
        let bring = (0..4).map(|_| database.gateway.redeem_ticket(&hash));
        let taken = futures_util::future::join_all(bring).await;
        let got: Vec<String> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(got, [r#"{"a": 1}"#], "round {round}");
    }
    assert_eq!(database.gateway.redeem_ticket(&[0; 32]).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_end_are_bounded_by_person_and_forgotten_and_no_role_reads_them() {
    let database = Database::start().await;
    let log = &database.publisher;
    let (one, mila, ana) = (tenant("one"), UserId::new("mila").unwrap(), UserId::new("ana").unwrap());
    // Also when they are asked for at the same time.
    let hashes: Vec<[u8; 32]> = (0..20u8).map(|n| [n; 32]).collect();
    let asked = hashes.iter().map(|hash| log.issue_ticket(hash, (&one, &mila), "{}", LASTS, 16));
    let issued = futures_util::future::join_all(asked).await;
    assert_eq!(issued.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 16);
    assert!(log.issue_ticket(&[99; 32], (&one, &ana), "{}", LASTS, 16).await.unwrap(), "another person");
    database
        .sql("UPDATE carillon.tickets SET expires_at = now() - interval '1 second' WHERE user_id = 'mila'")
        .await;
    for hash in &hashes {
        assert_eq!(database.gateway.redeem_ticket(hash).await.unwrap(), None, "its time is over");
    }
    assert!(log.issue_ticket(&[50; 32], (&one, &mila), "{}", LASTS, 16).await.unwrap(), "those do not count");
    assert_eq!(log.forget_tickets(10).await.unwrap(), 10, "in slices");
    assert_eq!((log.forget_tickets(10).await.unwrap(), log.forget_tickets(10).await.unwrap()), (6, 0));
    assert!(database.gateway.redeem_ticket(&[50; 32]).await.unwrap().is_some(), "and no other");
    for role in ["carillon_gateway", "carillon_publisher"] {
        database.sql(&format!("SET ROLE {role}")).await;
        let seen = database.count("SELECT count(*) FROM information_schema.role_table_grants WHERE table_name = 'tickets' AND grantee = current_user").await;
        assert_eq!(seen, 0, "{role} may read tickets");
        database.sql("RESET ROLE").await;
    }
    let refused = database.gateway.issue_ticket(&[60; 32], (&one, &mila), "{}", LASTS, 16).await;
    assert!(matches!(refused, Err(LogError::Database(_))), "{refused:?}");
    let refused = log.redeem_ticket(&[60; 32]).await;
    assert!(matches!(refused, Err(LogError::Database(_))), "{refused:?}");
}
