//! Which deliveries failed, and how is one sent again?

use super::act::nothing;
use super::entrance::{Named, administrator, no_such_webhook, webhook, with_body};
use super::shapes::{ReadProblems, WebhookDeliveries, WebhookDelivery, WriteProblems};
use crate::access::Caller;
use crate::http::App;
use crate::http::list;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::{self, Query};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use carillon_protocol::Seq;
use http::{HeaderValue, StatusCode, Uri, header};
use std::sync::Arc;

/// Deliveries on a page when the request does not say.
const DEFAULT_LIMIT: usize = 20;
/// Most of them: each may hold 20 KiB of an answer.
const MOST: usize = 50;

/// List failed deliveries.
///
/// By number, with their last attempts. What was delivered, also after failures, is in no list: that is what the webhook's `seq` says.
/// Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{webhook}/deliveries",
    operation_id = "listWebhookDeliveries",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("state" = Option<String>, Query, description = "Only those that are `retrying` or `parked`."),
        ("after" = Option<u64>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Deliveries on a page.", minimum = 1, maximum = 50),
    ),
    responses(
        (status = 200, description = "A page.", body = WebhookDeliveries),
        (status = 404, description = "`not_found`: there is no webhook of this name", body = ProblemDocument, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant", "state", "after", "limit"])?;
    let tenant = administrator(&app, &caller, &mut query)?;
    let id = webhook(path)?;
    let state = query.parsed("state", "retrying or parked", |text| {
        ["retrying", "parked"].into_iter().find(|state| *state == text)
    })?;
    let after = query.parsed("after", "a number", |text| text.parse().ok().map(Seq))?.unwrap_or(Seq::ZERO);
    let limit = query.parsed("limit", "a whole number from 1 to 50", |text| {
        text.parse().ok().filter(|limit| (1..=MOST).contains(limit))
    })?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let reader = app.reads.reader(tenant.as_str(), &caller.name());
    let held = reader.hold()?;
    let _turn = reader.turn().await?;
    if app.health.ask(app.log.webhooks(&tenant, Some(id.as_str()))).await?.is_empty() {
        return Err(no_such_webhook());
    }
    let asked = app.log.webhook_deliveries(&tenant, id.as_str(), state, after, limit as u32 + 1);
    let mut found = app.health.ask(asked).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.seq.0);
    let deliveries = found.into_iter().map(WebhookDelivery::from).collect();
    let mut text = Vec::new();
    list::write(&mut text, &WebhookDeliveries { deliveries, next })?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], Body::from(held.piece(text))).into_response())
}

/// Send a failed delivery again.
///
/// Now: one that is parked, or one that is tried again later. If it fails once more, a parked one is parked again. Needs the scope or the
/// capability `admin`; the body is empty or `{}`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/deliveries/{seq}/retry",
    operation_id = "retryWebhookDelivery",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "The webhook's name."),
        ("seq" = u64, Path, description = "The event's number.", minimum = 1),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 202, description = "It is sent."),
        (status = 404, description = "`not_found`: this webhook has no failed delivery of this event", body = ProblemDocument, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let place = || {
        let Path((name, seq)) = path.map_err(|_| query::invalid("seq", "the number of an event"))?;
        let seq = seq.parse().ok().filter(|seq| (1..=i64::MAX as u64).contains(seq));
        Ok((
            webhook(Ok(Path(name)))?,
            seq.map(Seq).ok_or_else(|| query::invalid("seq", "the number of an event"))?,
        ))
    };
    let (tenant, (id, seq), members) = with_body(&app, &caller, request, place).await?;
    nothing(&members)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    if !app
        .health
        .ask(app.log.acting(&caller.name()).retry_webhook_delivery(&tenant, id.as_str(), seq))
        .await?
    {
        let detail = "the webhook has no failed delivery of this event";
        return Err(Problem::new(Code::NotFound, detail));
    }
    tracing::info!(%tenant, webhook = id.as_str(), %seq, by = caller.name(), "webhook delivery tried again");
    app.hint.webhook_has_changed();
    Ok(StatusCode::ACCEPTED)
}
