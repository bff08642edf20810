//! Can publishers that take no events say why, behind a balancer?
//!
//! They are not ready then, all of them, and yet nobody else can tell what is wrong.

use carillon_devstack::stack::StackConfig;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::faults::probe::{client, readiness_becomes, sql};
use crate::faults::{Scene, TENANT, alone};
use crate::unanswered::balancers;

/// Above the time in which each balancer has noticed that nobody is ready, some 2 s.
const WINDOW: Duration = Duration::from_secs(4);
/// What nobody but a balancer says.
const BALANCERS_OWN: &str = "answers now";

#[tokio::test(flavor = "multi_thread")]
async fn what_publishers_say_about_the_database_comes_through_every_balancer() {
    let _alone = alone().await;
    let config = StackConfig { gateways: 1, publishers: 2, lb: true, ..StackConfig::default() };
    let scene = Scene::start(config).await;
    let (_running, balancers) = balancers(&scene).await;
    for balancer in &balancers {
        assert_eq!(publish(&scene, balancer).await.0, StatusCode::CREATED, "{balancer:?}");
    }

    sql(&scene.stack, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    sql(&scene.stack, "SELECT pg_reload_conf()").await;
    everybody_says(&scene, &balancers, "database_read_only").await;
    // One of them is gone, too; the other goes on saying it.
    scene.stack.publisher(0).kill().unwrap();
    everybody_says(&scene, &balancers, "database_read_only").await;
    scene.stack.publisher(0).process().restart().unwrap();

    scene.stack.postgres().process().terminate().await.unwrap();
    everybody_says(&scene, &balancers, "unavailable").await;

    for publisher in scene.stack.publishers() {
        publisher.kill().unwrap();
    }
    for balancer in &balancers {
        let (status, problem) = publish(&scene, balancer).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"unavailable".into()));
        assert!(detail.contains(BALANCERS_OWN), "{balancer:?}: {problem}");
    }
}

/// Before the balancers have noticed that no publisher is ready, while they do, and after.
async fn everybody_says(scene: &Scene, balancers: &[(String, String)], code: &str) {
    let alive = scene.stack.publishers().iter().filter(|publisher| publisher.process().is_running());
    for publisher in alive {
        let reason = if code == "unavailable" { "database" } else { code };
        readiness_becomes(publisher, "unready", Some(reason)).await;
    }
    let until = Instant::now() + WINDOW;
    while Instant::now() < until {
        for balancer in balancers {
            let (status, problem) = publish(scene, balancer).await;
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert_eq!(
                (status.as_u16(), problem["code"].as_str()),
                (503, Some(code)),
                "{balancer:?}: {problem}"
            );
            assert!(!detail.contains(BALANCERS_OWN), "{balancer:?}: {problem}");
            for path in ["/", "/docs", "/openapi.json"] {
                let page = client().get(format!("{}{path}", balancer.1)).send().await.unwrap();
                assert_eq!(page.status(), 200, "{balancer:?} {path}");
            }
        }
    }
}

async fn publish(scene: &Scene, (_, url): &(String, String)) -> (StatusCode, Value) {
    let event = serde_json::json!({ "tenant": TENANT, "type": "order.paid", "tenant_wide": true });
    let request = client().post(format!("{url}/v1/events")).bearer_auth(scene.stack.api_key()).json(&event);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}
