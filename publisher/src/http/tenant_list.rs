//! `GET /v1/tenants`: which tenants are there?

use super::App;
use super::list;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::tenants::LimitsBody;
use crate::access::Caller;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use carillon_backplane::log::ListedTenant;
use carillon_platform::rules::TenantLimits;
use carillon_protocol::TenantId;
use http::Uri;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Tenants on a page, if the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Whose turn it is to read: the installation's.
const ALL: &str = "*";

/// A page of tenants.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantPage {
    /// By name.
    tenants: Vec<TenantEntry>,
    /// For `after`: the next page. Null on the last one.
    next: Option<String>,
}

/// A tenant of the installation.
#[derive(Serialize, ToSchema)]
struct TenantEntry {
    /// Its name.
    tenant: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// The `seq` of its newest event: how many events its log has had. 0: there was none.
    head: u64,
    /// How much it may have and do; left out: without limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limits: Option<LimitsBody>,
    /// Whether it may do nothing for now.
    suspended: bool,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/tenants", get(tenants))
}

/// List tenants.
///
/// Of the whole installation. Needs an API key for all tenants with the scope `admin`.
#[utoipa::path(
    get,
    path = "/v1/tenants",
    operation_id = "listTenants",
    tag = "tenants",
    params(
        ("suspended" = Option<bool>, Query, description = "True: only those that are suspended."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Tenants on a page. Default: 50.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = TenantPage),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this key reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn tenants(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<TenantPage>, Problem> {
    let mut query = Query::read(&uri, &["suspended", "after", "limit"])?;
    if !caller.is_of_installation() {
        let detail = "the list of tenants needs an API key for all tenants with the scope admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let suspended = query.parsed("suspended", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    let after = query.named("after", |text| TenantId::new(text))?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = after.as_ref().map_or("", TenantId::as_str);
    let _turn = app.reads.reader(ALL, &caller.name()).turn().await?;
    let mut found = app.health.ask(app.log.tenants(after, limit + 1, suspended)).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|last| last.tenant.as_str().to_owned());
    Ok(Json(TenantPage { tenants: found.into_iter().map(entry).collect(), next }))
}

fn entry(found: ListedTenant) -> TenantEntry {
    TenantEntry {
        tenant: found.tenant.as_str().to_owned(),
        created_at: found.created_at.to_string(),
        head: found.head.0,
        limits: LimitsBody::of(TenantLimits::stored(found.limits.as_deref())),
        suspended: found.suspended,
    }
}
