//! Partitions go, keys are forgotten, days are missed: does anybody who publishes notice?

use std::time::{Duration, Instant};

use carillon_devstack::client::post::Post;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::{Value, json};

use crate::faults::probe::{client, sample, sample_reaches, sql};
use crate::faults::{PATIENCE, Scene, alone};
use crate::figures::Figures;

const PUBLISHES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(20);
/// Tries to drop the partition that are looked at.
const TRIES: usize = 3;
/// What a publish beside such a try may take longer than others. The try asks for the log 50 ms at most.
const UNFELT: Duration = Duration::from_millis(100);

/// A partition of a day long past.
const DUE: &str = "SET timezone = 'UTC'; SET ROLE carillon_owner;
    CREATE TABLE carillon.events_20200101 PARTITION OF carillon.events FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')";
/// Ten days pass without a publisher: the newest partition is of three days ago.
const TEN_DAYS: &str = "DO $$ DECLARE part text; day date := (now() AT TIME ZONE 'UTC')::date - 3; BEGIN
        FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'carillon.events'::regclass LOOP
            EXECUTE 'DROP TABLE ' || part;
        END LOOP;
        EXECUTE format('CREATE TABLE carillon.events_%s PARTITION OF carillon.events FOR VALUES FROM (%L) TO (%L)',
            to_char(day, 'YYYYMMDD'), day, day + 1);
    END $$";
const DUE_KEYS: &str = "INSERT INTO carillon.idempotency
    SELECT 'old', n::text, '\\x01', 'id', n, 'epoch', now() - interval '3 days' FROM generate_series(1, 20000) n";

async fn publish(scene: &Scene) -> Duration {
    let began = Instant::now();
    let post = Post::new("quiet", "order.paid", json!({})).tenant_wide();
    scene.publishers()[0].publish(&post, None).await.expect("no publish is refused");
    began.elapsed()
}

/// Publishes so many events, one after the other.
async fn publishes(scene: &Scene) -> Figures {
    let (mut all, began) = (Vec::new(), Instant::now());
    for _ in 0..PUBLISHES {
        all.push(publish(scene).await);
        tokio::time::sleep(PAUSE).await;
    }
    Figures::new(all, Vec::new(), began.elapsed())
}

/// The slowest publish while something goes on, which tells when it is over.
async fn slowest_while(scene: &Scene, over: impl AsyncFn() -> bool) -> Duration {
    let mut slowest = Duration::ZERO;
    while !over().await {
        for _ in 0..5 {
            slowest = slowest.max(publish(scene).await);
            tokio::time::sleep(PAUSE / 2).await;
        }
    }
    slowest
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Reads the log in a transaction that goes on until [`end_backup`].
async fn begin_backup(stack: &Stack) {
    let url = stack.database_url();
    let psql = carillon_devstack::find::servers().unwrap().postgres_bin.join("psql");
    tokio::spawn(async move {
        let read = "BEGIN; SELECT 1 FROM carillon.events LIMIT 1; SELECT 'backup', pg_sleep(600)";
        tokio::process::Command::new(psql).args(["-X", "-q", "-c", read]).arg(url).output().await
    });
    let reads =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%''backup''%' AND pid <> pg_backend_pid()";
    let begun = || async { (sql(stack, reads).await == "1").then_some(()) };
    wait::until("the backup reading", PATIENCE, begun).await.unwrap();
}

async fn end_backup(stack: &Stack) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE query LIKE '%''backup''%' AND pid <> pg_backend_pid()";
    sql(stack, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_while_a_partition_is_due_is_not_felt_by_publishers() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    publish(&scene).await;
    let mut without = publishes(&scene).await;
    let mut seconds = Vec::new();
    for _ in 0..TRIES {
        let began = Instant::now();
        seconds.push(slowest_while(&scene, async || began.elapsed() > Duration::from_secs(1)).await);
    }
    sql(&scene.stack, DUE).await;
    begin_backup(&scene.stack).await;
    let publisher = scene.stack.publisher(0);
    // Its tasks run at the start.
    publisher.restart().await.unwrap();
    let postponed = r#"carillon_task_runs_total{task="retention",outcome="postponed"}"#;
    sample_reaches(publisher, postponed, 1.0).await;
    // The next tries come after one, two and four seconds.
    let mut tries = Vec::new();
    while tries.len() < TRIES {
        let so_far = sample(publisher, postponed).await;
        tries.push(slowest_while(&scene, async || sample(publisher, postponed).await > so_far).await);
    }
    let with = publishes(&scene).await;
    println!("slowest publish of a second without {seconds:?}, of a try {tries:?}");
    assert!(middle(tries.clone()) <= middle(seconds.clone()) * 2 + UNFELT, "{tries:?}, without {seconds:?}");
    let due_are = async |wanted: f64| {
        let due =
            || async { (publisher.metric("carillon_partitions_due").await == Some(wanted)).then_some(()) };
        wait::until(format!("{wanted} partitions due"), PATIENCE, due).await.unwrap();
    };
    due_are(1.0).await;
    let tasks: Vec<Value> =
        client().get(format!("{}/tasks", publisher.ops_url())).send().await.unwrap().json().await.unwrap();
    let retention = tasks.iter().find(|task| task["name"] == "retention").unwrap();
    assert_eq!(retention["last"]["outcome"], "postponed", "{retention}");
    end_backup(&scene.stack).await;
    sample_reaches(publisher, "carillon_partitions_dropped_total", 1.0).await;
    due_are(0.0).await;
    without.join(publishes(&scene).await);
    assert_eq!(with.hurt("a backup while a partition is due", &without), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_idle_days_the_first_publish_is_stored_and_a_backlog_of_keys_goes() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    publish(&scene).await;
    sql(&scene.stack, TEN_DAYS).await;
    sql(&scene.stack, DUE_KEYS).await;
    let publisher = scene.stack.publisher(0);
    publisher.restart().await.unwrap();
    publish(&scene).await;
    sample_reaches(publisher, "carillon_partitions_ahead_days", 8.0).await;
    // The database's clock jumps while it runs: one publish is told so, and soon the next is stored.
    sql(&scene.stack, TEN_DAYS).await;
    let post = Post::new("quiet", "order.paid", json!({})).tenant_wide();
    let again = || async {
        match scene.publishers()[0].publish(&post, None).await {
            Ok(_) => Some(()),
            Err(error) => {
                assert_eq!(error.problem().unwrap().code, "no_partition");
                None
            }
        }
    };
    wait::until("a publish being stored", PATIENCE, again).await.unwrap();
    sample_reaches(publisher, "carillon_idempotency_keys_forgotten_total", 20_000.0).await;
    assert_eq!(
        sql(&scene.stack, "SELECT count(*) FROM carillon.idempotency WHERE tenant_id = 'old'").await,
        "0"
    );
}
