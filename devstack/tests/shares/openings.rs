//! All tenants of a node come back at once: does each of them come in?

use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use futures_util::future::join_all;

use crate::faults::probe::{metric, sql};
use crate::faults::{PATIENCE, Scene, alone};

const TENANTS: usize = 500;

/// Opening a tenant takes the database 20 ms: all of them ten seconds, one after the other.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON carillon.tenants FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_tenants_that_come_at_once_wait_for_their_turn_and_all_come_in() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    sql(&scene.stack, SLOW).await;
    let url = scene.stack.gateway(0).ws_url();
    let comes = join_all((0..TENANTS).map(|n| {
        let mut wanted = Connect::new(url.clone(), scene.token(&format!("tenant-{n}"), "anna"));
        wanted.patience = PATIENCE;
        async move { Socket::open(&wanted).await.map_err(|refused| refused.to_string()) }
    }));
    let came = comes.await;
    let refused: Vec<&String> = came.iter().filter_map(|each| each.as_ref().err()).collect();
    assert!(refused.is_empty(), "{} of {TENANTS} were refused: {}", refused.len(), refused[0]);
    let gateway = scene.stack.gateway(0);
    assert_eq!(metric(gateway, "carillon_openings_refused_total").await, 0.0);
    assert_eq!(metric(gateway, "carillon_streams").await, TENANTS as f64);
}
