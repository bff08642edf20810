//! `GET /v1/health` and its parts `events`, `websocket`, `analytics` and `notifications`: how is the installation, why, and by which numbers?
//!
//! 200 while it does its work, also when it is degraded, 503 when it does not: so that what only looks at the status is right, too.

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::reads::Reader;
use super::{App, no_entry};
use crate::access::{Caller, Scope, TenantFault};
use crate::preferences::zone;
use crate::subsystems::{
    AnalyticsHealth, EventsHealth, NotificationsHealth, State as Condition, WebsocketHealth,
};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use carillon_platform::share::FairPermit;
use carillon_protocol::TenantId;
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// How the installation is.
#[derive(Serialize, ToSchema)]
pub(super) struct InstallationHealth {
    /// The worst of its parts.
    state: Condition,
    /// The log and what follows it.
    events: EventsHealth,
    /// The gateways.
    websocket: WebsocketHealth,
    /// The release of the IANA zone data that this publisher decides quiet hours by.
    zone_data: &'static str,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/health", get(all))
        .route("/v1/health/analytics", get(analytics))
        .route("/v1/health/events", get(events))
        .route("/v1/health/notifications", get(notifications))
        .route("/v1/health/websocket", get(websocket))
        .route("/v1/health/{subsystem}", get(unknown))
}

/// How the installation is.
///
/// Both parts at once, and the worse of their states. Needs an API key with the scope `read` or `admin`, or a user token with the
/// capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/health",
    operation_id = "getHealth",
    tag = "health",
    params(("tenant" = Option<String>, Query, description = "Whose events; left out with an API key for all tenants: everybody's, and each gateway.")),
    responses(
        (status = 200, description = "It works, as a whole or in part.", body = InstallationHealth),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: of one tenant's health, as of its events, so much is read at a time", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "A part is down: the same body. Or, as a problem, `unavailable`, `log_busy`: whose the credentials are is not known.", content((InstallationHealth = "application/json"), (ProblemDocument = "application/problem+json"))),
    ),
)]
pub(super) async fn all(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    uri: Uri,
) -> Result<Response, Problem> {
    let view = match view(&app, caller, &uri).await? {
        Ok(view) => view,
        Err(down) => return Ok(down),
    };
    let _turn = view.turn(&app).await?;
    let (events, websocket) =
        (app.subsystems.events(view.tenant.as_ref()).await, app.subsystems.websocket(view.is_whole()));
    let state = events.state.max(websocket.state);
    Ok(answer(state, InstallationHealth { state, events, websocket, zone_data: zone::VERSION }))
}

/// How the log and what follows it are.
///
/// Whether events can be published, for how many days there are partitions, how far behind the log each projector is, and Redis. Needs
/// an API key with the scope `read` or `admin`, or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/health/events",
    operation_id = "getEventsHealth",
    tag = "health",
    params(("tenant" = Option<String>, Query, description = "Whose events; left out with an API key for all tenants: everybody's.")),
    responses(
        (status = 200, description = "It works, as a whole or in part.", body = EventsHealth),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: of one tenant's health, as of its events, so much is read at a time", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "No events can be published: the same body. Or, as a problem, `unavailable`, `log_busy`: whose the credentials are is not known.", content((EventsHealth = "application/json"), (ProblemDocument = "application/problem+json"))),
    ),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    uri: Uri,
) -> Result<Response, Problem> {
    let view = match view(&app, caller, &uri).await? {
        Ok(view) => view,
        Err(down) => return Ok(down),
    };
    let _turn = view.turn(&app).await?;
    let health = app.subsystems.events(view.tenant.as_ref()).await;
    Ok(answer(health.state, health))
}

/// How the counting of events is.
///
/// How far behind the log it is: what `GET /v1/analytics` does not show yet. Needs an API key with the scope `read` or `admin`, or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/health/analytics",
    operation_id = "getAnalyticsHealth",
    tag = "health",
    params(("tenant" = Option<String>, Query, description = "Whose events; left out with an API key for all tenants: everybody's.")),
    responses(
        (status = 200, description = "It works, as a whole or in part.", body = AnalyticsHealth),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: of one tenant's health, as of its events, so much is read at a time", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Nothing can be counted: the same body. Or, as a problem, `unavailable`, `log_busy`: whose the credentials are is not known.", content((AnalyticsHealth = "application/json"), (ProblemDocument = "application/problem+json"))),
    ),
)]
pub(super) async fn analytics(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    uri: Uri,
) -> Result<Response, Problem> {
    let view = match view(&app, caller, &uri).await? {
        Ok(view) => view,
        Err(down) => return Ok(down),
    };
    let _turn = view.turn(&app).await?;
    let health = app.subsystems.analytics(view.tenant.as_ref()).await;
    Ok(answer(health.state, health))
}

/// How notices are.
///
/// Whether notices can be sent, how many steps of escalations are due and for how long, and what webhooks have to send. Needs an API key with
/// the scope `read` or `admin`, or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/health/notifications",
    operation_id = "getNotificationsHealth",
    tag = "health",
    params(("tenant" = Option<String>, Query, description = "Whose notices; left out with an API key for all tenants: everybody's.")),
    responses(
        (status = 200, description = "It works, as a whole or in part.", body = NotificationsHealth),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: of one tenant's health, as of its events, so much is read at a time", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "No notices can be sent: the same body. Or, as a problem, `unavailable`, `log_busy`: whose the credentials are is not known.", content((NotificationsHealth = "application/json"), (ProblemDocument = "application/problem+json"))),
    ),
)]
pub(super) async fn notifications(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    uri: Uri,
) -> Result<Response, Problem> {
    let view = match view(&app, caller, &uri).await? {
        Ok(view) => view,
        Err(down) => return Ok(down),
    };
    let _turn = view.turn(&app).await?;
    let health = app.subsystems.notifications(view.tenant.as_ref()).await;
    Ok(answer(health.state, health))
}

/// How the gateways are.
///
/// How many there are and whether they take connections, as they told Redis within ten seconds; none is asked. Needs an API key with
/// the scope `read` or `admin`, or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/health/websocket",
    operation_id = "getWebsocketHealth",
    tag = "health",
    params(("tenant" = Option<String>, Query, description = "Left out with an API key for all tenants: also connections, and each gateway.")),
    responses(
        (status = 200, description = "It works, as a whole or in part.", body = WebsocketHealth),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "No gateway takes connections: the same body. Or, as a problem, `unavailable`, `log_busy`: whose the credentials are is not known.", content((WebsocketHealth = "application/json"), (ProblemDocument = "application/problem+json"))),
    ),
)]
pub(super) async fn websocket(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    uri: Uri,
) -> Result<Response, Problem> {
    // Of the gateways there is something to say all the same, and nothing of it is anybody's secret.
    let whole = view(&app, caller, &uri).await?.is_ok_and(|view| view.is_whole());
    let health = app.subsystems.websocket(whole);
    Ok(answer(health.state, health))
}

async fn unknown(caller: Caller) -> Problem {
    drop(caller);
    Problem::new(
        Code::NotFound,
        "there is no such part: there are analytics, events, notifications and websocket",
    )
}

/// Whose numbers somebody sees.
struct View {
    /// A tenant's; none: everybody's.
    tenant: Option<TenantId>,
    /// Who it is to the tenant's turns.
    reader: Option<Reader>,
}

impl View {
    fn is_whole(&self) -> bool {
        self.tenant.is_none()
    }

    /// A turn to ask the log about a tenant, as who reads its events has one; none where it need not be asked.
    async fn turn(&self, app: &App) -> Result<Option<FairPermit>, Problem> {
        let (Some(tenant), Some(reader)) = (&self.tenant, &self.reader) else { return Ok(None) };
        if app.subsystems.knows(tenant) {
            return Ok(None);
        }
        reader.turn().await.map(Some)
    }
}

/// What the caller may see. While the log is away nobody can say whose an API key is: then the inner error is the answer, without
/// a number.
async fn view(
    app: &App,
    caller: Result<Caller, Problem>,
    uri: &Uri,
) -> Result<Result<View, Response>, Problem> {
    let caller = match caller {
        Ok(caller) => caller,
        Err(problem) if problem.code.status() == StatusCode::SERVICE_UNAVAILABLE => {
            let Err(fault) = app.subsystems.writable().await else { return Err(problem) };
            let reason = json!({"code": crate::readiness::reason(&fault), "message": fault.to_string()});
            let body = json!({"state": Condition::Down, "reasons": [reason]});
            return Ok(Err(answer(Condition::Down, body)));
        }
        Err(problem) => return Err(problem),
    };
    let mut query = Query::read(uri, &["tenant"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entered = caller.enter(asked.as_ref());
    if let Ok(entry) = &entered {
        app.is_open(&caller, &entry.tenant)?;
    }
    let (may, tenant) = match (entered, &caller) {
        (Ok(entry), Caller::Key(_)) => (entry.may(Scope::Read) || entry.admin, Some(entry.tenant)),
        (Ok(entry), _) => (entry.admin, Some(entry.tenant)),
        (Err(TenantFault::Required), Caller::Key(key)) => (key.read || key.admin, None),
        (Err(fault), _) => return Err(no_entry(fault)),
    };
    if may {
        let reader = tenant.as_ref().map(|tenant| app.reads.reader(tenant.as_str(), &caller.name()));
        return Ok(Ok(View { tenant, reader }));
    }
    let detail =
        "health needs an API key with the scope read or admin, or a user token with the capability admin";
    Err(Problem::new(Code::MissingScope, detail))
}

fn answer(state: Condition, body: impl Serialize) -> Response {
    match state {
        Condition::Up | Condition::Degraded => Json(body).into_response(),
        Condition::Down => {
            let soon = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
            (StatusCode::SERVICE_UNAVAILABLE, soon, Json(body)).into_response()
        }
    }
}
