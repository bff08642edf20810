//! Does maintenance finish whatever is due, and does nobody wait for it?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Append, Appended, Dropped, Log, Maintenance, PartitionState, Role, migrate};
use carillon_devstack::wait;
use carillon_protocol::TenantId;
use database::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);
const KEEP_DAYS: u32 = 30;
/// Longest wait for a lock on the log that maintenance may cause: 50 ms, and much for a busy machine.
const LONGEST_WAIT: f64 = 0.5;

fn append(id: &str) -> Append {
    database::append("shop", 0, id, Some((id, 1)))
}

fn tenant() -> TenantId {
    database::tenant("shop")
}

async fn stores(log: &Log, id: &str) -> bool {
    matches!(log.append(&[append(id)]).await.as_deref(), Ok([Appended::Stored { .. }]))
}

/// Appends without a pause until it is dropped or told to stop.
struct Publishing {
    stop: Arc<AtomicBool>,
    stored: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Publishing {
    async fn start(log: &Log) -> Self {
        log.open_tenant(&tenant(), true).await.unwrap();
        let (stop, stored) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (log, stopped, counted) = (log.clone(), stop.clone(), stored.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let n = counted.load(Ordering::Relaxed);
                assert!(stores(&log, &format!("event-{n}")).await);
                counted.store(n + 1, Ordering::Relaxed);
            }
        });
        let publishing = Self { stop, stored, task };
        publishing.goes_on().await;
        publishing
    }

    async fn goes_on(&self) {
        let goal = self.stored.load(Ordering::Relaxed) + 20;
        let more = || self.stored.load(Ordering::Relaxed) >= goal;
        wait::until_true("twenty more appends", PATIENCE, more).await.unwrap();
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

/// The longest wait for a lock on the log that is seen until `stop`, in seconds.
async fn watch_waits(database: &Database, stop: Arc<AtomicBool>) -> JoinHandle<f64> {
    let client = database.superuser().await;
    tokio::spawn(async move {
        let mut longest = 0.0_f64;
        while !stop.load(Ordering::Relaxed) {
            let row = client
                .query_one(
                    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float8 FROM pg_locks
                     WHERE NOT granted AND mode <> 'AccessExclusiveLock'
                       AND relation = 'carillon.events'::regclass",
                    &[],
                )
                .await
                .unwrap();
            longest = longest.max(row.get(0));
        }
        longest
    })
}

/// A transaction that has read the log and goes on, as a backup does.
async fn long_reader(database: &Database, table: &str) -> Client {
    let client = database.superuser().await;
    client.batch_execute(&format!("BEGIN; SELECT 1 FROM carillon.{table} LIMIT 1")).await.unwrap();
    client
}

/// The name of the oldest.
async fn due_partition(database: &Database) -> String {
    let due = "SELECT carillon.due_partitions(30)";
    database.superuser().await.query_one(due, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_while_a_partition_is_due_holds_up_the_drop_and_nobody_else() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    database.old_partitions(40, 1).await;
    let publishing = Publishing::start(&log).await;
    let stop = Arc::new(AtomicBool::new(false));
    let waits = watch_waits(&database, stop.clone()).await;
    // A dump reads each partition by its own name as well.
    for table in ["events".to_owned(), due_partition(&database).await] {
        let reader = long_reader(&database, &table).await;
        for _ in 0..10 {
            assert_eq!(
                log.drop_due_partition(KEEP_DAYS).await.unwrap(),
                Dropped::InUse { due: 1 },
                "{table}"
            );
        }
        publishing.goes_on().await;
        reader.batch_execute("COMMIT").await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let longest = waits.await.unwrap();
    assert!(longest < LONGEST_WAIT, "an append waited {longest} s");
    let dropped = wait::until("the drop after the backup", PATIENCE, || async {
        matches!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::One { left: 0, .. }).then_some(())
    });
    dropped.await.unwrap();
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::Nothing);
    publishing.stop().await;
}

/// What the test above would see without the repair: the drop waits, and every append behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_waits_for_a_backup_holds_up_every_append() {
    let database = Database::start().await;
    database.old_partitions(40, 1).await;
    let publishing = Publishing::start(&database.log(Role::Publisher)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let waits = watch_waits(&database, stop.clone()).await;
    let reader = long_reader(&database, "events").await;
    let name = due_partition(&database).await;
    let drop = format!("SET lock_timeout = '1500ms'; DROP TABLE carillon.{name}");
    database.superuser().await.batch_execute(&drop).await.unwrap_err();
    reader.batch_execute("COMMIT").await.unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(waits.await.unwrap() > LONGEST_WAIT);
    publishing.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_year_asleep_every_due_partition_goes_one_by_one() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    database.old_partitions(31, 365).await;
    assert_eq!(log.partition_state(KEEP_DAYS).await.unwrap(), PartitionState { ahead: 8, due: 365 });
    let publishing = Publishing::start(&log).await;
    let mut left = 365;
    while left > 0 {
        match log.drop_due_partition(KEEP_DAYS).await.unwrap() {
            Dropped::One { left: now, .. } => {
                assert_eq!(now, left - 1);
                left = now;
            }
            Dropped::InUse { due } | Dropped::Locked { due } => assert_eq!(due, left),
            Dropped::Nothing | Dropped::NotArchived { .. } => panic!("{left} are left"),
        }
    }
    publishing.goes_on().await;
    publishing.stop().await;
    assert_eq!(log.partition_state(KEEP_DAYS).await.unwrap(), PartitionState { ahead: 8, due: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_idle_days_todays_partition_is_made_first() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    log.open_tenant(&tenant(), true).await.unwrap();
    let superuser = database.superuser().await;
    let forward = "DO $$ DECLARE part text; BEGIN
        FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'carillon.events'::regclass LOOP
            EXECUTE 'DROP TABLE ' || part;
        END LOOP; END $$";
    superuser.batch_execute(forward).await.unwrap();
    database.old_partitions(10, 8).await;
    assert_eq!(log.partition_state(KEEP_DAYS).await.unwrap(), PartitionState { ahead: 0, due: 0 });
    assert!(!stores(&log, "too-early").await);
    // A backup runs meanwhile, and two publishers start at once.
    let reader = long_reader(&database, "events").await;
    let (first, second) = tokio::join!(log.create_partitions(0), log.create_partitions(0));
    assert_eq!(first.unwrap() + second.unwrap(), 2, "yesterday and today");
    assert!(stores(&log, "in-time").await);
    // What bars a later day does not bar today's.
    superuser
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('CREATE TABLE carillon.events_%s ()',
                to_char((now() AT TIME ZONE 'UTC')::date + 3, 'YYYYMMDD')); END $$",
        )
        .await
        .unwrap();
    assert_eq!(log.create_partitions(0).await.unwrap(), 0);
    let error = log.create_partitions(7).await.unwrap_err().to_string();
    assert!(error.contains("is no partition of carillon.events"), "{error}");
    reader.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_made_with_their_own_row_level_security_and_the_last_version_still_works() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    assert_eq!(log.create_partitions(9).await.unwrap(), 2);
    database.old_partitions(40, 3).await;
    let superuser = database.superuser().await;
    let bare = superuser
        .query_one(
            "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid
             WHERE inhparent = 'carillon.events'::regclass AND NOT c.relrowsecurity AND c.relname > 'events_'
               AND c.relname NOT IN (SELECT carillon.due_partitions(30))",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(bare.get::<_, i64>(0), 0);
    // What a publisher of the version before asks for.
    superuser.batch_execute("SET ROLE carillon_publisher").await.unwrap();
    let before =
        "SELECT carillon.create_partitions(10), carillon.drop_partitions(30), carillon.forget_keys(48)";
    let row = superuser.query_one(before, &[]).await.unwrap();
    let (made, dropped, forgotten): (i32, i32, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((made, dropped, forgotten), (1, 1, 0));
    // An operator's interrupted `DETACH … CONCURRENTLY` leaves a partition that is neither there nor gone.
    superuser
        .batch_execute(
            "RESET ROLE; UPDATE pg_inherits SET inhdetachpending = true
             WHERE inhrelid IN (SELECT ('carillon.' || name)::regclass FROM carillon.due_partitions(30) AS name)",
        )
        .await
        .unwrap();
    assert!(matches!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::One { left: 1, .. }));
    assert!(migrate(&database.url).await.unwrap().applied.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_does_a_task_until_its_lease_ends() {
    let database = Database::start().await;
    let (log, task) = (database.log(Role::Publisher), Maintenance::Keys);
    let minute = Duration::from_secs(60);
    let candidates = ["amber", "birch", "cedar", "delta"];
    let asked = candidates.map(|name| {
        let log = log.clone();
        tokio::spawn(async move { log.lease_maintenance(task, name, minute).await.unwrap() })
    });
    let mut holders = std::collections::BTreeSet::new();
    for answer in asked {
        holders.insert(answer.await.unwrap());
    }
    assert_eq!(holders.len(), 1, "{holders:?}");
    let holder = holders.pop_first().unwrap();
    assert_eq!(log.lease_maintenance(task, &holder, Duration::ZERO).await.unwrap(), holder);
    let next = candidates.into_iter().find(|name| *name != holder).unwrap();
    let takes_over =
        async || (log.lease_maintenance(task, next, minute).await.unwrap() == next).then_some(());
    wait::until("the lease ending", PATIENCE, takes_over).await.unwrap();
    assert_eq!(log.lease_maintenance(task, &holder, minute).await.unwrap(), next);
    let another = log.lease_maintenance(Maintenance::Retention, &holder, minute).await.unwrap();
    assert_eq!(another, holder, "each task has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_drop_at_once_drop_each_partition_once() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    database.old_partitions(40, 12).await;
    let droppers: Vec<_> = (0..2)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    match log.drop_due_partition(KEEP_DAYS).await.unwrap() {
                        Dropped::One { partition, .. } => mine.push(partition),
                        Dropped::Nothing => break mine,
                        Dropped::InUse { .. } | Dropped::Locked { .. } => {}
                        Dropped::NotArchived { .. } => panic!("there is no archive"),
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for dropper in droppers {
        all.extend(dropper.await.unwrap());
    }
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!((count, all.len()), (12, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn due_keys_go_in_slices_and_others_stay() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let superuser = database.superuser().await;
    // Many of one instant (a restore, an import), some of different ones, and some that are not due.
    let insert = "INSERT INTO carillon.idempotency SELECT 'shop', kind || n, '\\x01', 'id', n, 'epoch', now() - age + n * step
        FROM generate_series(1, 3000) n, (VALUES ('same', interval '9 days', interval '0'),
            ('due', interval '3 days', interval '1 ms'), ('fresh', interval '1 day', interval '1 ms')) k(kind, age, step)";
    superuser.batch_execute(insert).await.unwrap();
    let mut forgotten = Vec::new();
    loop {
        let slice = log.forget_keys(2_000).await.unwrap();
        forgotten.push(slice.forgotten);
        if slice.forgotten < 2_000 {
            assert_eq!(slice.overdue, Duration::ZERO);
            break;
        }
        assert!(slice.overdue > Duration::from_secs(23 * 3_600), "{slice:?}");
    }
    assert_eq!(forgotten, [2_000, 2_000, 2_000, 0]);
    let left = "SELECT count(*) FROM carillon.idempotency WHERE key LIKE 'fresh%'";
    assert_eq!(superuser.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 3_000);
    // Older ones than a finished sweep has seen go with the next: a restore brought them.
    superuser.batch_execute(&format!("{insert} ON CONFLICT DO NOTHING")).await.unwrap();
    assert_eq!(log.forget_keys(10_000).await.unwrap().forgotten, 6_000);
    // A clock that ran ahead and was set back does not hide keys.
    superuser
        .batch_execute(&format!("UPDATE carillon.maintenance SET done_to = now() + interval '1 year'; {insert} ON CONFLICT DO NOTHING"))
        .await
        .unwrap();
    assert_eq!(log.forget_keys(10_000).await.unwrap().forgotten, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_who_did_not_want_an_event_back_go_in_slices_and_their_backlog_is_told() {
    let database = Database::start().await;
    let log = &database.publisher;
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "INSERT INTO carillon.event_excepts
             SELECT 'shop', n, 'gateway-1-0000000a-0-1-1', now() - interval '3 days' + n * interval '1 second' FROM generate_series(1, 250) n
             UNION ALL SELECT 'shop', 1000, 'gateway-1-0000000a-0-1-1', now()",
        )
        .await
        .unwrap();
    let left = async || {
        let rows = superuser
            .query_one(
                "SELECT count(*), min(at) > now() - interval '1 hour' FROM carillon.event_excepts",
                &[],
            )
            .await;
        let row = rows.unwrap();
        (row.get::<_, i64>(0), row.get::<_, bool>(1))
    };
    let first = log.forget_keys(100).await.unwrap();
    assert_eq!(first.forgotten, 100);
    assert!(first.overdue > Duration::from_secs(20 * 3_600), "a day too long: {first:?}");
    let place = "SELECT done_to > '-infinity' FROM carillon.maintenance WHERE task = 'event_excepts'";
    assert!(
        superuser.query_one(place, &[]).await.unwrap().get::<_, bool>(0),
        "the next slice goes on from there"
    );
    assert_eq!(log.forget_keys(100).await.unwrap().forgotten, 100);
    let last = log.forget_keys(100).await.unwrap();
    assert_eq!((last.forgotten, last.overdue), (50, Duration::ZERO));
    assert_eq!(left().await, (1, true), "what is young stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_goes_by_the_index_whatever_the_planner_knows() {
    let database = Database::start().await;
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "INSERT INTO carillon.idempotency SELECT 'shop', n::text, '\\x01', 'id', n, 'epoch', now() - interval '3 days'
             FROM generate_series(1, 20000) n",
        )
        .await
        .unwrap();
    let (client, mut connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
    let (told, mut notices) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let Ok(tokio_postgres::AsyncMessage::Notice(notice)) = message {
                told.send(notice.message().to_owned()).unwrap();
            }
        }
    });
    client
        .batch_execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
             SET client_min_messages = log; SET plan_cache_mode = force_generic_plan;
             SELECT carillon.forget_some_keys(48, 100)",
        )
        .await
        .unwrap();
    let mut plan = String::new();
    while let Ok(notice) = notices.try_recv() {
        plan.push_str(&notice);
    }
    assert!(plan.contains("idempotency_at") && plan.contains("Tid Scan on idempotency"), "{plan}");
}
