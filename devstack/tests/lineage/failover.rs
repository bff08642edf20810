//! A standby is promoted. What it had not got is lost; what it had goes on, in a new epoch.

use crate::faults::PATIENCE;
use crate::faults::pair::Pair;
use crate::faults::probe::{metric, metric_reaches};
use carillon_devstack::client::frame::Cursor;
use carillon_devstack::wait;

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_promoted_standby_that_had_everything_resets_nobody() {
    let mut pair = Pair::start().await;
    pair.scene.follow_at(0, 2).await;
    pair.scene.publish(20).await;
    pair.scene.everything_arrives().await;
    let old = pair.scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    pair.standby_has(20).await;
    pair.fail_over().await;
    pair.scene.publish(10).await;
    for follower in &pair.scene.followers {
        let renewed = |cursor: &Cursor| cursor.seq == 30 && cursor.epoch.as_deref() != Some(&old);
        let status = follower.until("go on", PATIENCE, |status| status.cursor.as_ref().is_some_and(renewed));
        assert_eq!(status.await.unwrap().resets, 0);
    }
    pair.scene.assert_whole().await;
    assert_eq!(pair.epochs().await, "0 20", "the epoch changed once");
    assert_eq!(pair.begins(&Cursor::new(15, &old)).await, ("replay".into(), 15));
    let new = pair.scene.followers[0].status().cursor.unwrap();
    assert_eq!(pair.begins(&new).await, ("live".into(), 30));
    assert_eq!(pair.begins(&Cursor::new(30, &old)).await.0, "reset", "nothing of it is in the new epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_a_promoted_standby_that_was_behind_resets_exactly_who_saw_the_lost_events() {
    let mut pair = Pair::start().await;
    pair.scene.follow_at(0, 2).await;
    pair.scene.publish(20).await;
    pair.scene.everything_arrives().await;
    let old = pair.scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    pair.standby_has(20).await;
    // It falls behind: it stops taking what the primary sends.
    pair.ask("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'").await;
    pair.ask("SELECT pg_reload_conf()").await;
    let deaf = wait::until("the standby to be alone", PATIENCE, || async {
        (pair.ask("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'").await == "0")
            .then_some(())
    });
    deaf.await.unwrap();
    pair.scene.publish(10).await;
    pair.scene.everything_arrives().await;
    pair.fail_over().await;
    for follower in &pair.scene.followers {
        let status = follower.until("be reset", PATIENCE, |status| status.resets > 0).await.unwrap();
        assert_eq!(status.cursor.unwrap().seq, 20);
    }
    assert_eq!(pair.epochs().await, "0 20");
    assert_eq!(pair.begins(&Cursor::new(20, &old)).await, ("live".into(), 20));
    assert_eq!(pair.begins(&Cursor::new(21, &old)).await, ("reset".into(), 20));
    pair.scene.publish(5).await;
    for follower in &pair.scene.followers {
        assert_eq!(follower.reached(25, PATIENCE).await.unwrap().resets, 1);
    }
    assert_eq!(pair.epochs().await, "0 20", "once");
}

/// The watch over the heads stays with a standby that falls behind (a demoted primary, a pooler that spreads reads), and
/// other questions of the gateway go to the primary: a shorter log is read, and an epoch could be ended.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_stale_read_ends_no_epoch_and_resets_nobody() {
    let mut pair = Pair::start().await;
    pair.scene.follow_at(0, 2).await;
    pair.scene.publish(20).await;
    pair.scene.everything_arrives().await;
    pair.standby_has(20).await;
    let gateway = pair.scene.stack.gateway(0);
    let compares = async || {
        let before = metric(gateway, "carillon_head_queries_total").await;
        metric_reaches(gateway, "carillon_head_queries_total", before + 3.0).await;
    };
    pair.lead_gateway_to_standby().await;
    compares().await;
    pair.address_returns(gateway).await;
    pair.ask("SELECT pg_wal_replay_pause()").await;
    pair.scene.publish(10).await;
    pair.scene.everything_arrives().await;
    let old = pair.scene.followers[0].status().cursor.unwrap();
    compares().await;
    pair.scene.publish(5).await;
    for follower in &pair.scene.followers {
        let status = follower.reached(35, PATIENCE).await.unwrap();
        assert_eq!((status.resets, status.cursor.unwrap().epoch), (0, old.epoch.clone()));
    }
    pair.ask("SELECT pg_wal_replay_resume()").await;
    pair.standby_has(35).await;
    assert_eq!(pair.ask("SELECT count(*) FROM carillon.epochs").await, "0");
    assert_eq!(pair.begins(&Cursor::new(35, old.epoch.unwrap())).await, ("live".into(), 35));
    pair.scene.assert_whole().await;
}
