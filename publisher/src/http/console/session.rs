//! `/v1/console/session`: who is signed in to the console?

use crate::access::{Caller, TenantFault};
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::{App, no_entry};
use axum::routing::get;
use axum::{Json, Router};
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Who is signed in, and what they may do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConsoleSession {
    /// `key` or `user`.
    kind: &'static str,
    /// The id of the API key, or of the user.
    name: String,
    /// The one tenant that the credentials are for, or that they mean when none is named.
    tenant: Option<String>,
    /// The tenants that a user token names; of an API key none.
    tenants: Vec<String>,
    /// Of `publish`, `read` and `admin`.
    scopes: Vec<&'static str>,
    /// When the credentials end.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Whether a cookie keeps the session.
    kept: bool,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/console/session", get(read))
}

/// Who is signed in to the console.
///
/// For an API key with the scope `read` or `admin`, or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/console/session",
    operation_id = "getConsoleSession",
    tag = "console",
    responses(
        (status = 200, description = "Who it is.", body = ConsoleSession),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`: whose the credentials are is not known", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn read(caller: Caller, uri: Uri) -> Result<Json<ConsoleSession>, Problem> {
    Query::read(&uri, &[])?;
    shown(&caller).map(Json)
}

/// Who it is; refused is whoever could look at nothing.
pub(super) fn shown(caller: &Caller) -> Result<ConsoleSession, Problem> {
    match caller {
        Caller::Key(key) if key.read || key.admin => Ok(ConsoleSession {
            kind: "key",
            name: key.id.clone(),
            tenant: key.tenant.as_ref().map(|tenant| tenant.as_str().to_owned()),
            tenants: Vec::new(),
            scopes: scopes(key.publish, key.read, key.admin),
            expires_at: key.expires_at_secs.and_then(moment),
            kept: false,
        }),
        Caller::User(claims) => {
            let tenants: Vec<_> = claims.tenants().collect();
            let first = tenants.first().ok_or_else(|| no_entry(TenantFault::Required))?;
            let identity = claims.enter(Some(first)).map_err(|_| no_entry(TenantFault::Forbidden))?;
            if !identity.caps.admin {
                return Err(refused());
            }
            Ok(ConsoleSession {
                kind: "user",
                name: claims.user().as_str().to_owned(),
                tenant: (tenants.len() == 1).then(|| first.as_str().to_owned()),
                tenants: tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect(),
                scopes: scopes(identity.caps.publish, true, true),
                expires_at: moment(claims.expires_at()),
                kept: false,
            })
        }
        _ => Err(refused()),
    }
}

fn refused() -> Problem {
    let detail = "the console needs an API key with the scope read or admin, or a user token with the capability admin";
    Problem::new(Code::MissingScope, detail)
}

fn scopes(publish: bool, read: bool, admin: bool) -> Vec<&'static str> {
    [(publish, "publish"), (read, "read"), (admin, "admin")]
        .into_iter()
        .filter_map(|(has, scope)| has.then_some(scope))
        .collect()
}

fn moment(seconds: u64) -> Option<String> {
    Some(Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?.to_string())
}
