//! What is said about what somebody gets, and how quiet is it for them?

use super::shapes::{PreferenceDefaultsShown, PreferencesShown};
use super::{administered, reader, settings, whose};
use crate::access::Caller;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::Problem;
use crate::http::query::Query;
use axum::Json;
use axum::extract::State;
use carillon_protocol::{TenantId, UserId};
use http::Uri;
use jiff::Timestamp;
use std::sync::Arc;

/// Read preferences.
///
/// One's own with a user token; with the scope or capability `admin` those of `user`. With what the tenant and its types say, and
/// whether it is quiet for them now: a page needs no rule of its own, and no zone data.
#[utoipa::path(
    get,
    path = "/v1/preferences",
    operation_id = "getPreferences",
    tag = "preferences",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("user" = Option<String>, Query, description = "Whose; required with an API key."),
    ),
    responses(
        (status = 200, description = "What is said. Whoever has said nothing has preferences that say nothing.", body = PreferencesShown),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn own(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<PreferencesShown>, Problem> {
    let (tenant, user) = whose(&app, &caller, &mut Query::read(&uri, &["tenant", "user"])?)?;
    let _turn = reader(&app, &tenant, &caller).turn().await?;
    shown(&app, &tenant, &user).await
}

/// Read the tenant's defaults.
///
/// What holds for whoever has said nothing themselves. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/preferences/defaults",
    operation_id = "getPreferenceDefaults",
    tag = "preferences",
    params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
    responses(
        (status = 200, description = "What the tenant says.", body = PreferenceDefaultsShown),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn defaults(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<PreferenceDefaultsShown>, Problem> {
    let tenant = administered(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let _turn = reader(&app, &tenant, &caller).turn().await?;
    Ok(Json(PreferenceDefaultsShown::of(&settings(&app, &tenant, None).await?)))
}

pub(super) async fn shown(
    app: &App,
    tenant: &TenantId,
    user: &UserId,
) -> Result<Json<PreferencesShown>, Problem> {
    let settings = settings(app, tenant, Some(user)).await?;
    let types = app.types.of(tenant).await?;
    let quiet = settings.quiet(Timestamp::now());
    Ok(Json(PreferencesShown::of(user.to_string(), &settings, &types, quiet)))
}
