//! How do probes and Prometheus ask a process how it is?
//!
//! `GET /livez` answers 200 as long as the process runs; it never looks at Postgres or Redis, so an outage of
//! theirs restarts nothing. `GET /readyz` says whether new clients should come here: 503 only when unready.
//! `GET /metrics` is Prometheus's text format and names no tenant; `GET /metrics/tenants` names as many as
//! `CARILLON_TENANT_METRICS` allows. A service may add pages of its own. This port is never the public one.

mod healthcheck;

pub use healthcheck::{HealthError, healthcheck};

use crate::sockets::{Peer, Places, Server, SocketLimits};
use crate::telemetry::MetricsHandle;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest time a readiness check may take; after it the answer is unready. Probes commonly give up after 1 s.
const READINESS: Duration = Duration::from_millis(900);
/// Longest time a probe or scrape that is under way may hold up the stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Sockets of this port. They are its own, so it answers whatever the public port suffers.
pub const SOCKETS: usize = 64;

/// Whether new clients should come here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything works.
    Ready,
    /// The service works, something beneath it does not (for example Redis): slower, not wrong.
    Degraded,
    /// Send nobody here.
    Unready,
}

/// The state and why it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The state.
    #[serde(rename = "status")]
    pub state: State,
    /// Why it is not [`State::Ready`]; empty when it is.
    pub reasons: Vec<Reason>,
}

/// One cause of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A stable word, for example `redis_unreachable`.
    pub code: &'static str,
    /// What an operator should know. Never a secret.
    pub detail: String,
}

impl Readiness {
    /// Everything works.
    pub fn ready() -> Self {
        Self { state: State::Ready, reasons: Vec::new() }
    }

    /// Adds a cause: the state becomes the worse of the two.
    pub fn because(mut self, state: State, code: &'static str, detail: impl Into<String>) -> Self {
        if state as u8 > self.state as u8 {
            self.state = state;
        }
        self.reasons.push(Reason { code, detail: detail.into() });
        self
    }
}

/// Gives the text of `/metrics/tenants`.
pub type TenantMetrics = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// Serves the ops port until `shutdown` is cancelled. `readiness` is asked at every `GET /readyz`, `tenants` at every
/// `GET /metrics/tenants`; `pages` are the service's own.
pub async fn serve<R, F>(
    listener: TcpListener,
    metrics: MetricsHandle,
    tenants: TenantMetrics,
    readiness: R,
    pages: Router,
    shutdown: CancellationToken,
) where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Readiness> + Send + 'static,
{
    let places = Places::new("ops", SocketLimits { total: SOCKETS, unproven: SOCKETS });
    Server::new(listener, places, router(metrics, tenants, readiness, pages))
        .run(shutdown, LAST_ANSWERS)
        .await;
}

fn router<R, F>(metrics: MetricsHandle, tenants: TenantMetrics, readiness: R, pages: Router) -> Router
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Readiness> + Send + 'static,
{
    Router::new()
        .route("/livez", probe(|| async { json(StatusCode::OK, &serde_json::json!({"status": "alive"})) }))
        .route("/readyz", probe(move || ready(readiness())))
        .route("/metrics", get(move || scrape(metrics.clone())))
        .route("/metrics/tenants", get(move || async move { prometheus(tenants().await) }))
        .merge(pages)
        .fallback(|| async { StatusCode::NOT_FOUND })
        .method_not_allowed_fallback(|| async { StatusCode::NOT_FOUND })
        .layer(axum::middleware::map_request(believed))
}

/// A probe asks with GET, with HEAD, or with OPTIONS (HAProxy's own choice where nothing else is said): the status answers all.
fn probe<F, A>(answer: impl Fn() -> F + Clone + Send + Sync + 'static) -> MethodRouter<A>
where
    F: Future<Output = Response> + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    get(answer.clone()).options(answer)
}

/// Nobody proves who they are here: whoever asks may keep the connection for the next question.
async fn believed(request: Request) -> Request {
    if let Some(peer) = request.extensions().get::<Peer>() {
        peer.authenticated();
    }
    request
}

async fn ready(check: impl Future<Output = Readiness>) -> Response {
    let readiness = tokio::time::timeout(READINESS, check).await.unwrap_or_else(|_| {
        Readiness::ready().because(State::Unready, "check_timeout", "the readiness check did not end in time")
    });
    let status = match readiness.state {
        State::Ready | State::Degraded => StatusCode::OK,
        State::Unready => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &readiness)
}

async fn scrape(metrics: MetricsHandle) -> Response {
    match tokio::task::spawn_blocking(move || metrics.render()).await {
        Ok(text) => prometheus(text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Prometheus's text format.
fn prometheus(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (status, headers, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use tokio::io::AsyncWriteExt;
    use tokio::task::JoinHandle;

    struct Port {
        address: SocketAddr,
        state: Arc<Mutex<Readiness>>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    async fn port() -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Readiness::ready()));
        let (_recorder, metrics) = MetricsHandle::for_test();
        let (stop, asked) = (CancellationToken::new(), state.clone());
        let readiness = move || {
            let now = asked.lock().unwrap().clone();
            async move { now }
        };
        let tenants: TenantMetrics =
            Arc::new(|| Box::pin(std::future::ready("carillon_tenant_x 1\n".to_owned())));
        let pages = Router::new().route("/tasks", axum::routing::get(|| async { "[]" }));
        let task = tokio::spawn(serve(listener, metrics, tenants, readiness, pages, stop.clone()));
        Port { address, state, stop, task }
    }

    async fn get(port: &Port, path: &str) -> (u16, String, String) {
        let response = reqwest::get(format!("http://{}{path}", port.address)).await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.unwrap())
    }

    #[tokio::test]
    async fn alive_is_200_even_when_unready() {
        let port = port().await;
        *port.state.lock().unwrap() = Readiness::ready().because(State::Unready, "draining", "");
        assert_eq!(get(&port, "/livez").await.0, 200);
    }

    #[tokio::test]
    async fn only_unready_is_503_and_the_reasons_are_told() {
        let port = port().await;
        let (status, kind, body) = get(&port, "/readyz").await;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ready","reasons":[]}"#));
        assert_eq!(kind, "application/json");

        let degraded = Readiness::ready().because(State::Degraded, "redis_unreachable", "timed out");
        *port.state.lock().unwrap() = degraded.clone();
        let (status, _, body) = get(&port, "/readyz").await;
        assert_eq!(status, 200);
        assert_eq!(
            body,
            r#"{"status":"degraded","reasons":[{"code":"redis_unreachable","detail":"timed out"}]}"#
        );

        *port.state.lock().unwrap() =
            degraded.because(State::Unready, "draining", "").because(State::Degraded, "slow", "");
        let (status, _, body) = get(&port, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.starts_with(r#"{"status":"unready""#), "the worst state holds: {body}");
    }

    #[tokio::test]
    async fn probes_may_ask_with_any_method_that_asks() {
        let port = port().await;
        let client = reqwest::Client::new();
        for (state, wanted) in [(State::Ready, [200, 200]), (State::Unready, [200, 503])] {
            *port.state.lock().unwrap() = Readiness::ready().because(state, "", "");
            for (path, wanted) in ["/livez", "/readyz"].into_iter().zip(wanted) {
                for method in ["GET", "HEAD", "OPTIONS"] {
                    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
                    let url = format!("http://{}{path}", port.address);
                    let status = client.request(method.clone(), url).send().await.unwrap().status();
                    assert_eq!(status, wanted, "{method} {path}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_unready() {
        let response = ready(std::future::pending()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let port = port().await;
        let (status, kind, body) = get(&port, "/metrics").await;
        assert_eq!(status, 200);
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        assert!(body.contains("process_open_fds"), "{body}");
    }

    #[tokio::test]
    async fn a_page_of_the_service_is_served() {
        let port = port().await;
        assert_eq!(get(&port, "/tasks").await.2, "[]");
    }

    #[tokio::test]
    async fn anything_else_is_404() {
        let port = port().await;
        for path in ["/", "/v1/events", "/metrics/", "/readyz/x"] {
            assert_eq!(get(&port, path).await.0, 404, "{path}");
        }
        let posted =
            reqwest::Client::new().post(format!("http://{}/readyz", port.address)).send().await.unwrap();
        assert_eq!(posted.status().as_u16(), 404);
    }

    #[tokio::test]
    async fn it_stops_when_told_even_with_a_request_that_never_ends() {
        let port = port().await;
        let mut endless = tokio::net::TcpStream::connect(port.address).await.unwrap();
        endless.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.unwrap();
        assert_eq!(get(&port, "/livez").await.0, 200);
        port.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), port.task).await;
        ended.expect("stops within its limit").unwrap();
    }

    #[tokio::test]
    async fn the_healthcheck_passes_when_ready_or_degraded_only() {
        let port = port().await;
        assert!(healthcheck(port.address).await.is_ok());
        *port.state.lock().unwrap() = Readiness::ready().because(State::Degraded, "redis_unreachable", "x");
        assert!(healthcheck(port.address).await.is_ok());
        *port.state.lock().unwrap() = Readiness::ready().because(State::Unready, "draining", "y");
        let error = healthcheck(port.address).await.err().unwrap().to_string();
        assert!(error.contains("503") && error.contains("draining"), "{error}");
    }
}
