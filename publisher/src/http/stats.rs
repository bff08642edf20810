//! `GET /v1/stats`: how many connections are there, where, and how much passes?

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{App, no_entry};
use crate::access::{Caller, Scope, TenantFault};
use crate::stats::Stats;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use carillon_protocol::TenantId;
use http::Uri;
use std::sync::Arc;

/// Most connections of which it is counted in how many channels they are, and most memberships of all of them: some 40 ms.
const COUNTED: u64 = 10_000;
const MEMBERSHIPS: u64 = 100_000;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/stats", get(stats))
}

/// What is used of the gateways now.
///
/// As they told Redis within seconds; none is asked. Needs an API key with the scope `read` or `admin`, or a user token with the
/// capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/stats",
    operation_id = "getStats",
    tag = "connections",
    params(("tenant" = Option<String>, Query, description = "Whose; left out with an API key for all tenants: everybody's.")),
    responses(
        (status = 200, description = "The numbers.", body = Stats),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`: whose the credentials are is not known", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Stats>, Problem> {
    let mut query = Query::read(&uri, &["tenant"])?;
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
    if !may {
        let detail =
            "stats need an API key with the scope read or admin, or a user token with the capability admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let Some(tenant) = tenant else { return Ok(Json(app.stats.of_all())) };
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    let mut stats = app.stats.of(&tenant).await;
    let is_most = |used: Option<u64>, most: u64| used.is_some_and(|used| used <= most);
    if is_most(stats.connections, COUNTED) && is_most(stats.subscriptions, MEMBERSHIPS) {
        // Where the database does not say, all the rest is as good as without it.
        stats.channels = app.log.channels_in_use(&tenant, COUNTED as u32).await.ok();
    }
    stats.notices_today = app.limits.notices_today((&app.log, &app.health), &tenant).await;
    Ok(Json(stats))
}
