//! How long does the first page of a rare channel take in a long log, without the channel index and with it?
//!
//! Fills a tenant's log in bulk, spread over thirty days, in steps of these sizes; each time it measures, lets a projector read what is
//! new, and measures again. Channels with 0, 1, 10 and 1,000 events, and one that has nearly all; a page of 50, newest
//! first, as a list and a history ask for it. The median and the worst of twenty.
//!
//! `cargo run --release -p carillon-backplane --example rare_channel -- <database url, superuser> [1000000,3000000,10000000]`

use carillon_backplane::log::{
    ChannelIndex, EventFilter, Log, LogConfig, News, Order, Reader, Role, Turn, migrate,
};
use carillon_protocol::{Channel, Seq, TenantId};
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

type Fault = Box<dyn Error>;

const DAYS: &str = "
DO $$ DECLARE d date; part text; BEGIN
    FOR d IN SELECT current_date - n FROM generate_series(2, 30) AS n LOOP
        part := 'events_' || to_char(d, 'YYYYMMDD');
        IF to_regclass('carillon.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE carillon.%I (LIKE carillon.events INCLUDING ALL)', part);
            EXECUTE format('ALTER TABLE carillon.%I OWNER TO carillon_owner', part);
            EXECUTE format('ALTER TABLE carillon.events ATTACH PARTITION carillon.%I FOR VALUES FROM (%L) TO (%L)',
                part, d::timestamptz, (d + 1)::timestamptz);
        END IF;
    END LOOP;
END $$";
const CHANNELS: [&str; 5] = ["rare:0", "rare:1", "rare:10", "rare:1000", "tenant"];
const ROUNDS: usize = 20;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("the database URL is missing")?;
    let sizes = args.next().unwrap_or_else(|| "1000000,3000000,10000000".into());
    let sizes: Vec<u64> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    migrate(&url).await?;
    let (superuser, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    superuser.batch_execute(DAYS).await?;
    let log = Log::connect(LogConfig { url: url.clone(), role: Role::Publisher })?;
    let mut filled = 0;
    for size in sizes {
        let tenant = TenantId::new(format!("long-{size}"))?;
        log.open_tenant(&tenant, true).await?;
        superuser.batch_execute(&fill(&tenant, size)).await?;
        superuser.batch_execute("VACUUM ANALYZE carillon.events").await?;
        filled += size;
        let mut out = std::io::stdout().lock();
        for channel in CHANNELS {
            writeln!(
                out,
                "{size} events, walked:  {channel:10} {}",
                measure(&log, &tenant, channel, size).await?
            )?;
        }
        let began = Instant::now();
        read_all(&log).await?;
        let rate = size as f64 / began.elapsed().as_secs_f64();
        superuser.batch_execute("VACUUM ANALYZE carillon.channel_index").await?;
        writeln!(
            out,
            "{size} events read by one projector at {rate:.0} a second ({filled} in the database)"
        )?;
        for channel in CHANNELS {
            writeln!(
                out,
                "{size} events, indexed: {channel:10} {}",
                measure(&log, &tenant, channel, size).await?
            )?;
        }
    }
    Ok(())
}

/// Rare events are spread evenly over the whole log; the others go to everybody and one of 5,000 people.
fn fill(tenant: &TenantId, size: u64) -> String {
    format!(
        "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
        SELECT '{tenant}', n, current_date - 29 + n * (interval '29 days' / {size}), 'e' || n, 'order.created', 'api',
            CASE WHEN n % ({size} / 1000) = 9 THEN ARRAY['rare:1000'] WHEN n % ({size} / 10) = 7 THEN ARRAY['rare:10']
                WHEN n = 5 THEN ARRAY['rare:1'] ELSE ARRAY['tenant', 'user:' || n % 5000] END,
            now(), '{{\"id\":\"e' || n || '\",\"data\":\"' || repeat('x', 180) || '\"}}'
        FROM generate_series(1, {size}) AS n;
        UPDATE carillon.tenants SET head = {size} WHERE id = '{tenant}'"
    )
}

async fn measure(log: &Log, tenant: &TenantId, channel: &str, head: u64) -> Result<String, Fault> {
    let mut times = Vec::new();
    let mut found = 0;
    // The first one makes the connection's plans.
    for _ in 0..=ROUNDS {
        let began = Instant::now();
        let filter = EventFilter::channels(&[Channel::new(channel)?]);
        let mut search = log.search(tenant, filter, (Seq::ZERO, Seq(head)), Order::Descending).await?;
        found = 0;
        while found < 50 && !search.is_done() {
            found += log.search_on(&mut search, 50 - found, usize::MAX).await?.len();
        }
        times.push(began.elapsed());
        if times.iter().sum::<Duration>() > Duration::from_secs(60) {
            break;
        }
    }
    if times.len() > 1 {
        times.remove(0);
    }
    times.sort_unstable();
    let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("{found:2} found, median {middle:.1?}, worst {worst:.1?}"))
}

async fn read_all(log: &Log) -> Result<(), Fault> {
    let (name, worker) = (ChannelIndex.name(), "example");
    loop {
        ChannelIndex.maintain(log).await?;
        let slots = log.lease_slots(name, worker).await?;
        let news = log.projector_news(name, &slots, None, 100).await?;
        if news.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        for News { tenant, slot, .. } in news {
            let Some(slot) = slots.iter().find(|held| held.number == slot).copied() else { continue };
            while began.elapsed() < Duration::from_secs(3) {
                let turn = Turn { tenant: &tenant, slot, worker };
                let progress = log.project(&ChannelIndex, turn).await?;
                if matches!(progress, carillon_backplane::log::Progress::Read { behind: 0, .. }) {
                    break;
                }
            }
        }
    }
}
