//! All people of a tenant come back at once and ask for their inbox: are the others welcomed without theirs?

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use futures_util::future::join_all;

use crate::faults::probe::{metric, sample, sql};
use crate::faults::{PATIENCE, Scene, TENANT, alone};

/// The hostile tenant's people who come at a time, each with a name that is new.
const AT_A_TIME: usize = 40;
/// Welcomes of the innocent that are looked at.
const WELCOMES: usize = 20;

/// The first look at an inbox takes the database 200 ms, but not the innocent's: forty at once are not counted within the half second that
/// a welcome waits for a turn.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.tenant_id = 'hostile' THEN PERFORM pg_sleep(0.2); END IF; RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON carillon.inbox_state FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_people_all_come_back_takes_nobody_elses_inbox_from_their_welcome() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    sql(&scene.stack, SLOW).await;
    let gateway = scene.stack.gateway(0);
    // Whether the welcome has the inbox that was asked for.
    let is_told = async |tenant: &str, user: &str| {
        let mut wanted = Connect::new(format!("{}?inbox=1", gateway.ws_url()), scene.token(tenant, user));
        wanted.patience = PATIENCE;
        let mut socket = Socket::connect(&wanted).await.unwrap();
        let welcome = socket.next_of("welcome", PATIENCE).await.unwrap();
        socket.close().await;
        welcome.0["inbox"].is_object()
    };
    assert!(is_told(TENANT, "anna").await, "alone");
    let (over, names, without) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let hostile = join_all((0..AT_A_TIME).map(async |_| {
        while !over.load(Ordering::Relaxed) {
            let user = format!("user-{}", names.fetch_add(1, Ordering::Relaxed));
            if !is_told("hostile", &user).await {
                without.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    let innocent = async {
        let is_felt = || without.load(Ordering::Relaxed) > 0;
        wait::until_true("the hostile tenant having its share", PATIENCE, is_felt).await.unwrap();
        let mut told = 0;
        for _ in 0..WELCOMES {
            told += usize::from(is_told(TENANT, "anna").await);
        }
        over.store(true, Ordering::Relaxed);
        told
    };
    let (_, told) = tokio::join!(hostile, innocent);
    let without = without.load(Ordering::Relaxed);
    println!("welcomes with the inbox: {told} of {WELCOMES}; {without} of the hostile tenant without");
    assert_eq!(told, WELCOMES, "within its share nobody notices the others");
    // Counted by the bound that stood in the way, and nothing else kept an inbox from a welcome.
    assert_eq!(metric(gateway, "carillon_inboxes_left_out_total").await, without as f64);
    let of_tenants = sample(gateway, "carillon_inboxes_left_out_total{bound=\"group\"}").await;
    assert!(of_tenants > 0.0, "{of_tenants}");
}
