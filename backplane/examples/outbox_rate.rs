//! How many events a second do publishers move out of applications' transactions into the log?
//!
//! Applications commit transactions of a hundred `carillon.publish` each as fast as the database takes them, while the publishers that
//! run there move what is committed. The rate counts from the first commit until the last event is in the log.
//! `outbox_rate <superuser's database url> <events> <applications>` prints one JSON object.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};
use tokio_postgres::{Client, NoTls};

type Fault = Box<dyn Error + Send + Sync>;

/// Events of a transaction.
const EACH: u64 = 100;
/// Longest wait until everything is in the log.
const MOVED: Duration = Duration::from_secs(300);
const PUBLISH: &str = "
SELECT count(carillon.publish($1, 'order.paid', ARRAY['tenant'], jsonb_build_object('n', n, 'pad', repeat('x', 90))))
FROM generate_series(1, $2::bigint) AS n";

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, events, writers] = args.as_slice() else {
        return Err("an address, events and applications are wanted".into());
    };
    let (events, writers): (u64, u64) = (events.parse()?, writers.parse()?);
    if events < EACH || writers == 0 {
        return Err("too few events or applications".into());
    }
    let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
    let tenant = format!("outbox-{run:x}");
    let client = connect(url).await?;
    client.query("SELECT carillon.allow_app(session_user, $1)", &[&tenant]).await?;
    let transactions = events.div_ceil(EACH);
    let events = transactions * EACH;
    let began = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (url, tenant) = (url.clone(), tenant.clone());
        let own = transactions / writers + u64::from(writer < transactions % writers);
        tasks.push(tokio::spawn(async move {
            let client = connect(&url).await?;
            let publish = client.prepare(PUBLISH).await?;
            for _ in 0..own {
                client.query_one(&publish, &[&tenant, &(EACH as i64)]).await?;
            }
            Ok::<_, Fault>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let committed = began.elapsed();
    let moved = until_moved(&client, &tenant, events).await.map(|()| began.elapsed())?;
    let each_second = |time: Duration| events as f64 / time.as_secs_f64();
    Ok(writeln!(
        std::io::stdout(),
        r#"{{"events":{events},"committed_per_second":{:.0},"moved_per_second":{:.0},"moved_after_ms":{:.0}}}"#,
        each_second(committed),
        each_second(moved),
        (moved - committed).as_secs_f64() * 1_000.0
    )?)
}

async fn connect(url: &str) -> Result<Client, Fault> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Waits until every event is in the log, once.
async fn until_moved(client: &Client, tenant: &str, events: u64) -> Result<(), Fault> {
    let began = Instant::now();
    let head = client.prepare("SELECT coalesce(max(head), 0) FROM carillon.tenants WHERE id = $1").await?;
    loop {
        let head: i64 = client.query_one(&head, &[&tenant]).await?.get(0);
        if head as u64 >= events {
            let count = "SELECT count(*) FROM carillon.events WHERE tenant_id = $1";
            let stored: i64 = client.query_one(count, &[&tenant]).await?.get(0);
            return if stored as u64 == events {
                Ok(())
            } else {
                Err(format!("{stored} events are in the log, {events} were committed").into())
            };
        }
        if began.elapsed() > MOVED {
            return Err(format!("{head} of {events} events are in the log").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
