//! `/v1/revocations`: who was disconnected and is kept out, and how does such a one come in again?

use super::deliveries::invalid_cursor;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{App, list, names};
use crate::access::{Caller, Entry};
use axum::extract::{Path, State, rejection::PathRejection};
use axum::routing::{delete, get};
use axum::{Json, Router};
use carillon_backplane::log::HeldRevocation;
use carillon_protocol::TenantId;
use http::{StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Revocations on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;

/// One page of revocations.
#[derive(Serialize, ToSchema)]
pub(super) struct RevocationPage {
    /// At most `limit`, by user, device and connection.
    revocations: Vec<RevocationEntry>,
    /// Cursor for `after`: the next page. Null on the last one.
    next: Option<String>,
}

/// That somebody was disconnected, which still holds.
#[derive(Serialize, ToSchema)]
struct RevocationEntry {
    /// Names it in `DELETE /v1/revocations/{id}`.
    id: String,
    /// The person; null: whoever it is.
    user: Option<String>,
    /// The device; null: all of them.
    device: Option<String>,
    /// One connection, which was closed; null: of all.
    connection: Option<String>,
    /// Since when: tokens issued before are refused.
    revoked_at: String,
    /// Until when that is kept.
    until: String,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/revocations", get(revocations)).route("/v1/revocations/{id}", delete(lift))
}

/// Who was disconnected and is kept out.
///
/// Revocations that hold. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/revocations",
    operation_id = "listRevocations",
    tag = "connections",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Revocations on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = RevocationPage),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revocations(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<RevocationPage>, Problem> {
    let mut query = Query::read(&uri, &["tenant", "after", "limit"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let tenant = administered(app.enter(&caller, asked.as_ref())?)?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after =
        query.take("after").map(|text| names::decode::<3>(&text).ok_or_else(invalid_cursor)).transpose()?;
    let [user, device, connection] = after.unwrap_or_default();
    let reader = app.reads.reader(tenant.as_str(), &caller.name());
    let _turn = reader.turn().await?;
    let from = [&*user, &*device, &*connection];
    let mut found = app.health.ask(app.log.revocations(&tenant, from, limit + 1)).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(id);
    Ok(Json(RevocationPage { revocations: found.into_iter().map(shown).collect(), next }))
}

/// Let somebody in again who was disconnected.
///
/// Every node knows within a second: tokens that were issued before, and are still valid, are good again. What was closed stays
/// closed; the client comes back. Needs the scope or the capability `admin`.
#[utoipa::path(
    delete,
    path = "/v1/revocations/{id}",
    operation_id = "liftRevocation",
    tag = "connections",
    params(
        ("id" = String, Path, description = "`id` of a revocation, as the list has it."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 204, description = "It holds no longer."),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such revocation holds", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`: nothing has changed, ask again", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn lift(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let mut query = Query::read(&uri, &["tenant"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let tenant = administered(app.enter(&caller, asked.as_ref())?)?;
    let nothing = || Problem::new(Code::NotFound, "no revocation of this id holds");
    let names = path.ok().and_then(|Path(text)| names::decode::<3>(&text)).ok_or_else(nothing)?;
    let [user, device, connection] = &names;
    let was_held = {
        let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
        app.rules.lift(&caller.name(), &tenant, [user, device, connection]).await?
    };
    if !was_held {
        return Err(nothing());
    }
    // Who it was is personal.
    let by_key = if let Caller::Key(_) = &caller { Some(caller.name()) } else { None };
    tracing::info!(%tenant, by_key, "a revocation was lifted by an administrator");
    tracing::debug!(%tenant, user, device, connection, by = caller.name(), "a revocation was lifted");
    Ok(StatusCode::NO_CONTENT)
}

fn administered(entry: Entry) -> Result<TenantId, Problem> {
    if entry.admin {
        return Ok(entry.tenant);
    }
    let detail = "to see or to lift revocations needs the scope or capability admin";
    Err(Problem::new(Code::MissingScope, detail))
}

fn id(held: &HeldRevocation) -> String {
    names::encode([&held.user, &held.device, &held.connection])
}

fn shown(held: HeldRevocation) -> RevocationEntry {
    let named = |text: String| (!text.is_empty()).then_some(text);
    RevocationEntry {
        id: id(&held),
        user: named(held.user),
        device: named(held.device),
        connection: named(held.connection),
        revoked_at: held.at.to_string(),
        until: held.until.to_string(),
    }
}
