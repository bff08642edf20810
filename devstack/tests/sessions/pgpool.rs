//! A real pgpool between the services and Postgres, with the lines of the handbook.

use carillon_devstack::client::post::Post;
use carillon_devstack::find;
use carillon_devstack::pgpool::{Pgpool, PgpoolConfig};
use carillon_devstack::postgres::{Postgres, SUPERUSER};
use carillon_devstack::stack::StackConfig;
use serde_json::json;

use crate::faults::pair::open_folder;
use crate::faults::probe::{readiness_becomes, sql};
use crate::faults::{PATIENCE, Scene};

const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");

#[tokio::test(flavor = "multi_thread")]
async fn with_the_lines_of_the_handbook_everything_works_behind_pgpool() {
    let mut scene = Scene::start(StackConfig { gateways: 1, chaos: true, ..StackConfig::default() }).await;
    let folder = open_folder();
    let pgpool = Pgpool::start(PgpoolConfig {
        program: find::pgpool().unwrap(),
        folder: folder.path().join("pgpool"),
        postgres: scene.stack.postgres().port(),
        login: SUPERUSER.into(),
        settings: lines_of_pgpool(),
    });
    let pgpool = pgpool.await.unwrap();
    let mut migrate = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap());
    let migrate = migrate.arg("migrate").env("DATABASE_URL", Postgres::url(pgpool.addr().port(), None));
    let said = migrate.output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    // Both share its sessions, and each needs other options.
    for service in [scene.stack.publisher(0), scene.stack.gateway(0)] {
        service.links().unwrap().postgres.lead_to(pgpool.addr()).await.unwrap();
        service.process().restart().unwrap();
        readiness_becomes(service, "ready", None).await;
    }
    scene.follow_at(0, 2).await;
    scene.publish(20).await;
    // Row level security binds the sessions: each tenant's events are stored and read as its own.
    for tenant in ["second-tenant", "third-tenant"] {
        let post = Post::new(tenant, "order.paid", json!({})).tenant_wide();
        assert_eq!(scene.publishers()[0].publish(&post, None).await.unwrap().seq, 1);
    }
    // It hands the same sessions to the next client, cleaned.
    for service in [scene.stack.publisher(0), scene.stack.gateway(0)] {
        service.restart().await.unwrap();
    }
    scene.publish(20).await;
    scene.follow_at(0, 1).await;
    for follower in &scene.followers {
        follower.reached(40, PATIENCE).await.unwrap();
    }
    scene.assert_whole().await;

    // The twin: nothing went past it.
    pgpool.process().kill().unwrap();
    drop(pgpool);
    readiness_becomes(scene.stack.publisher(0), "unready", Some("database")).await;
    assert_eq!(sql(&scene.stack, "SELECT count(*) FROM carillon.events").await, "42");
}

/// The settings under "pgpool-II".
fn lines_of_pgpool() -> String {
    let (_, section) = OPERATIONS.split_once("**pgpool-II**").unwrap();
    let lines = section.split_once("```ini\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    lines.to_owned()
}
