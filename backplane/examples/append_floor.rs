//! How many events a second does the append statement alone take, and how much CPU does each cost?
//!
//! The floor for the publisher's figures: the same statement through the same driver, without HTTP, JSON and Redis.
//! Each number may be a list with commas; then every combination runs for `seconds`, and the best is printed first.
//! A Postgres on this machine is watched, too: the CPU time of the processes that serve us, divided by the events.
//!
//! `cargo run --release -p carillon-backplane --example append_floor -- <database url> [batches] [writers] [tenants] [seconds] [unkeyed|keyed]`

use carillon_backplane::log::{Append, IdempotencyKey, Log, LogConfig, LogError, Role, migrate};
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Channel, EventId, TenantId};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

type Fault = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("the database URL is missing")?;
    let mut list = |default: &str| numbers(&args.next().unwrap_or_else(|| default.into()));
    let (batches, writers, tenants, seconds) = (list("100")?, list("2")?, list("1")?, list("5")?);
    let keyed = match args.next().as_deref() {
        None | Some("unkeyed") => false,
        Some("keyed") => true,
        Some(other) => return Err(format!("{other:?} is neither keyed nor unkeyed").into()),
    };
    let [seconds] = seconds[..] else { return Err("one number of seconds is wanted".into()) };
    migrate(&url).await?;
    let mut results = Vec::new();
    for &batch in &batches {
        for &writers in &writers {
            for &tenants in &tenants {
                let shape = Shape { batch, writers, tenants, keyed };
                results.push(shape.measure(&url, Duration::from_secs(seconds)).await?);
            }
        }
    }
    results.sort_by(|one, other| other.rate.total_cmp(&one.rate));
    let mut out = std::io::stdout().lock();
    Ok(results.iter().try_for_each(|result| writeln!(out, "{result}"))?)
}

fn numbers(text: &str) -> Result<Vec<u64>, Fault> {
    let all: Vec<u64> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    if all.contains(&0) { Err("zero of something cannot be measured".into()) } else { Ok(all) }
}

/// What one measurement does.
#[derive(Clone, Copy)]
struct Shape {
    /// Events in a statement.
    batch: u64,
    /// Statements at the same time.
    writers: u64,
    /// Tenants that the events belong to in turn.
    tenants: u64,
    /// Whether each event has an idempotency key, as events have whose publisher names them.
    keyed: bool,
}

/// What came out.
struct Measured {
    shape: Shape,
    /// Events a second.
    rate: f64,
    /// CPU microseconds of Postgres for each event, if it runs here.
    postgres: Option<f64>,
    /// CPU microseconds of this process for each event: making it up, and the driver.
    driver: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { batch, writers, tenants, keyed } = self.shape;
        let keyed = if keyed { ", keyed" } else { "" };
        write!(f, "{:.0} events/s (batch {batch}, {writers} writers, {tenants} tenants{keyed})", self.rate)?;
        match self.postgres {
            Some(micros) => write!(f, ", CPU for each: Postgres {micros:.1} µs")?,
            None => write!(f, ", CPU for each: Postgres elsewhere")?,
        }
        write!(f, ", driver {:.1} µs", self.driver)
    }
}

impl Shape {
    async fn measure(self, url: &str, limit: Duration) -> Result<Measured, Fault> {
        let connect = || Log::connect(LogConfig { url: url.into(), role: Role::Publisher });
        let log = connect()?;
        let names: Vec<TenantId> =
            (0..self.tenants).map(|n| TenantId::new(format!("floor-{n}"))).collect::<Result<_, _>>()?;
        for tenant in &names {
            log.open_tenant(tenant, true).await?;
        }
        let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
        let stored = Arc::new(AtomicU64::new(0));
        let (began, ours) = (Instant::now(), cpu_of("self"));
        let tasks: Vec<_> = (0..self.writers)
            .map(|writer| {
                // A log of its own: one alone has connections for a few writers only.
                let (log, stored) = (connect()?, stored.clone());
                let own = self.tenants_of(writer, &names);
                Ok(tokio::spawn(async move {
                    let mut round = 0u64;
                    while began.elapsed() < limit {
                        let name = |n: u64| format!("{run:x}-{writer}-{round}-{n}");
                        let event = |n: u64| self.event(&own[(n % own.len() as u64) as usize], n, &name(n));
                        let events: Vec<Append> = (0..self.batch).map(event).collect();
                        log.append(&events).await.map_err(|error| error.to_string())?;
                        stored.fetch_add(self.batch, Ordering::Relaxed);
                        round += 1;
                    }
                    Ok::<_, String>(())
                }))
            })
            .collect::<Result<_, LogError>>()?;
        for task in tasks {
            task.await??;
        }
        let seconds = began.elapsed().as_secs_f64();
        // The connections are the pool's and as old as the run, so all their processes' time was for its events.
        let (ours_now, theirs) = (cpu_of("self"), postgres_cpu()?);
        let events = stored.load(Ordering::Relaxed) as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / events;
        Ok(Measured {
            shape: self,
            rate: events / seconds,
            postgres: theirs.map(each),
            driver: each(ours_now.saturating_sub(ours)),
        })
    }

    /// Each writer has tenants of its own, as the publisher's batchers do, if there are enough.
    fn tenants_of(self, writer: u64, names: &[TenantId]) -> Vec<TenantId> {
        let own = |n: &usize| self.tenants < self.writers || *n as u64 % self.writers == writer;
        (0..names.len()).filter(own).map(|n| names[n].clone()).collect()
    }

    /// An event of the size the load test publishes: about 200 bytes of JSON.
    fn event(self, tenant: &TenantId, request: u64, id: &str) -> Append {
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
                latest: None,
                notice: None,
            },
            key: self.keyed.then(|| IdempotencyKey { name: format!("i:{id}"), hash: [7; 32] }),
            except: None,
        }
    }
}

/// CPU time so far of the Postgres processes at the other end of our connections; none when they are not on this
/// machine. Such a process tells its client's port in its title.
fn postgres_cpu() -> Result<Option<Duration>, Fault> {
    let ports = local_ports()?;
    let mut total = None;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else {
            continue;
        };
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let title = String::from_utf8_lossy(&title);
        let Some(title) = title.strip_prefix("postgres: ") else { continue };
        let port = title.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(port, _)| port);
        if port.and_then(|port| port.parse().ok()).is_some_and(|port: u16| ports.contains(&port)) {
            *total.get_or_insert_default() += cpu_of(pid);
        }
    }
    Ok(total)
}

/// CPU time of a process so far, all its threads, exact to the nanosecond; zero when it is gone.
fn cpu_of(pid: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Our own ends of our TCP connections.
fn local_ports() -> Result<BTreeSet<u16>, Fault> {
    let open = fs::read_dir("/proc/self/fd")?.flatten();
    let inodes: BTreeSet<u64> = open.filter_map(|fd| Some(fs::metadata(fd.path()).ok()?.ino())).collect();
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(fs::read_to_string);
    let lines: String = tables.into_iter().flatten().collect();
    let port = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let inode: u64 = words.get(9)?.parse().ok()?;
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        inodes.contains(&inode).then(|| u16::from_str_radix(port, 16).ok())?
    };
    Ok(lines.lines().filter_map(port).collect())
}
