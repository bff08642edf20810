//! All tenants of a node come back at once: does each of them come in, and what is one told who has no turn in time?

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use carillon_devstack::client::socket::{Connect, Socket, SocketError, TokenPlace};
use carillon_devstack::stack::{Stack, StackConfig};
use futures_util::future::join_all;

use crate::faults::probe::{metric, sample, sql};
use crate::faults::{PATIENCE, Scene, TENANT, alone};

/// More than are opened within the nine seconds for which a client waits.
const TENANTS: usize = 3_000;
/// Clients come at this pace: the machine that is looked at makes the clients, too.
const A_SECOND: usize = 1_500;

/// More than have a turn within nine seconds when each takes one, four at a time.
const TOO_MANY: usize = 120;

/// Makes the database take so long to open a new tenant.
async fn slow_down(stack: &Stack, seconds: f64) {
    let slow = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON carillon.tenants FOR EACH ROW EXECUTE FUNCTION slow()"
    );
    sql(stack, &slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_tenants_that_come_at_once_wait_for_their_turn_and_all_come_in() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    // Four at a time: all of them take more than eleven seconds.
    slow_down(&scene.stack, 0.015).await;
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

/// The last of them have no turn: each hears `log_busy`, over HTTP with when to come back, or with its close code, and is counted
/// by it. Whoever's tenant is open comes in.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_has_no_turn_to_be_opened_is_told_so_by_name_and_open_ones_notice_nothing() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let gateway = scene.stack.gateway(0);
    let come = async |tenant: &str, place| {
        let mut wanted = Connect::new(gateway.ws_url(), scene.token(tenant, "anna")).place(place);
        wanted.patience = PATIENCE;
        Socket::open(&wanted).await
    };
    let _open = come(TENANT, TokenPlace::Header).await.unwrap();
    slow_down(&scene.stack, 1.0).await;
    let (over_http, over_sockets) = (Mutex::new(0_usize), Mutex::new(0_usize));
    let newcomer = async |n: usize| {
        let place = if n.is_multiple_of(2) { TokenPlace::Header } else { TokenPlace::FirstFrame };
        match come(&format!("tenant-{n}"), place).await {
            Ok((socket, _)) => Some(socket),
            Err(SocketError::Refused { status, code, problem, retry_after, .. }) => {
                assert_eq!((status, code.as_str()), (503, "log_busy"), "{problem}");
                assert_eq!(retry_after, Some(Duration::from_secs(1)), "{problem}");
                *over_http.lock().unwrap() += 1;
                None
            }
            Err(SocketError::Closed { code, reason }) => {
                assert_eq!(code, 4503, "{reason}");
                *over_sockets.lock().unwrap() += 1;
                None
            }
            Err(other) => panic!("tenant {n}: {other}"),
        }
    };
    let newcomers = join_all((0..TOO_MANY).map(newcomer));
    let at_home = async {
        for _ in 0..20 {
            let (socket, _) = come(TENANT, TokenPlace::Header).await.unwrap();
            socket.close().await;
        }
    };
    let (came, ()) = tokio::join!(newcomers, at_home);
    let (over_http, over_sockets) = (over_http.into_inner().unwrap(), over_sockets.into_inner().unwrap());
    println!("{TOO_MANY} tenants: refused {over_http} over HTTP, {over_sockets} by a close code");
    assert!(over_http > 0 && over_sockets > 0, "{over_http} {over_sockets}");
    assert!(came.iter().flatten().count() > 0, "those who came first come in");
    let refused = |name: &'static str| sample(gateway, name);
    assert_eq!(metric(gateway, "carillon_openings_refused_total").await, (over_http + over_sockets) as f64);
    assert_eq!(refused("carillon_handshakes_rejected_total{code=\"log_busy\"}").await, over_http as f64);
    assert_eq!(refused("carillon_first_frames_refused_total{code=\"log_busy\"}").await, over_sockets as f64);
}
