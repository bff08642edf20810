//! How many webhook messages a second does the publisher deliver?
//!
//! Events are stored while the webhooks of some tenants are disabled; then all are enabled, and an endpoint in this process answers each
//! message at once. The rate counts from the first message to the one after which nothing is missing. Beside it, what an HTTP client
//! that does nothing else delivers to the same endpoint: no log, no signatures, no cursors.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::cli::TargetArgs;
use crate::clock::run_name;
use crate::failure::{Failure, join, spawn};
use crate::http::Poster;
use crate::procfs::{CpuMark, CpuUsed};
use crate::table::{Table, grouped};
use crate::target::{Address, Target};

/// Events in a request, when they are stored.
const BATCH: u32 = 100;
/// Nothing came for so long: the rest is missing.
const SILENCE: Duration = Duration::from_secs(20);
/// Connections of the bare client.
const BARE_CONNECTIONS: u32 = 128;

/// `carillon-loadtest webhooks`
#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Tenants, each with one webhook.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tenants: u32,
    /// Events of all tenants together.
    #[arg(long, default_value_t = 40_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    events: u32,
}

/// What `webhooks` found.
#[derive(Debug, Serialize)]
pub(crate) struct Webhooks {
    tenants: u32,
    delivered: u64,
    repeated: u64,
    missing: u64,
    unsigned: u64,
    seconds: f64,
    per_second: f64,
    bare_per_second: f64,
    cpu: Vec<CpuUsed>,
}

impl crate::Report for Webhooks {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("webhooks of {} tenants", self.tenants));
        table.figure("delivered", format!("{} ({:.0}/s)", grouped(self.delivered), self.per_second));
        table.figure("a bare client", format!("{:.0}/s", self.bare_per_second));
        table.figure("came again", grouped(self.repeated));
        table.figure("missing", grouped(self.missing));
        table.figure("without a signature", grouped(self.unsigned));
        CpuUsed::add_to(&self.cpu, &mut table);
        table
    }

    fn is_right(&self) -> bool {
        self.missing == 0 && self.unsigned == 0
    }
}

/// What came.
#[derive(Debug, Default)]
struct Came {
    names: HashSet<String>,
    repeated: u64,
    unsigned: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

type Shared = Arc<Mutex<Came>>;

/// `carillon-loadtest webhooks`
pub(crate) fn run(args: &WebhooksArgs) -> Result<Webhooks, Failure> {
    let target = Target::new(&args.target)?;
    let came = Shared::default();
    // The endpoint has a thread of its own, which ends with the process.
    let (tell, told) = std::sync::mpsc::channel();
    let theirs = Arc::clone(&came);
    let endpoint = spawn("endpoint", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(answer(theirs, &tell))
    })?;
    let Ok(address) = told.recv() else { return join(endpoint).map(|never| match never {}) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bare_per_second = bare(address, args.events.min(20_000), &came).await?;
        *lock(&came) = Came::default();
        let (publisher, key) = target.publisher()?;
        let mut admin = Poster::new(publisher, key);
        let run = run_name();
        let tenants: Vec<String> = (0..args.tenants).map(|n| format!("webhooks-{run}-{n}")).collect();
        for tenant in &tenants {
            let body = format!(r#"{{"url":"http://{address}/hook","types":["load.*"],"ordered":false}}"#);
            ask(&mut admin, Method::PUT, &format!("/v1/webhooks/all?tenant={tenant}"), body).await?;
            ask(
                &mut admin,
                Method::POST,
                &format!("/v1/webhooks/all/disable?tenant={tenant}"),
                String::new(),
            )
            .await?;
        }
        let each = (args.events / args.tenants).div_ceil(BATCH);
        for number in 0..each {
            for tenant in &tenants {
                admin.post(batch(tenant, number).into()).await?;
            }
        }
        let expected = u64::from(each * BATCH) * tenants.len() as u64;
        let mark = CpuMark::now(&target.pids)?;
        for tenant in &tenants {
            ask(&mut admin, Method::POST, &format!("/v1/webhooks/all/enable?tenant={tenant}"), String::new())
                .await?;
        }
        until_here(&came, expected).await;
        let cpu = mark.used()?;
        for tenant in &tenants {
            ask(&mut admin, Method::DELETE, &format!("/v1/webhooks/all?tenant={tenant}"), String::new())
                .await?;
        }
        let came = lock(&came);
        let seconds = came.first.zip(came.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        let delivered = came.names.len() as u64;
        Ok(Webhooks {
            tenants: args.tenants,
            delivered,
            repeated: came.repeated,
            missing: expected.saturating_sub(delivered),
            unsigned: came.unsigned,
            seconds,
            per_second: if seconds > 0.0 { delivered as f64 / seconds } else { 0.0 },
            bare_per_second,
            cpu,
        })
    })
}

fn lock(came: &Shared) -> std::sync::MutexGuard<'_, Came> {
    came.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(admin: &mut Poster, method: Method, path: &str, body: String) -> Result<(), Failure> {
    match admin.request(method, path, Bytes::from(body)).await.map_err(Failure::Usage)? {
        (200..=299, _) => Ok(()),
        (status, body) => {
            Err(Failure::Usage(format!("{path}: HTTP {status} {}", String::from_utf8_lossy(&body))))
        }
    }
}

fn batch(tenant: &str, number: u32) -> String {
    let event = |place: u32| {
        format!(
            r#"{{"tenant":"{tenant}","id":"{number}-{place}","type":"load.event","tenant_wide":true,"data":{{"filling":"{}"}}}}"#,
            "x".repeat(90)
        )
    };
    format!("[{}]", (0..BATCH).map(event).collect::<Vec<_>>().join(","))
}

/// Waits until so many different messages came, or none any more.
async fn until_here(came: &Shared, expected: u64) {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let now = lock(came).names.len() as u64;
        if now >= expected || (now == seen && since.elapsed() > SILENCE) {
            return;
        }
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The endpoint.
async fn answer(came: Shared, tell: &std::sync::mpsc::Sender<SocketAddr>) -> Result<Infallible, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    // If nobody listens any more, the process is about to end.
    let _ = tell.send(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let came = Arc::clone(&came);
        tokio::spawn(async move {
            let service = service_fn(|request| note(request, Arc::clone(&came)));
            // A connection that breaks shows as a message that is missing or comes again.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn note(request: Request<Incoming>, came: Shared) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    // The tenant is not enough of a name: messages of one have the same epoch.
    let name = header("webhook-id").unwrap_or_default().to_owned();
    let is_signed = header("webhook-signature").is_some_and(|value| value.starts_with("v1,"));
    request.into_body().collect().await?;
    let now = Instant::now();
    let mut came = lock(&came);
    came.first.get_or_insert(now);
    came.last = Some(now);
    came.unsigned += u64::from(!is_signed);
    if !came.names.insert(name) {
        came.repeated += 1;
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Messages a second that a client delivers that does nothing else.
async fn bare(endpoint: SocketAddr, messages: u32, came: &Shared) -> Result<f64, Failure> {
    let address = Address { authority: endpoint.to_string(), path: "/hook".into() };
    let each = messages.div_ceil(BARE_CONNECTIONS);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..BARE_CONNECTIONS)
        .map(|_| {
            let mut poster = Poster::new(address.clone(), String::new());
            tokio::spawn(async move {
                let body = Bytes::from(format!(r#"{{"filling":"{}"}}"#, "x".repeat(330)));
                for _ in 0..each {
                    poster.request(Method::POST, "/hook", body.clone()).await.map_err(Failure::Usage)?;
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(|_| Failure::Usage("a posting task panicked".into()))??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let taken = lock(came);
    let count = taken.names.len() as u64 + taken.repeated;
    Ok(count as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_an_array_of_events_with_ids_of_their_own() {
        let events: Vec<serde_json::Value> = serde_json::from_str(&batch("t", 3)).unwrap();
        let ids: HashSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        assert_eq!((events.len(), ids.len()), (BATCH as usize, BATCH as usize));
    }
}
