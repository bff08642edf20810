//! How many events a second does the append statement alone take?
//!
//! The floor for the publisher's figures: the same statement through the same driver, without HTTP, JSON and Redis.
//!
//! `cargo run --release -p carillon-backplane --example append_floor -- <database url> [batch] [writers] [tenants] [seconds]`

use carillon_backplane::log::{Append, Log, LogConfig, Role, migrate};
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Channel, EventId, TenantId};
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("the database URL is missing")?;
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let (batch, writers, tenants, seconds) = (number(100)?, number(2)?, number(1)?, number(5)?);
    migrate(&url).await?;
    let log = Log::connect(LogConfig { url, role: Role::Publisher, pool_size: writers as usize })?;
    let names: Vec<TenantId> =
        (0..tenants).map(|n| TenantId::new(format!("floor-{n}"))).collect::<Result<_, _>>()?;
    for tenant in &names {
        log.open_tenant(tenant, true).await?;
    }
    let stored = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (log, stored) = (log.clone(), stored.clone());
            // Each writer has tenants of its own, as the publisher's batchers do.
            let own: Vec<TenantId> = names
                .iter()
                .enumerate()
                .filter(|(n, _)| tenants < writers || *n as u64 % writers == writer)
                .map(|(_, tenant)| tenant.clone())
                .collect();
            tokio::spawn(async move {
                let mut round = 0u64;
                while began.elapsed() < Duration::from_secs(seconds) {
                    let events: Vec<Append> = (0..batch)
                        .map(|n| {
                            append(&own[(n % own.len() as u64) as usize], n, &format!("{writer}-{round}-{n}"))
                        })
                        .collect();
                    log.append(&events).await.map_err(|error| error.to_string())?;
                    stored.fetch_add(batch, Ordering::Relaxed);
                    round += 1;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let rate = stored.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{rate:.0} events/s (batch {batch}, {writers} writers, {tenants} tenants)")?;
    Ok(())
}

/// An event of the size the load test publishes: about 200 bytes of JSON.
fn append(tenant: &TenantId, request: u64, id: &str) -> Append {
    let body = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"api\",\"type\":\"order.created\",\
         \"time\":\"2026-11-21T10:00:00Z\",\"data\":{{\"pad\":\"{}\"}}}}",
        "x".repeat(90)
    );
    Append {
        tenant: tenant.clone(),
        request: request as u32,
        event: NewEvent {
            id: EventId::new(id).unwrap_or_else(|error| panic!("{error}")),
            kind: "order.created".into(),
            source: "api".into(),
            subject: None,
            actor: None,
            priority: None,
            channels: vec![Channel::tenant()],
            time: "2026-11-21T10:00:00Z".into(),
            body,
            traceparent: None,
        },
        key: None,
    }
}
