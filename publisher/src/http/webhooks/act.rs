//! How is a webhook switched, its secret rotated, its cursor moved?

use super::entrance::{Named, invalid, no_more, no_such_webhook, webhook, with_body};
use super::read::shown;
use super::shapes::{ReplayBody, RotateBody, Webhook, WriteProblems};
use super::write;
use crate::access::Caller;
use crate::event::{Fault, FaultCode};
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::{Request, State};
use carillon_backplane::log::Replayed;
use carillon_platform::outbound::SigningSecret;
use carillon_platform::whole::whole;
use carillon_protocol::{Seq, TenantId, WebhookId};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Enable a webhook.
///
/// It goes on where it was. Needs the scope or the capability `admin`; the body is empty or `{}`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/enable",
    operation_id = "enableWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 200, description = "It is enabled.", body = Webhook),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn enable(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request,
) -> Result<Json<Webhook>, Problem> {
    let (tenant, id, members) = with_body(&app, &caller, request, || webhook(path)).await?;
    nothing(&members)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    let found = app.health.ask(app.log.acting(&caller.name()).enable_webhook(&tenant, id.as_str())).await?;
    answer(&app, &caller, (&tenant, &id), found, "webhook enabled", None).await
}

/// Disable a webhook.
///
/// Nothing is sent from now on; what is under way ends. Needs the scope or the capability `admin`; the body is empty or `{}`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/disable",
    operation_id = "disableWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 200, description = "It is disabled.", body = Webhook),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn disable(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request,
) -> Result<Json<Webhook>, Problem> {
    let (tenant, id, members) = with_body(&app, &caller, request, || webhook(path)).await?;
    nothing(&members)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    let found = app
        .health
        .ask(app.log.acting(&caller.name()).disable_webhook(&tenant, id.as_str(), "administrator"))
        .await?;
    answer(&app, &caller, (&tenant, &id), found, "webhook disabled", None).await
}

/// Rotate a webhook's secret.
///
/// Messages are signed with the new one and, for 24 hours, with the one before, too. Needs the scope or the capability `admin`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/rotate",
    operation_id = "rotateWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    request_body(content = Option<RotateBody>, description = "Empty, or a secret of yours."),
    responses(
        (status = 200, description = "With the new secret: it is in no other answer.", body = Webhook),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request,
) -> Result<Json<Webhook>, Problem> {
    let (tenant, id, mut members) = with_body(&app, &caller, request, || webhook(path)).await?;
    let mut faults = Vec::new();
    let given = write::secret(&mut members, &mut faults);
    no_more(&members, "secret", &mut faults);
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    let secret = given.unwrap_or_else(|| SigningSecret::fresh().expose().to_owned());
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    let found =
        app.health.ask(app.log.acting(&caller.name()).rotate_webhook(&tenant, id.as_str(), &secret)).await?;
    answer(&app, &caller, (&tenant, &id), found, "webhook secret rotated", Some(&secret)).await
}

/// Send events again.
///
/// A replay is nothing but a cursor that is moved: the events from `from_seq` on are sent, those that are wanted, again or for the first
/// time. Also forward: what lies between is not sent. Needs the scope or the capability `admin`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/replay",
    operation_id = "replayWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    request_body(content = ReplayBody, description = "Where it begins."),
    responses(
        (status = 200, description = "The cursor stands before that event.", body = Webhook),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request,
) -> Result<Json<Webhook>, Problem> {
    let (tenant, id, mut members) = with_body(&app, &caller, request, || webhook(path)).await?;
    let at = |code, detail: String| invalid(vec![Fault::at("/from_seq", code, detail)]);
    let from = match members.remove("from_seq") {
        None => return Err(at(FaultCode::Required, "is required".to_owned())),
        Some(value) => number(&value)
            .ok_or_else(|| at(FaultCode::Invalid, "must be the number of an event: 1 or more".to_owned()))?,
    };
    nothing_more(&members)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    match app.health.ask(app.log.acting(&caller.name()).replay_webhook(&tenant, id.as_str(), from)).await? {
        Replayed::Moved => answer(&app, &caller, (&tenant, &id), true, "webhook replayed", None).await,
        Replayed::Unknown => Err(no_such_webhook()),
        Replayed::Beyond(head) => {
            let detail =
                format!("is beyond the log, which ends at {head}; {} is the next event", head.next());
            Err(at(FaultCode::Invalid, detail))
        }
    }
}

/// A seq, as a number or as the same number in a text.
fn number(value: &Value) -> Option<Seq> {
    let number = match value {
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        other => whole(other),
    };
    number.filter(|number| (1..=i64::MAX as u64).contains(number)).map(Seq)
}

pub(super) fn nothing(members: &Map<String, Value>) -> Result<(), Problem> {
    let mut faults = Vec::new();
    no_more(members, "none", &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(invalid(faults)) }
}

fn nothing_more(members: &Map<String, Value>) -> Result<(), Problem> {
    let mut faults = Vec::new();
    no_more(members, "from_seq", &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(invalid(faults)) }
}

async fn answer(
    app: &App,
    caller: &Caller,
    (tenant, id): (&TenantId, &WebhookId),
    found: bool,
    what: &'static str,
    secret: Option<&str>,
) -> Result<Json<Webhook>, Problem> {
    if !found {
        return Err(no_such_webhook());
    }
    tracing::info!(%tenant, webhook = id.as_str(), by = caller.name(), "{what}");
    app.hint.webhook_has_changed();
    shown(app, tenant, id, secret).await.map(Json)
}
