//! How many megabytes of lines a second go into the archive?
//!
//! A day of four tenants is stored as if it were forty days old, then copied into a directory and read back as publishers do it, until the
//! day is said to be archived. Beside it, what the log's pages alone are read with: no lines, no compression, nothing written.
//! `archive_rate <superuser's database url> <directory> <MiB>` prints one JSON object. The publishers that run there have no archive; they
//! drop the day's partition afterwards.

use carillon_backplane::log::{Log, LogConfig, Role};
use carillon_protocol::{Seq, TenantId};
use carillon_publisher::archive::{ArchiveUrl, Archiver, Place, Step};
use jiff::civil::Date;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

type Fault = Box<dyn Error + Send + Sync>;

const TENANTS: u64 = 4;
/// As publishers are set up that say nothing else.
const KEEP_DAYS: u32 = 30;
const DAYS_AGO: i64 = 40;
/// About what an event of this day has as a line.
const LINE: u64 = 1_024;
/// Rows of a page, and the bytes after which it ends.
const PAGE: (u32, u32) = (1_000, 4 << 20);
const STORE: &str = r#"
SET timezone = 'UTC'; SET statement_timeout = 0;
BEGIN;
DO $$ DECLARE day date := current_date - DAYS; BEGIN
    EXECUTE format('CREATE TABLE carillon.events_%s PARTITION OF carillon.events FOR VALUES FROM (%L) TO (%L)',
        to_char(day, 'YYYYMMDD'), day::timestamptz, (day + 1)::timestamptz);
END $$;
INSERT INTO carillon.tenants (id, epoch, head) SELECT 'archive-bench-' || n, 'bench', EVENTS FROM generate_series(1, TENANTS) AS n;
INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
SELECT 'archive-bench-' || t, n, (current_date - DAYS)::timestamptz + n * interval '1 ms', 'e' || n, 'order.paid', '/shop', ARRAY['tenant', 'order:' || n % 1000],
    now(), json_build_object('specversion', '1.0', 'id', 'e' || n, 'type', 'order.paid', 'source', '/shop', 'data', json_build_object(
        'order', n, 'note', (SELECT string_agg(md5(n::text || k), ' ') FROM generate_series(1, 22) AS k)))::text
FROM generate_series(1, TENANTS) AS t, generate_series(1, EVENTS) AS n;
COMMIT;
ANALYZE carillon.events;"#;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, directory, mebibytes] = args.as_slice() else {
        return Err("an address, a directory and MiB are wanted".into());
    };
    let events = mebibytes.parse::<u64>()? * 1_048_576 / LINE / TENANTS;
    let log = Log::connect(LogConfig { url: url.clone(), role: Role::Publisher })?;
    std::fs::create_dir_all(directory)?;
    let directory = std::fs::canonicalize(directory)?;
    let place = ArchiveUrl::read(&format!("file://{}", directory.display())).ok_or("that is no directory")?;
    let archiver = Archiver::new(log.clone(), place.clone());
    // First of all: nothing is dropped that is not in it.
    log.announce_archive(KEEP_DAYS, &archiver.place()).await?;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let sql = STORE.replace("DAYS", &DAYS_AGO.to_string()).replace("TENANTS", &TENANTS.to_string());
    client.batch_execute(&sql.replace("EVENTS", &events.to_string())).await?;

    let began = Instant::now();
    let day = loop {
        let next = log.announce_archive(KEEP_DAYS, &archiver.place()).await?;
        match archiver.step(&next).await? {
            Step::Archived { day, .. } => break day,
            Step::More(_) => {}
            Step::Nothing => return Err("nothing is due".into()),
        }
    };
    let archived = began.elapsed();
    let manifest = Place::open(&place)?.manifest(day).await?.ok_or("there is no manifest")?;
    let bytes: u64 = manifest.tenants.iter().map(|entry| entry.bytes).sum();
    let stored: u64 = manifest.tenants.iter().map(|entry| entry.stored_bytes).sum();
    if manifest.events != events * TENANTS {
        return Err(
            format!("{} events are archived, {} were stored", manifest.events, events * TENANTS).into()
        );
    }
    let read = read_alone(&log, day).await?;
    // What runs there has no archive; this process is the only one that said there is.
    client
        .batch_execute(
            "UPDATE carillon.archive SET said_at = now() - interval '1 hour'; SELECT carillon.archive_off()",
        )
        .await?;
    let each_second = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    Ok(writeln!(
        std::io::stdout(),
        r#"{{"events":{},"megabytes":{:.1},"stored_megabytes":{:.1},"megabytes_per_second":{:.1},"read_megabytes_per_second":{:.1}}}"#,
        manifest.events,
        bytes as f64 / 1e6,
        stored as f64 / 1e6,
        each_second(archived),
        each_second(read)
    )?)
}

/// Reads the day as it is read for the archive, all tenants at a time, and does nothing with it.
async fn read_alone(log: &Log, day: Date) -> Result<Duration, Fault> {
    let began = Instant::now();
    let mut tasks = Vec::new();
    for number in 1..=TENANTS {
        let (log, tenant) = (log.clone(), TenantId::new(format!("archive-bench-{number}"))?);
        tasks.push(tokio::spawn(async move {
            let mut after = Seq::ZERO;
            while let Some(last) = log.read_day(&tenant, day, after, PAGE).await?.last() {
                after = last.seq;
            }
            Ok::<_, Fault>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed())
}
