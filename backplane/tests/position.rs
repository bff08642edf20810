//! Does an application that may see nothing else read the position that belongs to its own rows?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_protocol::Seq;
use database::{Database, append, tenant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::{Client, Config, NoTls};

/// The application's login.
async fn shop(database: &Database) -> Client {
    let mut config: Config = database.url.parse().unwrap();
    let (client, connection) = config.user("shop").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn position(client: &Client, tenant: &str) -> Result<(Option<String>, i64), String> {
    let row = client.query_one("SELECT epoch, seq FROM carillon.position($1)", &[&tenant]).await;
    row.map(|row| (row.get(0), row.get(1)))
        .map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |it| it.message().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_an_application_asks_for_the_tenants_it_was_allowed_and_sees_nothing_else() {
    let database = Database::start().await;
    let log = &database.publisher;
    for name in ["acme", "other"] {
        log.open_tenant(&tenant(name), true).await.unwrap();
        log.append(&[append(name, 0, "1", None), append(name, 1, "2", None)]).await.unwrap();
    }
    database.sql("CREATE ROLE shop LOGIN; CREATE ROLE team NOLOGIN").await;
    let client = shop(&database).await;
    assert!(position(&client, "acme").await.unwrap_err().contains("permission denied"), "not a member");
    database.sql("GRANT carillon_app TO shop").await;
    let refused = position(&client, "acme").await.unwrap_err();
    assert_eq!(refused, "the login shop may not ask for the tenant 'acme'");

    database.sql("SET ROLE carillon_owner; SELECT carillon.allow_app('shop', 'acme'); RESET ROLE").await;
    let epoch = log.open_tenant(&tenant("acme"), false).await.unwrap().unwrap().head.epoch;
    assert_eq!(position(&client, "acme").await, Ok((Some(epoch.as_str().to_owned()), 2)));
    for other in ["other", "acme,other", "*", ""] {
        assert!(position(&client, other).await.unwrap_err().contains("may not ask"), "{other}");
    }
    // Whatever role it takes, it is the login that asks; and what a role may, its members may.
    client.batch_execute("SET ROLE carillon_app").await.unwrap();
    assert!(position(&client, "acme").await.is_ok() && position(&client, "other").await.is_err());
    client.batch_execute("RESET ROLE").await.unwrap();
    database
        .sql(
            "GRANT team TO shop; SET ROLE carillon_owner; SELECT carillon.allow_app('team', '*'); RESET ROLE",
        )
        .await;
    assert_eq!(position(&client, "other").await.unwrap().1, 2);
    assert_eq!(position(&client, "never-used").await, Ok((None, 0)));
    database.sql("SET ROLE carillon_owner; SELECT carillon.forbid_app('team', '*'); RESET ROLE").await;
    assert!(position(&client, "other").await.is_err());

    // Nothing else: no table, no other function, and no scope or maintenance is left behind.
    client
        .batch_execute("BEGIN; SET LOCAL carillon.tenant = 'acme'; SET LOCAL carillon.maintenance = 'on'")
        .await
        .unwrap();
    position(&client, "acme").await.unwrap();
    let left = "SELECT current_setting('carillon.tenant'), current_setting('carillon.maintenance')";
    let left = client.query_one(left, &[]).await.unwrap();
    assert_eq!((left.get::<_, &str>(0), left.get::<_, &str>(1)), ("acme", ""));
    client.batch_execute("ROLLBACK").await.unwrap();
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'carillon'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
        AND (CASE WHEN relkind = 'S' THEN has_sequence_privilege('shop', oid, 'USAGE, SELECT, UPDATE')
            ELSE has_table_privilege('shop', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                OR has_any_column_privilege('shop', oid, 'SELECT, INSERT, UPDATE, REFERENCES') END)";
    assert_eq!(database.count(tables).await, 0);
    let functions = "SELECT proname::text FROM pg_proc WHERE pronamespace = 'carillon'::regnamespace
        AND has_function_privilege('shop', oid, 'EXECUTE')";
    let functions = database.superuser().await.query(functions, &[]).await.unwrap();
    let functions: BTreeSet<String> = functions.iter().map(|row| row.get(0)).collect();
    assert_eq!(functions, ["position", "publish"].map(str::to_owned).into());
    for refused in [
        "SELECT count(*) FROM carillon.events",
        "SELECT carillon.allow_app('shop', '*')",
        "SET ROLE carillon_owner",
        "SET ROLE carillon_gateway",
    ] {
        let error = client.batch_execute(refused).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("permission denied"), "{refused}: {error}");
    }
    let wrong = database.superuser().await;
    for (call, why) in
        [("'nobody', 'acme'", "there is no role"), ("'shop', 'ACME'", "a tenant cannot be called")]
    {
        let error = wrong.batch_execute(&format!("SELECT carillon.allow_app({call})")).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains(why), "{error}");
    }
}

/// Rows are written in the transactions that append their events, as a trigger does it. Whoever joins reads both in one snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn i3_i4_rows_and_position_of_one_snapshot_and_what_comes_after_are_everything_once() {
    let database = Database::start().await;
    let acme = tenant("acme");
    database.publisher.open_tenant(&acme, true).await.unwrap();
    database
        .sql(
            "CREATE ROLE shop LOGIN; GRANT carillon_app TO shop;
            CREATE TABLE public.rows (id text PRIMARY KEY); GRANT SELECT ON public.rows TO shop;
            CREATE FUNCTION public.row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                'BEGIN INSERT INTO public.rows VALUES (new.id); RETURN NULL; END';
            CREATE TRIGGER rows AFTER INSERT ON carillon.events FOR EACH ROW EXECUTE FUNCTION public.row();
            SELECT carillon.allow_app('shop', 'acme')",
        )
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = Vec::new();
    for task in 0..4 {
        let (log, stop) = (database.log(carillon_backplane::log::Role::Publisher), stop.clone());
        load.push(tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let batch: Vec<_> =
                    (0..3).map(|n| append("acme", n, &format!("{task}-{count}-{n}"), None)).collect();
                log.append(&batch).await.unwrap();
                count += 1;
            }
        }));
    }
    let client = shop(&database).await;
    let mut joined = Vec::new();
    for _ in 0..20 {
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        let before = client.query("SELECT id FROM public.rows", &[]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let (epoch, seq) = position(&client, "acme").await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        let rows: Vec<String> = before.iter().map(|row| row.get(0)).collect();
        assert_eq!(rows.len() as i64, seq, "the snapshot's rows are the log's up to its position");
        joined.push((rows, epoch.unwrap(), seq as u64));
    }
    stop.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    let head = database.publisher.open_tenant(&acme, false).await.unwrap().unwrap().head;
    assert!(head.seq.0 > joined.last().unwrap().2, "there was load to the end");
    let everything = database.superuser().await.query("SELECT id FROM public.rows", &[]).await.unwrap();
    let everything: BTreeSet<String> = everything.iter().map(|row| row.get(0)).collect();
    for (rows, epoch, seq) in joined {
        assert_eq!(epoch, head.epoch.as_str());
        let (mut all, mut cursor) = (rows.clone(), Seq(seq));
        while cursor < head.seq {
            for event in database.gateway.read(&acme, cursor, head.seq).await.unwrap().events {
                let id = event.body.trim_start_matches("{\"id\":\"").trim_end_matches("\"}").to_owned();
                all.push(id);
                cursor = event.seq;
            }
        }
        assert_eq!(all.len(), everything.len(), "nothing twice");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), everything, "nothing left out");
    }
}
