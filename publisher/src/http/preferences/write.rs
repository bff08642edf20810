//! How does somebody say what they want?

use super::shapes::{PreferenceDefaultsBody, PreferenceDefaultsShown, PreferencesBody, PreferencesShown};
use super::{administered, read, reader, settings, whose};
use crate::access::Caller;
use crate::event::Fault;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::{App, document, inbox, unknown_tenant};
use crate::preferences::{Document, Of};
use axum::Json;
use axum::extract::{Request, State};
use carillon_backplane::log::PreferencesSet;
use carillon_protocol::{TenantId, UserId};
use std::sync::Arc;

/// Set preferences.
///
/// All of them anew: one's own with a user token; with the scope or capability `admin` those of `user`.
#[utoipa::path(
    put,
    path = "/v1/preferences",
    operation_id = "putPreferences",
    tag = "preferences",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("user" = Option<String>, Query, description = "Whose; required with an API key."),
    ),
    request_body(content = PreferencesBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "They hold.", body = PreferencesShown),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_preferences`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn own(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<PreferencesShown>, Problem> {
    let (parts, sent) = request.into_parts();
    let judged = || whose(&app, &caller, &mut Query::read(&parts.uri, &["tenant", "user"])?);
    let tenant_of = |(tenant, _): &(TenantId, UserId)| Some(tenant.clone());
    let ((tenant, user), said) =
        document::read(&app, &caller, (&parts, sent), judged, tenant_of, invalid).await?;
    let said = Document::read(said, Of::Person).map_err(invalid)?;
    let set = set(&app, &caller, &tenant, Some(&user), &said).await?;
    if let Some(version) = set.inbox {
        let is_own = caller.enter(Some(&tenant)).is_ok_and(|entry| entry.user.as_ref() == Some(&user));
        // What is set is set, whether it can be counted now or not.
        if !is_own || inbox::tell_own(&app, &caller, &tenant).await.is_err() {
            inbox::tell_stale(&app, &tenant, Some((&user, version)));
        }
    }
    let _turn = reader(&app, &tenant, &caller).turn().await?;
    read::shown(&app, &tenant, &user).await
}

/// Set the tenant's defaults.
///
/// All of them anew; they hold for whoever has said nothing themselves. Needs the scope or the capability `admin`.
#[utoipa::path(
    put,
    path = "/v1/preferences/defaults",
    operation_id = "putPreferenceDefaults",
    tag = "preferences",
    params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
    request_body(content = PreferenceDefaultsBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "They hold.", body = PreferenceDefaultsShown),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_preferences`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn defaults(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Json<PreferenceDefaultsShown>, Problem> {
    let (parts, sent) = request.into_parts();
    let judged = || administered(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?);
    let tenant_of = |tenant: &TenantId| Some(tenant.clone());
    let (tenant, said) = document::read(&app, &caller, (&parts, sent), judged, tenant_of, invalid).await?;
    let said = Document::read(said, Of::Tenant).map_err(invalid)?;
    if set(&app, &caller, &tenant, None, &said).await?.inboxes {
        inbox::tell_stale(&app, &tenant, None);
    }
    tracing::info!(%tenant, by = caller.name(), "preference defaults set");
    let _turn = reader(&app, &tenant, &caller).turn().await?;
    Ok(Json(PreferenceDefaultsShown::of(&settings(&app, &tenant, None).await?)))
}

async fn set(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    user: Option<&UserId>,
    said: &Document,
) -> Result<PreferencesSet, Problem> {
    if !app.tenants.ensure(tenant, &caller.publisher()).await? {
        return Err(unknown_tenant());
    }
    let json = serde_json::to_string(said)
        .map_err(|_| Problem::new(Code::Internal, "the preferences cannot be written"))?;
    app.health.check_writing()?;
    let _turn = reader(app, tenant, caller).turn().await?;
    app.health
        .ask(app.log.acting(&caller.name()).set_preferences(tenant, user, &json))
        .await?
        .ok_or_else(unknown_tenant)
}

fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = match &faults[..] {
        [only] => format!("the preferences have a fault: {}", only.detail),
        several => format!("the preferences have {} faults", several.len()),
    };
    Problem::new(Code::InvalidPreferences, detail).at(faults)
}
