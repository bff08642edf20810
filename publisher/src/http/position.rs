//! `GET /v1/position`, and the header `Carillon-Position`: where does the log stand?
//!
//! Whoever loads rows and then wants what happens after them asks here first, hands the answer to the page, and connects
//! with it as `since` and `epoch`: no event falls between.

use super::openapi::shapes::ProblemDocument;
use super::problem::Problem;
use super::query::Query;
use super::{App, list, unknown_tenant};
use crate::access::Caller;
use axum::Json;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use carillon_protocol::{Cursor, Epoch, Seq, TenantId};
use http::{HeaderName, HeaderValue, Uri};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// On answers that read: whatever happened up to there is in it, or on the pages that it leads to, if it was asked for.
pub(super) const POSITION: HeaderName = HeaderName::from_static("carillon-position");

/// Where a tenant's log stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Position {
    /// The life of the log.
    #[schema(value_type = String, max_length = 32)]
    epoch: Epoch,
    /// Its newest event; 0 when there is none.
    #[schema(value_type = u64)]
    seq: Seq,
}

/// The header, or none.
pub(super) type Header = AppendHeaders<Option<(HeaderName, HeaderValue)>>;

/// The header of a page of what is kept beside the log: where that stands before the page is read, so that nothing that happens meanwhile
/// is missed. None on a page that goes on, and in a tenant that was never used.
pub(super) async fn before(app: &App, tenant: &TenantId, is_first: bool) -> Result<Header, Problem> {
    if !is_first {
        return Ok(AppendHeaders(None));
    }
    let opened = app.health.ask(app.log.open_tenant(tenant, false)).await?;
    Ok(opened.map_or(AppendHeaders(None), |opened| header(&opened.head.epoch, opened.head.seq)))
}

/// The header with this position.
pub(super) fn header(epoch: &Epoch, seq: Seq) -> Header {
    let text = Cursor { seq, epoch: epoch.clone() }.to_string();
    AppendHeaders(HeaderValue::from_str(&text).ok().map(|value| (POSITION, value)))
}

/// Where the tenant's log stands.
///
/// Ask before you load your own rows, and connect with the answer as `since` and `epoch`: events from there on come. An event
/// that is read, and a list's first page, have the same in the header `Carillon-Position`, as `<epoch>:<seq>`.
#[utoipa::path(
    get,
    path = "/v1/position",
    operation_id = "getPosition",
    tag = "events",
    params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
    responses(
        (status = 200, description = "The position.", body = Position, headers(("Carillon-Position" = String, description = "The same, as `<epoch>:<seq>`."))),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn position(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = list::may_read(app.enter(&caller, asked.as_ref())?)?;
    // A tenant begins with its first use: else it would have no epoch to connect with.
    if !app.tenants.ensure(&entry.tenant, &caller.publisher()).await? {
        return Err(unknown_tenant());
    }
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let opened = {
        let _turn = reader.turn().await?;
        app.health.ask(app.log.open_tenant(&entry.tenant, false)).await?
    };
    let Some(opened) = opened else {
        app.tenants.forget(&entry.tenant);
        return Err(unknown_tenant());
    };
    let (epoch, seq) = (opened.head.epoch, opened.head.seq);
    Ok((header(&epoch, seq), Json(Position { epoch, seq })).into_response())
}
