//! All tenants of a node come back at once: does each of them come in?

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use carillon_devstack::client::socket::{Connect, Socket, SocketError};
use carillon_devstack::stack::StackConfig;
use futures_util::future::join_all;

use crate::faults::probe::{metric, sql};
use crate::faults::{PATIENCE, Scene, alone};

/// More than are opened within the nine seconds for which a client waits.
const TENANTS: usize = 3_000;
/// Clients come at this pace: the machine that is looked at makes the clients, too.
const A_SECOND: usize = 1_500;

/// Opening a tenant takes the database 15 ms: four at a time, all of them more than eleven seconds.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_sleep(0.015); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON carillon.tenants FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_tenants_that_come_at_once_wait_for_their_turn_and_all_come_in() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    sql(&scene.stack, SLOW).await;
    let url = scene.stack.gateway(0).ws_url();
    let refused: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let began = Instant::now();
    let come = async |n: usize| {
        let mut wanted = Connect::new(url.clone(), scene.token(&format!("tenant-{n}"), "anna"));
        wanted.patience = PATIENCE;
        tokio::time::sleep(Duration::from_secs(1) * n as u32 / A_SECOND as u32).await;
        loop {
            // Whoever is told to come back does, when they are told to.
            match Socket::open(&wanted).await {
                Ok((socket, _)) => return (socket, began.elapsed()),
                Err(SocketError::Refused { code, retry_after: Some(wait), .. }) => {
                    *refused.lock().unwrap().entry(code).or_default() += 1;
                    tokio::time::sleep(wait).await;
                }
                Err(other) => panic!("tenant {n}: {other}"),
            }
        }
    };
    let came = join_all((0..TENANTS).map(come)).await;
    let last = came.iter().map(|(_, at)| *at).max().unwrap();
    let refused = refused.into_inner().unwrap();
    println!("{TENANTS} tenants came in within {last:?}; told to come back: {refused:?}");
    assert!(refused.keys().all(|code| code == "log_busy"), "{refused:?}");
    // In order: those of the first thousand before those of the last.
    let mean = |of: &[(Socket, Duration)]| of.iter().map(|(_, at)| *at).sum::<Duration>() / of.len() as u32;
    assert!(mean(&came[..1_000]) < mean(&came[2_000..]));
    let gateway = scene.stack.gateway(0);
    assert_eq!(
        metric(gateway, "carillon_openings_refused_total").await,
        refused.values().sum::<usize>() as f64
    );
    assert_eq!(metric(gateway, "carillon_streams").await, TENANTS as f64);
}
