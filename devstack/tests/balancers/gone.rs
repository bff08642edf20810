//! Does a request behind a balancer end when whoever sent it is gone, as it does without one?

use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::faults::{Scene, TENANT, alone};
use crate::unanswered::balancers;

/// Well below the time that a poll waits.
const SOON: Duration = Duration::from_secs(8);

/// Else a person whose page is closed is seen as there, and counted, for as long as the poll waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_ends_at_its_gateway_when_the_page_is_closed_that_waits_for_it() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, lb: true, ..StackConfig::default() }).await;
    let (_running, balancers) = balancers(&scene).await;
    let gateway = scene.stack.gateway(0);
    let has = async |connections: f64, what: &str| {
        let counted =
            || async { (gateway.metric("carillon_connections").await? == connections).then_some(()) };
        wait::until(what.to_owned(), SOON, counted).await.unwrap();
    };
    for (name, url) in &balancers {
        let mut page = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        let token = scene.token(TENANT, "anna");
        let poll = format!("GET /v1/poll?wait=40&token={token} HTTP/1.1\r\nHost: a\r\n\r\n");
        page.write_all(poll.as_bytes()).await.unwrap();
        has(1.0, &format!("{name}: the poll")).await;
        drop(page);
        has(0.0, &format!("{name}: its end")).await;
    }
}
