//! I1: is every acknowledged event committed, whoever is killed at whatever moment?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::client::ledger::FaultKind;
use carillon_devstack::stack::StackConfig;
use faults::probe::{get, log_as_witness, sql};
use faults::{Scene, TENANT, alone, dice, stop};

#[tokio::test(flavor = "multi_thread")]
async fn i1_durable_what_was_acknowledged_is_in_the_log_after_kills_of_publishers_and_postgres() {
    let _alone = alone().await;
    // Not ephemeral: with fsync, as in production.
    let config = StackConfig { publishers: 2, ephemeral: false, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_anywhere(2).await;
    let load = scene.load(250.0);
    let mut dice = dice();
    for round in 0..8 {
        scene.acknowledged_more(u64::from(dice.between(15, 90))).await;
        if round % 4 == 3 {
            scene.stack.postgres().process().kill().unwrap();
            scene.stack.postgres().restart().await.unwrap();
        } else {
            scene.stack.publisher(round % 2).restart().await.unwrap();
        }
    }
    scene.acknowledged_more(50).await;
    let report = stop(load).await;
    assert!(report.retried > 0, "the kills were felt: {report:?}");

    let log = log_as_witness(&scene.stack).await;
    let verdict = scene.book().verify(std::slice::from_ref(&log));
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.expected as u64, report.acknowledged, "all of them were looked for");
    for event in log.events().step_by(25) {
        let found = get(&scene.stack, &format!("/v1/events/{}?tenant={TENANT}", event.id)).await;
        assert_eq!(found["seq"], event.seq, "each is found by its id, too");
    }
    scene.assert_whole().await;
}

/// The twin: a database that loses a committed event is found out by the same check.
#[tokio::test(flavor = "multi_thread")]
async fn i1_durable_an_event_missing_from_the_log_is_found_out() {
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    scene.publish(20).await;
    sql(&scene.stack, "DELETE FROM carillon.events WHERE seq = 7").await;
    let log = log_as_witness(&scene.stack).await;
    let verdict = scene.book().verify(&[log]);
    let missing: Vec<_> = verdict.faults.iter().map(|fault| (fault.seq, &fault.kind)).collect();
    assert!(matches!(missing.as_slice(), [(7, FaultKind::Missing { .. })]), "{verdict}");
}
