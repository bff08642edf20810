//! `GET /v1/events/{id}/deliveries`: which devices have an event, and which have not?

use super::list;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{App, names, place, position};
use crate::access::{Caller, Entry, Scope};
use axum::Json;
use axum::extract::{Path, State, rejection::PathRejection};
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{DevicePlace, Pending};
use carillon_protocol::{Epoch, EventId, Seq, TenantId};
use http::Uri;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Devices on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
const PARAMETERS: [&str; 4] = ["tenant", "state", "after", "limit"];

/// What became of an event.
#[derive(Serialize, ToSchema)]
pub(super) struct Deliveries {
    /// The event's number.
    #[schema(value_type = u64, minimum = 1)]
    seq: Seq,
    /// The epoch in which it and the devices' numbers count.
    #[schema(value_type = String, max_length = 32)]
    epoch: Epoch,
    /// Devices it is for: in one of its channels when they were last connected, and seen before it.
    audience: u64,
    /// Those that it has reached.
    delivered: u64,
    /// Those that have acknowledged it.
    acked: u64,
    /// Those that have not, by user and device: at most `limit`.
    pending: Vec<PendingDevice>,
    /// Cursor for `after`: the next page. Null on the last one.
    next: Option<String>,
}

/// A device that has not acknowledged an event.
#[derive(Serialize, ToSchema)]
struct PendingDevice {
    /// Whose.
    user: String,
    /// Which.
    device: String,
    /// When it was last seen.
    last_seen: String,
    /// Everything for it up to this number has reached it: the event, if it is not less than the event's.
    #[schema(value_type = u64)]
    delivered: Seq,
    /// Everything up to this number it has acknowledged.
    #[schema(value_type = u64)]
    acked: Seq,
}

/// Which devices have an event, and which have not.
///
/// Needs an API key with the scope `read` or `admin`, or a user token with the capability `admin`. What a device acknowledges is counted
/// within two seconds, later where a gateway has more than 2,000 devices that do.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/deliveries",
    operation_id = "getDeliveries",
    tag = "events",
    params(
        ("id" = String, Path, description = "The event's id."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("state" = Option<String>, Query, description = "Which devices `pending` has: `unacked` (default), or `undelivered`: only those that it has not reached."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Devices on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "What became of it.", body = Deliveries, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before devices were looked at. On the page without `after`."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such event", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deliveries(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = sees_everybody(app.enter(&caller, asked.as_ref())?)?;
    let state = query.parsed("state", "unacked or undelivered", |text| match text {
        "unacked" => Some(Pending::NotAcked),
        "undelivered" => Some(Pending::NotDelivered),
        _ => None,
    })?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after =
        query.take("after").map(|text| names::decode(&text).ok_or_else(invalid_cursor)).transpose()?;
    let is_first = after.is_none();
    let [user, device] = after.unwrap_or_default();
    let nothing = || Problem::new(Code::NotFound, "there is no event of this id");
    let id = path.ok().and_then(|Path(text)| EventId::new(text).ok()).ok_or_else(nothing)?;
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let _turn = reader.turn().await?;
    let opened = app.health.ask(app.log.open_tenant(&entry.tenant, false)).await?.ok_or_else(nothing)?;
    let from = DevicePlace { user: &user, device: &device, limit };
    let log = (&entry.tenant, &opened.epochs);
    let found = app.log.deliveries(log, &id, state.unwrap_or(Pending::NotAcked), from).await?;
    let found = found.ok_or_else(nothing)?;
    let last = found.pending.last().filter(|_| found.more);
    let next = last.map(|last| names::encode([&last.user, &last.device]));
    let pending = found.pending.into_iter().map(|device| PendingDevice {
        user: device.user,
        device: device.device,
        last_seen: device.last_seen.to_string(),
        delivered: device.delivered,
        acked: device.acked,
    });
    let stands = is_first.then(|| position::header(&opened.head.epoch, opened.head.seq));
    let body = Deliveries {
        seq: found.seq,
        epoch: opened.head.epoch,
        audience: found.audience,
        delivered: found.delivered,
        acked: found.acked,
        pending: pending.collect(),
        next,
    };
    Ok((stands, Json(body)).into_response())
}

/// Whoever may know what others do: a service that reads, or an administrator.
pub(super) fn sees_everybody(entry: Entry) -> Result<Entry, Problem> {
    if entry.admin || (entry.user.is_none() && entry.may(Scope::Read)) {
        return Ok(entry);
    }
    let detail = "this needs an API key with the scope read or admin, or a token with the capability admin";
    Err(Problem::new(Code::MissingScope, detail))
}

pub(super) fn invalid_cursor() -> Problem {
    place::invalid("after", "is no cursor of this list; take next of a page, unchanged")
}
