//! Is an event that is published in a transaction checked, stored and announced as one that comes over HTTP?

use crate::harness::{Api, Database};
use crate::outbox_cases::cases;
use crate::templates::set_type;
use carillon_backplane::log::Role;
use carillon_platform::config::Tenants as Policy;
use carillon_protocol::envelope::Batch;
use carillon_publisher::health::Health;
use carillon_publisher::limits::Limits;
use carillon_publisher::metrics::Metrics;
use carillon_publisher::outbox::{Listening, Mover, Parts};
use carillon_publisher::tenants::Tenants;
use carillon_publisher::types::Types;
use carillon_publisher::worker::Activation;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

/// A publisher's mover in this process; it ends with this value.
struct Moving {
    stop: CancellationToken,
}

/// What movers have announced: those of all tests share one outbox, and each moves what it finds.
static ANNOUNCED: Mutex<Vec<Batch>> = Mutex::new(Vec::new());

impl Drop for Moving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn moving(database: &Database, policy: Policy) -> Moving {
    let log = database.log(Role::Publisher);
    let stop = CancellationToken::new();
    let health = Health::new(log.clone(), Activation::default(), stop.clone());
    let limits = Limits::new(None, "outbox".into());
    tokio::spawn(limits.clone().follow(log.clone(), health.clone()));
    let types = Arc::new(Types::new(log.clone(), health.clone(), Arc::new(Metrics::new())));
    tokio::spawn(stop.clone().run_until_cancelled_owned(types.clone().follow()));
    let mover = Mover::new(Parts {
        tenants: Tenants::new(log.clone(), health.clone(), policy),
        limits,
        types,
        announce: Arc::new(|batch| ANNOUNCED.lock().unwrap().push(batch)),
        metrics: Arc::new(Metrics::new()),
        health,
        log,
    });
    tokio::spawn(mover.run(Listening::Notify, stop.clone()));
    Moving { stop }
}

/// A login that may publish for these tenants.
async fn shop(database: &Database, login: &str, tenants: &[&str]) -> Client {
    let allow = |tenant: &&str| format!("SELECT carillon.allow_app('{login}', '{tenant}');");
    let allowed: String = tenants.iter().map(allow).collect();
    database.sql(&format!("CREATE ROLE {login} LOGIN IN ROLE carillon_app; {allowed}"));
    let mut config: Config = database.url.parse().unwrap();
    let (client, connection) = config.user(login).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The call with these fields of an event as named arguments.
fn call(tenant: &str, event: &Value) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let argument = |(name, value): (&String, &Value)| match (name.as_str(), value) {
        ("data" | "notify", value) => format!("{name} => {}::jsonb", text(&value.to_string())),
        (_, Value::Array(names)) => {
            let names: Vec<String> =
                names.iter().map(|name| name.as_str().map_or("NULL".into(), text)).collect();
            format!("\"{name}\" => ARRAY[{}]::text[]", names.join(","))
        }
        (_, Value::String(value)) => format!("\"{name}\" => {}", text(value)),
        (_, value) => format!("\"{name}\" => {value}"),
    };
    let arguments: Vec<String> = event.as_object().unwrap().iter().map(argument).collect();
    let type_ = if event.get("type").is_none() { ", type => NULL" } else { "" };
    format!("SELECT carillon.publish(tenant => {}{type_}, {})", text(tenant), arguments.join(", "))
}

type Faults = BTreeSet<(String, String)>;

fn told(faults: &Value) -> Faults {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // How deep it is, is told by the place over HTTP, and by the field in SQL.
    let place = |fault: &Value| match text(&fault["code"]).as_str() {
        "too_deep" => "/data".to_owned(),
        _ => text(&fault["pointer"]),
    };
    faults.as_array().unwrap().iter().map(|fault| (place(fault), text(&fault["code"]))).collect()
}

/// Nothing when it is published.
async fn in_sql(client: &Client, tenant: &str, event: &Value) -> Faults {
    let Err(error) = client.query_one(&call(tenant, event), &[]).await else { return Faults::new() };
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "22023", "{error}");
    told(&serde_json::from_str(error.detail().unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_event_in_a_transaction_is_checked_as_strictly_as_over_http() {
    let api = Api::new().await;
    let client = shop(&api.database, "cases", &["cases-sql"]).await;
    for tenant in ["cases-sql", "cases-http"] {
        let says = json!({"title": "N {{ n }}", "locales": {"de": {"title": "Nr. {{ n }}"}}});
        set_type(&api, tenant, "filled", says).await;
    }
    let _moving = moving(&api.database, Policy::Auto);
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for (name, event) in cases() {
        let mut posted = event.clone();
        posted["tenant"] = json!("cases-http");
        let reply = api.post(posted).await;
        let over_http = if reply.status == 201 { Faults::new() } else { told(&reply.json["errors"]) };
        let in_sql = in_sql(&client, "cases-sql", &event).await;
        assert_eq!(in_sql, over_http, "{name}: SQL on the left, HTTP on the right");
        assert_eq!(reply.status == 201, over_http.is_empty(), "{name}");
        if over_http.is_empty() {
            accepted.push((name, event["id"].as_str().unwrap().to_owned()));
        } else {
            refused += 1;
        }
    }
    assert!(accepted.len() >= 15 && refused >= 25, "{} {refused}", accepted.len());
    let count =
        format!("SELECT count(*) = {} FROM carillon.events WHERE tenant_id = 'cases-sql'", accepted.len());
    until(&api.database, &count).await;
    for (name, id) in accepted {
        let of = |tenant: &str| {
            let fields = "(select row(title, body, action, \"group\", priority, requires_ack, expires_at, data::jsonb, locales) from carillon.notices n where n.tenant_id = e.tenant_id and n.seq = e.seq)::text, channels::text, time::text, type, source, subject, actor, priority, (body::json->'data')::jsonb";
            let sql = format!(
                "SELECT length(body), {fields}, left(body, 200) FROM carillon.events e WHERE tenant_id = '{tenant}' AND id = '{id}'"
            );
            api.database.sql(&sql)
        };
        let (over_http, in_sql) = (of("cases-http"), of("cases-sql"));
        assert!(!in_sql.is_empty(), "{name}");
        let without_data = |row: &str| row.split("\"data\":").next().unwrap_or_default().to_owned();
        assert_eq!(without_data(&in_sql), without_data(&over_http), "{name}");
    }
}

/// Waits until a query answers `t`.
async fn until(database: &Database, query: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while database.sql(query) != "t" {
        assert!(Instant::now() < deadline, "never true: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_event_comes_with_its_transaction_or_not_at_all() {
    let api = Api::new().await;
    let mut client = shop(&api.database, "tx", &["tx-a", "tx-b"]).await;
    let _moving = moving(&api.database, Policy::Auto);
    api.database.sql("CREATE TABLE public.orders (n int PRIMARY KEY); GRANT INSERT ON public.orders TO tx");
    for n in 0..20_i32 {
        let transaction = client.transaction().await.unwrap();
        transaction.execute("INSERT INTO public.orders VALUES ($1)", &[&n]).await.unwrap();
        let sql = "SELECT carillon.publish($1, 'order.placed', ARRAY['order:' || $2::int], jsonb_build_object('n', $2::int))";
        let of = if n % 2 == 0 { "tx-a" } else { "tx-b" };
        let first: i64 = transaction.query_one(sql, &[&of, &n]).await.unwrap().get(0);
        let second: i64 = transaction.query_one(sql, &[&of, &n]).await.unwrap().get(0);
        assert!(second > first);
        if n % 3 == 0 {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
        }
    }
    let expected = "(SELECT array_agg(n ORDER BY n) FROM public.orders)";
    let arrived =
        "(SELECT array_agg(DISTINCT (body::json->'data'->>'n')::int ORDER BY (body::json->'data'->>'n')::int)
        FROM carillon.events WHERE tenant_id IN ('tx-a', 'tx-b'))";
    until(&api.database, &format!("SELECT coalesce({expected} = {arrived}, false)")).await;
    let twice = "SELECT count(*) FROM carillon.events WHERE tenant_id IN ('tx-a', 'tx-b')";
    until(&api.database, &format!("SELECT ({twice}) >= 26")).await;
    until(&api.database, "SELECT count(*) = 0 FROM carillon.outbox WHERE tenant_id LIKE 'tx-%'").await;
    assert_eq!(api.database.sql(twice), "26", "13 transactions of two events each");
    assert_eq!(api.database.sql("SELECT count(*) FROM carillon.outbox WHERE tenant_id LIKE 'tx-%'"), "0");
    let deadline = Instant::now() + Duration::from_secs(10);
    let announced = || -> usize {
        let all = ANNOUNCED.lock().unwrap();
        all.iter()
            .filter(|batch| batch.tenant.as_str().starts_with("tx-"))
            .map(|batch| batch.events.len())
            .sum()
    };
    while announced() < 26 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_an_application_names_no_tenant_it_was_not_given_and_reads_nothing() {
    let api = Api::new().await;
    let client = shop(&api.database, "narrow", &["narrow-a"]).await;
    let event = json!({"type": "t", "channels": ["c"]});
    assert!(in_sql(&client, "narrow-a", &event).await.is_empty());
    for other in ["narrow-b", "*", "", "narrow-a,narrow-b"] {
        let error = client.query_one(&call(other, &event), &[]).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{other}: {error}");
    }
    for refused in [
        "SELECT count(*) FROM carillon.outbox",
        "INSERT INTO carillon.outbox (tenant_id, at, type, source, channels) VALUES ('narrow-b', now(), 't', 's', '{c}')",
        "DELETE FROM carillon.outbox",
        "SELECT count(*) FROM carillon.outbox_parked",
        "SELECT * FROM carillon.claim_outbox(0, true, '', '{}', 1, 1)",
        "SELECT carillon.finish_outbox('{1}', '{}', '{}', '{}')",
        "SELECT carillon.release_parked(NULL, true)",
        "SELECT nextval('carillon.outbox_id_seq')",
    ] {
        // Also with everything set that a function of the owner sets.
        let all = format!("SET carillon.maintenance = 'on'; SET carillon.tenant = 'narrow-b'; {refused}");
        let error = client.batch_execute(&all).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("permission denied"), "{refused}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_delays_nobody_and_a_flood_of_one_tenant_no_other() {
    let database = Database::own().await;
    let flood = shop(&database, "flood", &["*"]).await;
    let open = shop(&database, "idle", &["*"]).await;
    open.batch_execute("BEGIN; SELECT carillon.publish('flood', 'open', ARRAY['c']); SELECT carillon.publish('quiet', 'open', ARRAY['c'])")
        .await
        .unwrap();
    flood
        .batch_execute("SELECT carillon.publish('flood', 't', ARRAY['c'], to_jsonb(n)) FROM generate_series(1, 20000) AS n")
        .await
        .unwrap();
    let _moving = moving(&database, Policy::Auto);
    until(&database, "SELECT count(*) > 0 FROM carillon.events WHERE tenant_id = 'flood'").await;
    let quiet = shop(&database, "quiet", &["quiet"]).await;
    let mut worst = Duration::ZERO;
    for n in 1..=5 {
        let began = Instant::now();
        quiet.batch_execute("SELECT carillon.publish('quiet', 't', ARRAY['c'])").await.unwrap();
        until(&database, &format!("SELECT count(*) = {n} FROM carillon.events WHERE tenant_id = 'quiet'"))
            .await;
        worst = worst.max(began.elapsed());
    }
    assert_eq!(
        database.sql("SELECT count(*) > 0 FROM carillon.outbox WHERE tenant_id = 'flood'"),
        "t",
        "the flood is still on"
    );
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    until(&database, "SELECT count(*) = 20000 FROM carillon.events WHERE tenant_id = 'flood'").await;
    let ordered = "SELECT bool_and(n = seq) FROM (SELECT seq, (body::json->>'data')::int AS n FROM carillon.events WHERE tenant_id = 'flood') AS e";
    assert_eq!(database.sql(ordered), "t", "in the order of the transaction");
    open.batch_execute("COMMIT").await.unwrap();
    until(&database, "SELECT count(*) = 2 FROM carillon.events WHERE type = 'open'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_appended_is_parked_and_goes_on_when_somebody_says_so() {
    let database = Database::own().await;
    let client = shop(&database, "parking", &["*"]).await;
    database.sql("SELECT carillon.open_tenant('known', true)");
    let publish = |tenant: &str, id: &str, n: u32| {
        call(tenant, &json!({"type": "t", "channels": ["c"], "id": id, "data": n}))
    };
    client.batch_execute(&publish("known", "a", 1)).await.unwrap();
    client.batch_execute(&publish("known", "a", 1)).await.unwrap();
    client.batch_execute(&publish("known", "a", 2)).await.unwrap();
    client.batch_execute(&publish("unknown", "b", 1)).await.unwrap();
    client.batch_execute(&publish("known", "c", 1)).await.unwrap();
    let _moving = moving(&database, Policy::Registered);
    until(&database, "SELECT count(*) = 0 FROM carillon.outbox").await;
    assert_eq!(database.sql("SELECT string_agg(id, ',' ORDER BY seq) FROM carillon.events"), "a,c");
    let owner = database.log(Role::Owner);
    let parked = owner.parked(0, 100).await.unwrap();
    let reasons: Vec<_> = parked.iter().map(|event| (event.tenant.as_str(), event.reason.as_str())).collect();
    assert_eq!(reasons, [("known", "idempotency_mismatch"), ("unknown", "unknown_tenant")]);
    let state = database.log(Role::Publisher).outbox_state(None).await.unwrap();
    assert_eq!((state.waiting, state.parked), (0, 2));
    database.sql("SELECT carillon.open_tenant('unknown', true)");
    assert_eq!(owner.release_parked(Some(&[parked[1].id]), true).await, Ok(1));
    until(&database, "SELECT count(*) = 1 FROM carillon.events WHERE tenant_id = 'unknown'").await;
    assert_eq!(owner.release_parked(Some(&[parked[0].id]), false).await, Ok(1));
    assert_eq!(database.sql("SELECT count(*) FROM carillon.outbox_parked"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_parked_and_holds_up_no_other() {
    let database = Database::own().await;
    database.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF new.type = ''bad'' THEN RAISE EXCEPTION ''this one not''; END IF; RETURN new; END';
         CREATE TRIGGER refuse BEFORE INSERT ON carillon.events FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    );
    let client = shop(&database, "bad", &["*"]).await;
    let all = "SELECT carillon.publish('t' || n % 3, CASE WHEN n IN (7, 30) THEN 'bad' ELSE 'good' END, ARRAY['c']) FROM generate_series(1, 60) AS n";
    client.batch_execute(all).await.unwrap();
    let _moving = moving(&database, Policy::Auto);
    // A tenant whose turn comes first never stops publishing meanwhile.
    let busy = tokio::spawn(async move {
        loop {
            client.batch_execute("SELECT carillon.publish('a', 'busy', ARRAY['c'])").await.unwrap();
        }
    });
    let left = "SELECT count(*) = 0 FROM carillon.outbox WHERE tenant_id <> 'a'";
    until(&database, left).await;
    busy.abort();
    assert_eq!(database.sql("SELECT count(*) FROM carillon.events WHERE type = 'good'"), "58");
    assert_eq!(
        database.sql("SELECT count(*) FROM carillon.outbox_parked WHERE reason = 'refused' AND type = 'bad'"),
        "2"
    );
}

/// What was left behind, because the tenant was over its rate or its row was locked, goes before what came later.
#[tokio::test(flavor = "multi_thread")]
async fn i2_new_events_of_a_tenant_wait_while_older_ones_are_left() {
    let database = Database::own().await;
    let client = shop(&database, "left", &["*"]).await;
    let publish = async |tenant: &str, count: u32| {
        let sql =
            format!("SELECT carillon.publish('{tenant}', 't', ARRAY['c']) FROM generate_series(1, {count})");
        client.batch_execute(&sql).await.unwrap();
    };
    publish("left", 3).await;
    let lowest = database.sql("SELECT max(id) FROM carillon.outbox");
    publish("left", 1).await;
    publish("other", 1).await;
    let claimed = |whole: bool| {
        database.sql(&format!(
            "SELECT string_agg(tenant, ',' ORDER BY id) FROM carillon.claim_outbox({lowest}, {whole}, '', '{{}}', 500, 800000)"
        ))
    };
    assert_eq!(claimed(false), "other");
    assert_eq!(claimed(true), "left,left,left,left,other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_rate_waits_alone_and_loses_nothing() {
    let database = Database::own().await;
    database.sql("SELECT carillon.open_tenant('slow', true)");
    let client = shop(&database, "rates", &["*"]).await;
    let log = database.log(Role::Publisher);
    let slow = carillon_protocol::TenantId::new("slow").unwrap();
    assert!(log.set_limits(&slow, Some("{\"events_per_second\": 20}")).await.unwrap());
    let _moving = moving(&database, Policy::Auto);
    // The limit is read once a second, later on a busy machine: before that all are moved at once.
    let mut tries = Vec::new();
    for number in 1..=10 {
        let began = Instant::now();
        for tenant in ["slow", "quick"] {
            let publish =
                format!("SELECT carillon.publish('{tenant}', 't', ARRAY['c']) FROM generate_series(1, 60)");
            client.batch_execute(&publish).await.unwrap();
        }
        let moved = async |tenant: &str| {
            let all = number * 60;
            let sql = format!("SELECT count(*) = {all} FROM carillon.events WHERE tenant_id = '{tenant}'");
            until(&database, &sql).await;
            began.elapsed()
        };
        let (quick, all) = (moved("quick").await, moved("slow").await);
        tries.push((quick, all));
        if all > Duration::from_millis(1_500) && quick < all {
            break;
        }
    }
    let (quick, all) = tries.last().unwrap();
    assert!(*all > Duration::from_millis(1_500) && quick < all, "{tries:?}");
    assert_eq!(database.sql("SELECT count(*) FROM carillon.outbox_parked"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifying_can_be_left_out_and_a_two_phase_transaction_publishes_then() {
    let database = Database::own().await;
    database.sql("ALTER SYSTEM SET max_prepared_transactions = 5");
    database.restart().await;
    let client = shop(&database, "twophase", &["*"]).await;
    let prepare = "BEGIN; SELECT carillon.publish('two', 't', ARRAY['c']); PREPARE TRANSACTION 'x'";
    let error = client.batch_execute(prepare).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().code().code(), "0A000", "{error}");
    client.batch_execute("ROLLBACK; SET carillon.outbox_notify = off").await.unwrap();
    client.batch_execute(prepare).await.unwrap();
    let _moving = moving(&database, Policy::Auto);
    client.batch_execute("COMMIT PREPARED 'x'").await.unwrap();
    until(&database, "SELECT count(*) = 1 FROM carillon.events WHERE tenant_id = 'two'").await;
}

/// A schema and templates cannot be tried in SQL: who breaks them is told by health and by name, and delays nobody.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_events_type_says_holds_for_events_of_transactions_and_what_breaks_it_is_parked_by_name() {
    // Movers of other tests may hear of a type a second later.
    let api = Api::with(Database::own().await, Policy::Auto).await;
    let tenant = "outbox-types";
    let client = shop(&api.database, "typed", &[tenant]).await;
    let says = json!({"title": "{{ id }} was paid", "priority": "high",
        "schema": {"type": "object", "required": ["id"], "properties": {"total": {"type": "number"}}}});
    set_type(&api, tenant, "order.paid", says).await;
    let publish = async |id: &str, data: Value, notify: Value| {
        let event =
            json!({"type": "order.paid", "tenant_wide": true, "id": id, "data": data, "notify": notify});
        assert_eq!(in_sql(&client, tenant, &event).await, Faults::new());
    };
    set_type(&api, tenant, "order.sent", json!({"title": "by {{ shop.name }}"})).await;
    publish("whole", json!({"id": "o-1", "total": 1}), json!({})).await;
    publish("broken", json!({"id": "o-2", "total": "1"}), Value::Null).await;
    publish("missing", json!({"id": "o-3"}), json!({"template": "order.sent"})).await;
    publish("after", json!({"id": "o-4"}), json!({"title": "written out"})).await;
    // Who names nobody: the type's audience, which another type does not have.
    set_type(&api, tenant, "order.late", json!({"title": "late", "audience": {"roles": ["clerk"]}})).await;
    let nobody = |kind: &str| json!({"type": kind, "id": "late", "notify": {}});
    let required = Faults::from([(String::new(), "target_required".to_owned())]);
    assert_eq!(in_sql(&client, tenant, &nobody("order.sent")).await, required);
    assert_eq!(in_sql(&client, tenant, &json!({"type": "order.late", "id": "late"})).await, required);
    assert_eq!(in_sql(&client, tenant, &nobody("order.late")).await, Faults::new());
    let _moving = moving(&api.database, Policy::Auto);
    let parked = format!("SELECT count(*) = 2 FROM carillon.outbox_parked WHERE tenant_id = '{tenant}'");
    until(&api.database, &parked).await;
    until(&api.database, &format!("SELECT count(*) = 3 FROM carillon.events WHERE tenant_id = '{tenant}'"))
        .await;
    let late = format!(
        "SELECT channels = ARRAY['role:clerk'] FROM carillon.events WHERE tenant_id = '{tenant}' AND id = 'late'"
    );
    assert_eq!(api.database.sql(&late), "t");
    let stored = format!(
        "SELECT id || ' ' || priority || ' ' || (SELECT title || ' ' || n.priority FROM carillon.notices n WHERE n.tenant_id = e.tenant_id AND n.seq = e.seq) FROM carillon.events e WHERE tenant_id = '{tenant}' AND id <> 'late' ORDER BY seq"
    );
    assert_eq!(api.database.sql(&stored), "whole high o-1 was paid high\nafter high written out high");
    let why = format!(
        "SELECT event_id || ' ' || reason || ' ' || left(detail, 30) FROM carillon.outbox_parked WHERE tenant_id = '{tenant}' ORDER BY id"
    );
    let why = api.database.sql(&why);
    let lines: Vec<&str> = why.lines().collect();
    assert!(
        lines[0].starts_with("broken schema /data/total: ")
            && lines[1].starts_with("missing template /data/shop"),
        "{why}"
    );
    // When its type lets it, it goes.
    set_type(&api, tenant, "order.paid", json!({"title": "x"})).await;
    let log = api.database.log(Role::Owner);
    let list = format!("SELECT id FROM carillon.outbox_parked WHERE tenant_id = '{tenant}' ORDER BY id");
    let ids = || api.database.sql(&list).lines().map(|id| id.parse().unwrap()).collect::<Vec<i64>>();
    let there = format!("SELECT count(*) = 4 FROM carillon.events WHERE tenant_id = '{tenant}'");
    let deadline = Instant::now() + Duration::from_secs(20);
    // Publishers hear of another type within two seconds; what is tried before that is parked again.
    while api.database.sql(&there) != "t" {
        assert!(Instant::now() < deadline, "never moved");
        log.release_parked(Some(&ids()), true).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    until(&api.database, &parked.replace("= 2", "= 1")).await;
    assert_eq!(log.release_parked(Some(&ids()), false).await.unwrap(), 1);
}
