//! Somebody set another isolation for the whole database. Under it a publisher would be refused for what the other one did.

use carillon_devstack::client::load::Load;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::{Value, json};

use crate::faults::probe::{self, sql};
use crate::faults::{PATIENCE, Scene, plan};

const EVENTS: u64 = 400;
/// Whose log is not the one that is judged.
const BELL: &str = "studio-bell";
/// Of each publisher.
const NOTICES: u64 = 10;

/// A write that stays open until another session waits for it.
const FIRST: &str = "DO $$ BEGIN
    UPDATE clash SET n = 1;
    PERFORM pg_advisory_xact_lock(7);
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE transactionid = pg_current_xact_id()::xid AND NOT granted) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$";
const IS_OPEN: &str =
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND classid = 0 AND granted";

#[tokio::test(flavor = "multi_thread")]
async fn i1_two_publishers_store_everything_whatever_isolation_the_database_has() {
    let config = StackConfig { gateways: 1, publishers: 2, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 2).await;
    sql(&scene.stack, "CREATE TABLE clash (n int); INSERT INTO clash VALUES (0)").await;
    for (round, isolation) in (1..).zip(["repeatable read", "serializable"]) {
        let set = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', \
             current_database(), '{isolation}'); END $$"
        );
        sql(&scene.stack, &set).await;
        second_of_two_writes_is_refused(&scene.stack).await;
        // Sessions that were there before keep what they had.
        for service in scene.stack.publishers().iter().chain(scene.stack.gateways()) {
            service.restart().await.unwrap();
        }
        scene.all_connected().await;
        let load = Load::start(&scene.publishers(), &scene.ledger, &plan(None).total(EVENTS));
        let (report, (), ()) = tokio::join!(load.finished(), notify(&scene, 0), notify(&scene, 1));
        // Nothing was refused at first and stored at a second attempt.
        assert_eq!((report.acknowledged, report.retried, report.abandoned), (EVENTS, 0, 0), "{report:?}");
        assert_eq!(unread(&scene).await, 2 * NOTICES * round);
    }
    scene.assert_whole().await;
}

/// The twin: in a session that says nothing of its isolation the setting has this effect.
async fn second_of_two_writes_is_refused(stack: &Stack) {
    let second = async {
        let is_open = || async { (sql(stack, IS_OPEN).await == "1").then_some(()) };
        wait::until("the first write", PATIENCE, is_open).await.unwrap();
        stack.sql("UPDATE clash SET n = 2").await
    };
    let (first, second) = tokio::join!(stack.sql(FIRST), second);
    first.unwrap();
    let refused = second.unwrap_err().to_string();
    assert!(refused.contains("could not serialize access"), "{refused}");
}

/// Notices for one person, through one of the publishers: an event, and a row of an inbox that all of them write.
async fn notify(scene: &Scene, publisher: usize) {
    let url = format!("{}/v1/notices", scene.stack.publisher(publisher).url());
    let notice = json!({"tenant": BELL, "title": "Shift moved", "audience": {"users": ["anna"]}});
    for _ in 0..NOTICES {
        let request = probe::client().post(&url).bearer_auth(scene.stack.api_key()).json(&notice);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }
}

/// How many notices this person has.
async fn unread(scene: &Scene) -> u64 {
    let url = format!("{}/v1/inbox/summary", scene.stack.publisher(0).url());
    let answer = probe::client().get(url).bearer_auth(scene.token(BELL, "anna")).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["unread"].as_u64().unwrap()
}
