//! Is what is stored of devices never ahead of the truth, and is it found quickly who has not got an event?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Deliveries, DevicePlace, DeviceState, Hours, Log, Pending, Role};
use carillon_protocol::{EventId, Seq};
use database::{Database, append, tenant};
use std::time::{Duration, Instant};

fn state<'a>(user: &'a str, epoch: &'a str, delivered: u64, acked: u64) -> DeviceState<'a> {
    DeviceState {
        tenant: "acme",
        user,
        device: "phone",
        epoch,
        delivered: Seq(delivered),
        acked: Seq(acked),
        handled_ms: None,
        first_ms: 60_000,
        seen_ms: 0,
        channels: Some("tenant\u{1f}user:mila"),
    }
}

/// A log of so many events to everyone; its epoch.
async fn log_of(log: &Log, events: u32) -> String {
    log.open_tenant(&tenant("acme"), true).await.unwrap().unwrap();
    for n in 0..events {
        log.append(&[append("acme", n, &format!("e{}", n + 1), None)]).await.unwrap();
    }
    log.open_tenant(&tenant("acme"), false).await.unwrap().unwrap().head.epoch.as_str().to_owned()
}

async fn deliveries(log: &Log, event: &str, pending: Pending, from: DevicePlace<'_>) -> Deliveries {
    let tenant = tenant("acme");
    let epochs = log.open_tenant(&tenant, false).await.unwrap().unwrap().epochs;
    log.deliveries((&tenant, &epochs), &EventId::new(event).unwrap(), pending, from).await.unwrap().unwrap()
}

const FIRST: DevicePlace<'_> = DevicePlace { user: "", device: "", limit: 50 };

#[tokio::test(flavor = "multi_thread")]
async fn a_device_only_moves_forwards_and_never_beyond_the_log() {
    let database = Database::start().await;
    let (gateway, publisher) = (database.log(Role::Gateway), database.log(Role::Publisher));
    let epoch = log_of(&publisher, 9).await;
    let row = async || {
        let superuser = database.superuser().await;
        let row = superuser
            .query_one("SELECT delivered, acked, channels FROM carillon.devices WHERE user_id = 'mila'", &[])
            .await
            .unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, Option<Vec<String>>>(2))
    };
    let channels = || Some(vec!["tenant".to_owned(), "user:mila".to_owned()]);
    // What is not known yet of its channels is told later; what was told stays.
    gateway.store_devices(&[DeviceState { channels: None, ..state("mila", &epoch, 1, 0) }]).await.unwrap();
    assert_eq!(row().await, (1, 0, None));
    gateway.store_devices(&[state("mila", &epoch, 4, 3)]).await.unwrap();
    gateway.store_devices(&[DeviceState { channels: None, ..state("mila", &epoch, 2, 7) }]).await.unwrap();
    assert_eq!(row().await, (4, 7, channels()));
    gateway.store_devices(&[state("mila", &epoch, 500, 400)]).await.unwrap();
    assert_eq!(row().await, (9, 9, channels()), "there are nine events");
    // Nobody knows this epoch: it says nothing about the present log.
    gateway.store_devices(&[state("mila", "unknown", 9, 9), state("ana", "unknown", 9, 9)]).await.unwrap();
    assert_eq!(row().await, (9, 9, channels()));
    let found = deliveries(&publisher, "e9", Pending::NotAcked, FIRST).await;
    assert_eq!((found.audience, found.delivered, found.acked), (2, 1, 1));
    assert_eq!((&*found.pending[0].user, found.pending[0].acked), ("ana", Seq::ZERO));
    // Tenants that are not there are passed over.
    let stranger = DeviceState { tenant: "nobody", ..state("mila", &epoch, 1, 1) };
    gateway.store_devices(&[stranger, state("zoe", &epoch, 9, 9)]).await.unwrap();
    assert_eq!(deliveries(&publisher, "e9", Pending::NotAcked, FIRST).await.acked, 2);
    // No role reaches the table past the function.
    let superuser = database.superuser().await;
    for role in ["carillon_gateway", "carillon_publisher"] {
        let write = format!("SET ROLE {role}; UPDATE carillon.devices SET acked = 0; RESET ROLE");
        assert!(superuser.batch_execute(&write).await.is_err(), "{role}");
        superuser.batch_execute("RESET ROLE").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_write_the_same_devices_at_once_never_wait_in_a_circle() {
    let database = Database::start().await;
    let publisher = database.log(Role::Publisher);
    let epoch = log_of(&publisher, 9).await;
    let users: Vec<String> = (0..200).map(|n| format!("user-{n:03}")).collect();
    let writers = (0..6u64).map(|writer| {
        let (gateway, users, epoch) = (database.log(Role::Gateway), users.clone(), epoch.clone());
        tokio::spawn(async move {
            for round in 0..10u64 {
                let mut states: Vec<_> =
                    users.iter().map(|user| state(user, &epoch, 0, (writer + round) % 10)).collect();
                states.rotate_left((writer as usize * 37 + round as usize * 11) % 200);
                if writer % 2 == 0 {
                    states.reverse();
                }
                gateway.store_devices(&states).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let found = deliveries(&publisher, "e9", Pending::NotAcked, FIRST).await;
    assert_eq!((found.audience, found.acked), (200, 200), "each was told nine once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_nobody_saw_for_so_many_days_is_forgotten_in_slices() {
    let database = Database::start().await;
    let (gateway, publisher) = (database.log(Role::Gateway), database.log(Role::Publisher));
    let epoch = log_of(&publisher, 1).await;
    let day = 24 * 3_600_000;
    for (user, seen_ms) in [("a", 91 * day), ("b", 92 * day), ("c", 89 * day), ("d", 0), ("e", 93 * day)] {
        gateway.store_devices(&[DeviceState { seen_ms, ..state(user, &epoch, 0, 0) }]).await.unwrap();
    }
    assert_eq!(publisher.forget_devices(90, 2).await.unwrap(), 2);
    assert_eq!(publisher.forget_devices(90, 2).await.unwrap(), 1);
    assert_eq!(publisher.forget_devices(90, 2).await.unwrap(), 0);
    let superuser = database.superuser().await;
    let left = superuser.query("SELECT user_id FROM carillon.devices ORDER BY 1", &[]).await.unwrap();
    assert_eq!(left.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_user_the_64_devices_are_kept_that_were_seen_last() {
    let database = Database::start().await;
    let (gateway, publisher) = (database.log(Role::Gateway), database.log(Role::Publisher));
    let epoch = log_of(&publisher, 1).await;
    let names: Vec<String> = (0..100).map(|n| format!("device-{n:03}")).collect();
    let device = |n: usize| DeviceState {
        device: &names[n],
        seen_ms: (200 - n as u64) * 1_000,
        ..state("mila", &epoch, 0, 0)
    };
    gateway.store_devices(&[state("ana", &epoch, 0, 0)]).await.unwrap();
    let superuser = database.superuser().await;
    let kept = async || {
        let rows = "SELECT device_id FROM carillon.devices WHERE user_id = 'mila' ORDER BY 1";
        let rows = superuser.query(rows, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    gateway.store_devices(&(0..70).map(device).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(kept().await, names[6..70]);
    // What is seen again stays.
    gateway.store_devices(&[DeviceState { seen_ms: 0, ..device(6) }]).await.unwrap();
    for n in 70..100 {
        gateway.store_devices(&[device(n)]).await.unwrap();
    }
    let kept = kept().await;
    assert_eq!((kept.len(), &*kept[0], &kept[1..]), (64, "device-006", &names[37..]));
    let others = superuser.query("SELECT FROM carillon.devices WHERE user_id = 'ana'", &[]).await.unwrap();
    assert_eq!(others.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn among_a_hundred_thousand_devices_it_is_found_quickly_who_has_not_got_an_event() {
    let database = Database::start().await;
    let (gateway, publisher) = (database.log(Role::Gateway), database.log(Role::Publisher));
    let epoch = log_of(&publisher, 9).await;
    let fill = format!(
        "INSERT INTO carillon.devices SELECT 'acme', 'user-' || n, md5(n::text), '{epoch}', 9, 9,
             now() - interval '1 day', now(), current_date, ARRAY['tenant', 'user:user-' || n, 'role:r' || n % 10]
         FROM generate_series(1, 100000) n ORDER BY random();
         UPDATE carillon.devices SET acked = 3, delivered = 3 WHERE user_id IN ('user-5', 'user-99999');
         VACUUM ANALYZE carillon.devices"
    );
    let superuser = database.superuser().await;
    for sql in fill.split(';') {
        superuser.batch_execute(sql).await.unwrap();
    }
    // Two of all, so the list is looked for to its end. Beside it all rows are counted: a busy machine takes longer for both.
    let (mut best, mut counted) = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        let began = Instant::now();
        let found = deliveries(&publisher, "e9", Pending::NotAcked, FIRST).await;
        best = best.min(began.elapsed());
        assert_eq!((found.audience, found.acked, found.pending.len()), (100_000, 99_998, 2));
        let began = Instant::now();
        superuser
            .batch_execute(
                "SELECT count(*) FROM carillon.devices WHERE 'tenant' = ANY (channels) AND acked >= 9",
            )
            .await
            .unwrap();
        counted = counted.min(began.elapsed());
    }
    println!("who of 100,000 has not got an event: {best:?}; to count them: {counted:?}");
    assert!(best < Duration::from_millis(150).max(5 * counted), "{best:?}, to count them {counted:?}");
    // Page by page through many.
    let mut from = (String::new(), String::new());
    let mut seen = 0;
    superuser
        .batch_execute("UPDATE carillon.devices SET acked = 0 WHERE 'role:r3' = ANY (channels)")
        .await
        .unwrap();
    loop {
        let place = DevicePlace { user: &from.0, device: &from.1, limit: 1_000 };
        let page = deliveries(&publisher, "e9", Pending::NotAcked, place).await;
        seen += page.pending.len();
        let Some(last) = page.pending.last().filter(|_| page.more) else { break };
        from = (last.user.clone(), last.device.clone());
    }
    assert_eq!(seen, 10_002);
    // A write of what moves touches no index.
    let names: Vec<(String, String)> = superuser
        .query("SELECT user_id, device_id FROM carillon.devices ORDER BY random() LIMIT 2000", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let mut took = Duration::MAX;
    for _ in 0..5 {
        let states: Vec<DeviceState<'_>> = names
            .iter()
            .map(|(user, device)| DeviceState { device, channels: None, ..state(user, &epoch, 9, 9) })
            .collect();
        let began = Instant::now();
        gateway.store_devices(&states).await.unwrap();
        took = took.min(began.elapsed());
    }
    println!("2,000 devices are written in {took:?}");
    superuser.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'devices'";
    let hot = async || {
        let row = superuser.query_one(counts, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let began = Instant::now();
    while hot().await.0 < 10_000 {
        assert!(began.elapsed() < Duration::from_secs(20), "the statistics do not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (updated, in_place) = hot().await;
    println!("{in_place} of {updated} stayed on their page");
    assert!(in_place * 10 >= updated * 9, "{in_place} of {updated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_it_took_is_counted_by_the_hour_of_the_event_and_forgotten_with_it() {
    let database = Database::start().await;
    let (gateway, publisher) = (database.log(Role::Gateway), database.log(Role::Publisher));
    let epoch = log_of(&publisher, 3).await;
    database.sql("UPDATE carillon.events SET at = at - interval '90 s' WHERE seq = 2").await;
    let of = |user: &'static str, acked, ms| DeviceState { handled_ms: ms, ..state(user, &epoch, 3, acked) };
    // Two took some 80 s, one no time; of the others it is not told, the event is not there, or its epoch is another.
    let elsewhere = DeviceState { epoch: "other", ..of("zoe", 2, Some(0)) };
    let all =
        [of("mila", 2, Some(10_000)), of("ana", 2, Some(10_000)), of("eva", 3, Some(0)), of("ben", 1, None)];
    gateway.store_devices(&[&all[..], &[of("ida", 9, Some(0)), elsewhere]].concat()).await.unwrap();
    let now = jiff::Timestamp::now();
    let hour = |hours: i64| now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    let counted = async |from: i64, to: i64| {
        let hours = Hours { from: hour(from), to: hour(to) };
        publisher.counted_latency(&tenant("acme"), hours).await.unwrap()
    };
    let latency = counted(-2, 1).await;
    let most = latency.quantile_ms(0.99).unwrap();
    assert_eq!(latency.count(), 3, "{latency:?}");
    assert!((70_000.0..100_000.0).contains(&most), "{most}");
    assert!(latency.quantile_ms(0.1).unwrap() < 30_000.0, "{latency:?}");
    assert_eq!(counted(1, 2).await.count(), 0);
    let other =
        publisher.counted_latency(&tenant("other"), Hours { from: hour(-2), to: hour(1) }).await.unwrap();
    assert_eq!(other.count(), 0);
    let old =
        "INSERT INTO carillon.analytics_hours SELECT tenant_id, at, 1, 3, 3 FROM carillon.analytics_latency
            GROUP BY tenant_id, at;
        UPDATE carillon.analytics_hours SET at = at - interval '500 days';
        UPDATE carillon.analytics_latency SET at = at - interval '500 days'";
    database.sql(old).await;
    publisher.forget_analytics(400, 10).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM carillon.analytics_latency").await, 0);
}

/// A transaction that stores a device and does not end.
const UNSEEN: &str = "
BEGIN; INSERT INTO carillon.devices SELECT 'acme', 'a0', 'd', epoch, 1, 1, now(), now(), current_date, '{role:clerk}'
    FROM carillon.tenants WHERE id = 'acme'";

/// Rows that are missing, or of no device.
const ASTRAY: &str = "
WITH wanted AS (
    SELECT DISTINCT d.tenant_id, c.name, d.user_id, d.device_id, d.first_seen FROM carillon.devices d, unnest(d.channels) AS c(name)
    WHERE d.tenant_id = 'acme' AND c.name <> 'tenant' AND c.name NOT LIKE 'user:%'
), had AS (SELECT tenant_id, channel, user_id, device_id, first_seen FROM carillon.device_channels)
SELECT (SELECT count(*) FROM (TABLE wanted EXCEPT TABLE had) AS a) + (SELECT count(*) FROM (TABLE had EXCEPT TABLE wanted) AS b)";

#[tokio::test(flavor = "multi_thread")]
async fn devices_by_channel_are_those_that_a_walk_finds_whatever_is_stored_meanwhile() {
    let database = Database::start().await;
    let log = &database.publisher;
    let epoch = log_of(log, 1).await;
    let mut notice = append("acme", 9, "n-1", None);
    notice.event.channels = ["role:clerk", "order:7", "user:nobody"].map(database::channel).to_vec();
    notice.event.notice = Some(Box::new(carillon_protocol::Notice {
        title: "x".into(),
        body: None,
        action: None,
        group: None,
        priority: None,
        requires_ack: true,
        expires_at: None,
        data: None,
        escalate: Vec::new(),
        locales: Default::default(),
    }));
    let store = async |log: Log, seed: u64, rounds: u64| {
        for round in 0..rounds {
            let number = |n: u64| (seed * 7_919 + round * 104_729 + n * 31) % 97;
            let mut names: Vec<String> = (0..12).map(|n| format!("u{:02}", number(n))).collect();
            names.sort_unstable();
            names.dedup();
            let of = |n: usize| match (number(n as u64) + round) % 5 {
                0 => Some("tenant\u{1f}role:clerk"),
                1 => Some("tenant\u{1f}order:7\u{1f}role:clerk"),
                2 => Some("order:8"),
                3 => Some("tenant"),
                _ => None,
            };
            let all: Vec<DeviceState<'_>> = names
                .iter()
                .enumerate()
                .map(|(n, name)| DeviceState { channels: of(n), ..state(name, &epoch, 1, 1) })
                .collect();
            log.store_devices(&all).await.unwrap();
        }
    };
    let gateways = || [database.log(Role::Gateway), database.log(Role::Gateway)];
    let [one, other] = gateways();
    tokio::join!(store(one, 1, 30), store(other, 2, 30));
    assert_eq!(database.count("SELECT count(*) FROM carillon.device_channels").await, 0, "nobody has asked");
    log.append(&[notice]).await.unwrap();
    let id = EventId::new("n-1").unwrap();
    let counts = async || {
        let page = (carillon_backplane::log::Who::NotAcked, "", 200);
        let state = log.notice_state(&tenant("acme"), &id, page).await.unwrap().unwrap();
        (state.audience, state.delivered, state.people.into_iter().map(|one| one.user).collect::<Vec<_>>())
    };
    // A device that is stored before anybody asks, and seen afterwards.
    let older = database.superuser().await;
    older.batch_execute(UNSEEN).await.unwrap();
    let reached = async || {
        let channels = ["role:clerk", "order:7", "user:u01", "user:nobody"].map(database::channel);
        log.audience(&tenant("acme"), &channels).await.unwrap()
    };
    let walked = counts().await;
    assert!(walked.0 > 10, "{walked:?}");
    // It begins when everybody has ended who wrote devices and may not have seen that it is wanted; others keep it from nothing.
    let elsewhere = database.superuser().await;
    elsewhere.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    for _ in 0..3 {
        assert_eq!(log.add_device_channels(5).await.unwrap(), (0, false));
    }
    older.batch_execute("COMMIT").await.unwrap();
    // Slices between what gateways store.
    let adding = async {
        let began = Instant::now();
        while log.add_device_channels(5).await.unwrap().1 {
            assert!(began.elapsed() < Duration::from_secs(60));
        }
    };
    let [one, other] = gateways();
    tokio::join!(store(one, 3, 60), store(other, 4, 60), adding);
    assert_eq!(database.count(ASTRAY).await, 0);
    assert!(database.count("SELECT count(*) FROM carillon.device_channels").await > 50);
    let (found, found_now) = (counts().await, reached().await);
    database.sql("UPDATE carillon.device_channel_tenants SET complete = false").await;
    assert_eq!(found, counts().await, "as a walk counts");
    assert_eq!(found_now, reached().await, "and of who is there now");
    assert!(found_now.devices > 10, "{found_now:?}");
    database.sql("UPDATE carillon.device_channel_tenants SET complete = true").await;
    // Devices that nobody saw for long go with their rows.
    database.sql("UPDATE carillon.devices SET last_seen = now() - interval '9 days', seen_day = current_date - 9 WHERE user_id < 'u50'").await;
    assert!(log.forget_devices(5, 1_000).await.unwrap() > 10);
    assert_eq!(database.count(ASTRAY).await, 0);
    // No role writes past the functions.
    for role in ["carillon_gateway", "carillon_publisher"] {
        let write = format!("SET ROLE {role}; DELETE FROM carillon.device_channels; RESET ROLE");
        assert!(database.superuser().await.batch_execute(&write).await.is_err(), "{role}");
    }
}

/// So many devices of a tenant that then asks for counts, each in so many channels.
async fn wanting(database: &Database, name: &str, devices: u32, channels: u32) {
    database.publisher.open_tenant(&tenant(name), true).await.unwrap();
    let sql = format!(
        "INSERT INTO carillon.devices SELECT '{name}', 'u' || n, 'd', t.epoch, 0, 0, now(), now(), current_date,
            ARRAY(SELECT 'room:' || c FROM generate_series(1, {channels}) AS c)
            FROM carillon.tenants t, generate_series(1, {devices}) AS n WHERE t.id = '{name}';
         SELECT carillon.want_device_channels('{name}')"
    );
    database.sql(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_devices_have_a_bound_of_rows_and_tenants_take_turns_whatever_holds_one_up() {
    let database = Database::start().await;
    let log = &database.publisher;
    for name in ["acme", "zulu"] {
        wanting(&database, name, 20, 1_000).await;
    }
    // Of a copy of another cluster: nobody here ends whom that waited for.
    database.sql("UPDATE carillon.device_channel_tenants SET waits_for = '{99999/1,99999/2}', turn = now() + interval '9 days'").await;
    // Who stores the first device of the first tenant, and stands still.
    let still = database.superuser().await;
    let first = "UPDATE carillon.devices SET last_seen = now() WHERE tenant_id = 'acme' AND user_id = 'u1'";
    still.batch_execute(&format!("BEGIN; {first}")).await.unwrap();
    let left =
        "SELECT count(*) FROM carillon.device_channel_tenants WHERE tenant_id = 'zulu' AND NOT complete";
    let mut slices = 0;
    while database.count(left).await > 0 {
        let (added, is_waiting) = log.add_device_channels(2_000).await.unwrap();
        assert!(added <= 2 && is_waiting, "two devices are 2,000 rows: {added}");
        slices += 1;
        assert!(slices < 200, "the other tenant waits");
    }
    let rows = "SELECT count(*) FROM carillon.device_channels WHERE tenant_id = ";
    assert_eq!(database.count(&format!("{rows}'zulu'")).await, 20_000);
    assert_eq!(database.count(&format!("{rows}'acme'")).await, 0);
    still.batch_execute("ROLLBACK").await.unwrap();
    let began = Instant::now();
    while log.add_device_channels(2_000).await.unwrap().1 {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(database.count(&format!("{rows}'acme'")).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_by_channel_and_who_stores_devices_never_wait_for_each_other_in_a_circle() {
    let database = Database::start().await;
    let log = &database.publisher;
    log.open_tenant(&tenant("acme"), true).await.unwrap();
    database
        .sql(
            "INSERT INTO carillon.devices SELECT 'acme', u, 'd', t.epoch, 0, 0, now(), now(), current_date, '{room:1}'
                FROM carillon.tenants t, unnest(ARRAY['B', 'a', 'c']) AS u WHERE t.id = 'acme';
             SELECT carillon.want_device_channels('acme')",
        )
        .await;
    // Whoever stores goes by the order of the database's language, where `a` is before `B`.
    let stores = database.superuser().await;
    let touch = |user: &str| {
        format!("UPDATE carillon.devices SET channels = channels || 'room:2'::text WHERE user_id = '{user}'")
    };
    // It is looked at while nobody writes.
    assert_eq!(log.add_device_channels(0).await.unwrap(), (1, true), "one device at least");
    database
        .sql("DELETE FROM carillon.device_channels; UPDATE carillon.device_channel_tenants SET user_id = '', device_id = ''")
        .await;
    stores.batch_execute(&format!("BEGIN; {}", touch("a"))).await.unwrap();
    assert_eq!(log.add_device_channels(100).await.unwrap(), (1, true), "up to the one that is held");
    stores.batch_execute(&format!("{}; COMMIT", touch("B"))).await.unwrap();
    // A slice ends after 25 ms, which may be one device on a busy machine.
    let (mut rest, mut is_waiting) = (0, true);
    while is_waiting {
        let slice = log.add_device_channels(100).await.unwrap();
        (rest, is_waiting) = (rest + slice.0, slice.1);
    }
    assert_eq!(rest, 2);
    assert_eq!(database.count(ASTRAY).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_devices_by_channel_that_was_left_is_set_right_and_a_change_touches_nothing_else() {
    let database = Database::start().await;
    let (log, gateway) = (&database.publisher, database.log(Role::Gateway));
    let epoch = log_of(log, 1).await;
    wanting(&database, "acme", 0, 0).await;
    while log.add_device_channels(100).await.unwrap().1 {}
    database
        .sql("INSERT INTO carillon.device_channels VALUES ('acme', 'room:1', 'mila', 'phone', now() - interval '9 days')")
        .await;
    let rooms =
        |from: u32| (from..from + 1_000).map(|n| format!("room:{n}")).collect::<Vec<_>>().join("\u{1f}");
    for from in [1, 2, 2] {
        let channels = rooms(from);
        let stored = DeviceState { channels: Some(&channels), ..state("mila", &epoch, 1, 1) };
        gateway.store_devices(&[stored]).await.unwrap();
        assert_eq!(database.count(ASTRAY).await, 0, "from {from}");
    }
    let kept = "SELECT count(DISTINCT xmin::text) FROM carillon.device_channels WHERE channel <> 'room:1001'";
    assert_eq!(database.count(kept).await, 1, "one change is one row");
    database.sql("DELETE FROM carillon.devices").await;
    assert_eq!(database.count("SELECT count(*) FROM carillon.device_channels").await, 0);
}
