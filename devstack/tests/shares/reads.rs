//! One user reads histories and replays as fast as it can: does another tenant's resume notice?

use std::time::{Duration, Instant};

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::faults::probe::{memory, sample, sample_reaches, sql};
use crate::faults::{PATIENCE, Scene, alone};
use crate::figures::{Figures, TRIES};

const HOSTILE: &str = "hostile";
const HOSTILE_EVENTS: u64 = 2_048;
const EVENTS: u64 = 20;
/// Resumes that are measured, without and with the hostile one. Each of a tenant of its own: nothing is in memory yet.
const RESUMES: usize = 25;

/// Each row of the hostile tenant takes the database 5 ms: a page more than a second. So reads of it are slow however
/// fast the machine is, and cost it nothing.
const SLOW: &str = "CREATE POLICY slow ON carillon.events AS RESTRICTIVE FOR SELECT TO carillon_gateway
    USING (tenant_id <> 'hostile' OR pg_sleep(0.005)::text IS NOT NULL)";

/// Reads of the hostile tenant that are under way.
const READING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

fn innocent(n: usize) -> String {
    format!("innocent-{n}")
}

async fn publish(scene: &Scene, posts: Vec<Post>) {
    for part in posts.chunks(100) {
        scene.publishers()[0].publish_many(part, None).await.unwrap();
    }
}

fn connect(scene: &Scene, tenant: &str, user: &str) -> Connect {
    let mut wanted = Connect::new(scene.stack.gateway(0).ws_url(), scene.token(tenant, user));
    wanted.patience = PATIENCE;
    wanted
}

/// How long a client that comes back waits for all it has missed. A refusal is a panic.
async fn resume(scene: &Scene, tenant: &str) -> Duration {
    let began = Instant::now();
    let wanted = connect(scene, tenant, "anna").since(Cursor { seq: 0, epoch: None });
    let (mut socket, _) = Socket::open(&wanted).await.unwrap();
    for seq in 1..=EVENTS {
        assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(seq));
    }
    let took = began.elapsed();
    socket.close().await;
    took
}

/// How long each of these tenants' clients waits.
async fn resumes(scene: &Scene, tenants: std::ops::Range<usize>) -> Figures {
    let (mut times, began) = (Vec::new(), Instant::now());
    for n in tenants {
        times.push(resume(scene, &innocent(n)).await);
    }
    Figures::new(times, Vec::new(), began.elapsed())
}

/// Keeps 32 histories of one connection under way.
async fn read_histories(wanted: Connect) {
    let (mut socket, _) = Socket::open(&wanted).await.unwrap();
    let ask: Value = json!({"type": "subscribe", "channel": "tenant", "history": 1_000, "id": "h"});
    for _ in 0..32 {
        socket.send_json(&ask).await.unwrap();
    }
    loop {
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        if frame.is("replayed") || frame.is("error") {
            socket.send_json(&ask).await.unwrap();
        }
    }
}

/// Reads everything after a cursor, again and again.
async fn replay(wanted: Connect) {
    loop {
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        while socket.next_of("event", PATIENCE).await.unwrap().seq() != Some(HOSTILE_EVENTS) {}
        socket.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_users_histories_and_replays_do_not_delay_another_tenants_resume() {
    let _alone = alone().await;
    let config = StackConfig { gateways: 1, ..StackConfig::default() }.gateway_var("CARILLON_RING_EVENTS", 8);
    let scene = Scene::start(config).await;
    let post = |tenant: &str, n: u64| Post::new(tenant, "appointment.moved", json!({ "n": n })).tenant_wide();
    publish(&scene, (0..HOSTILE_EVENTS).map(|n| post(HOSTILE, n)).collect()).await;
    let each = |n: usize| (0..EVENTS).map(move |event| post(&innocent(n), event));
    publish(&scene, (0..TRIES * 2 * RESUMES).flat_map(each).collect()).await;
    sql(&scene.stack, SLOW).await;

    let gateway = scene.stack.gateway(0);
    let waits = async |kind: &str| {
        sample(gateway, &format!(r#"carillon_log_read_waits_total{{kind="{kind}"}}"#)).await
    };
    let first = std::cell::Cell::new(0);
    let compare = async || {
        let begin = first.replace(first.get() + 2 * RESUMES);
        let without = resumes(&scene, begin..begin + RESUMES).await;
        let before = memory(gateway);
        let (histories, replays) = (waits("history").await, waits("resume").await);
        let mut hostile = JoinSet::new();
        for _ in 0..10 {
            hostile.spawn(read_histories(connect(&scene, HOSTILE, "eve")));
        }
        for page in 0..8 {
            let cursor = Cursor { seq: page * 256, epoch: None };
            hostile.spawn(replay(connect(&scene, HOSTILE, "eve").since(cursor)));
        }
        sample_reaches(gateway, r#"carillon_log_read_waits_total{kind="history"}"#, histories + 9.0).await;
        sample_reaches(gateway, r#"carillon_log_read_waits_total{kind="resume"}"#, replays + 5.0).await;
        let with = resumes(&scene, begin + RESUMES..begin + 2 * RESUMES).await;
        let after = memory(gateway);
        println!("gateway: {} MiB alone, {} MiB with", before >> 20, after >> 20);
        assert_eq!(hostile.len(), 18, "the hostile one reads all the while");
        if let Some(ended) = hostile.try_join_next() {
            ended.unwrap();
        }
        assert!(after <= before + before / 10 + (8 << 20), "{after} bytes instead of {before}");
        hostile.shutdown().await;
        let over = || async { (sql(&scene.stack, READING).await == "0").then_some(()) };
        wait::until("the hostile one's reads being over", PATIENCE, over).await.unwrap();
        // A page of the hostile one takes 1.3 s: whoever waits for a single one is found. The slowest few a busy machine may have made so.
        with.hurt("320 histories and 8 replays", &without).or_else(|| {
            let (without, with) = (without.percent(90), with.percent(90));
            let is_felt = with > 3 * without + Duration::from_millis(500);
            is_felt.then(|| format!("{with:?} instead of {without:?}"))
        })
    };
    let mut hurt = Vec::new();
    for _ in 0..TRIES {
        match compare().await {
            None => return,
            Some(words) => hurt.push(words),
        }
    }
    panic!("each time: {}", hurt.join("\n"));
}
