//! `/v1/console/session`: who is signed in to the console?

use super::code;
use super::problems::{
    ConsoleForbidden, ConsoleKeyNeeded, ConsoleProblems, ConsoleUnauthenticated, ConsoleUnwritable,
};
use crate::access::{Caller, TenantFault, session};
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::reads::Reader;
use crate::http::{App, address, no_entry};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use carillon_backplane::api_key::Fresh;
use carillon_backplane::log::SessionFor;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri, header};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a session goes on.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// How long a link works.
const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);

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

/// A link that signs in.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConsoleLink {
    /// For `Authorization` of `POST /v1/console/session`: it works once.
    code: String,
    /// The path of the console with the code, to be put behind the address that serves it.
    path: String,
    /// Seconds that it works for.
    expires_in: u64,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/console/session", get(read).post(begin).delete(end))
        .route("/v1/console/links", post(link))
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
        ConsoleProblems,
        ConsoleUnauthenticated,
        ConsoleForbidden,
        (status = 503, description = "`unavailable`, `log_busy`: whose the credentials are is not known", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn read(
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<ConsoleSession>, Problem> {
    Query::read(&uri, &[])?;
    Ok(Json(ConsoleSession { kept: session::brings_no_other_credentials(&headers), ..shown(&caller)? }))
}

/// Begin a session of the console.
///
/// For twelve hours, or until the API key ends: the answer sets a cookie that stands for the key, beside the header `Carillon-Console`.
/// Needs an API key with the scope `read` or `admin`, or, in `Authorization`, the code of a link, which works once. There is no body.
#[utoipa::path(
    post,
    path = "/v1/console/session",
    operation_id = "beginConsoleSession",
    tag = "console",
    responses(
        (status = 201, description = "It has begun.", body = ConsoleSession),
        ConsoleProblems,
        (status = 401, description = "`code_invalid`: there is no such code, it was used, or it has ended; `credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        ConsoleKeyNeeded,
        ConsoleUnwritable,
    ),
)]
pub(in crate::http) async fn begin(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    parts: Parts,
) -> Result<Response, Problem> {
    Query::read(&parts.uri, &[])?;
    let code = code_of(&parts.headers);
    let caller = match &code {
        Some(_) => None,
        None => Some(caller?),
    };
    let whose = match (&caller, &code) {
        (_, Some(code)) => SessionFor::Code(code),
        (Some(caller @ Caller::Key(key)), _) => {
            shown(caller)?;
            refuse_session(&parts.headers)?;
            SessionFor::Key(&key.id)
        }
        _ => {
            let detail = "a session is for an API key; a user token is kept in memory by the page";
            return Err(Problem::new(Code::MissingScope, detail));
        }
    };
    let fresh = Fresh::make().map_err(|_| Problem::new(Code::Internal, "a session could not be made"))?;
    app.health.check_writing()?;
    // Codes are as cheap to make up as API keys.
    let turn = match code {
        Some(_) => Some(app.gate.turn(address(&parts)).await?),
        None => None,
    };
    let turn_of_key = match &caller {
        Some(caller) => Some(reader(&app, caller).turn().await?),
        None => None,
    };
    let begun = app.log.begin_console_session((&fresh.id, &fresh.hash), whose, SESSION_LIFETIME);
    if !app.health.ask(begun).await? {
        return Err(match code {
            Some(_) => Problem::new(Code::CodeInvalid, "the code does not exist, was used or has ended"),
            None => Problem::new(Code::CredentialsInvalid, "the API key of this request has ended"),
        });
    }
    let key = app.health.ask(app.log.console_session(&fresh.id)).await?;
    let key = key.ok_or_else(|| Problem::new(Code::CredentialsInvalid, "the API key has ended"))?;
    drop((turn, turn_of_key));
    tracing::info!(key = key.id, by_link = code.is_some(), "a session of the console begins");
    let session = ConsoleSession { kept: true, ..shown(&Caller::Key(key))? };
    let cookie = session::cookie(&parts.headers, &fresh.text, SESSION_LIFETIME.as_secs());
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(session)).into_response())
}

/// End the session of the console.
///
/// The one of the request's cookie, if there is one; it stops working within ten seconds. If it had ended, the cookie is taken back all
/// the same.
#[utoipa::path(
    delete,
    path = "/v1/console/session",
    operation_id = "endConsoleSession",
    tag = "console",
    responses(
        (status = 204, description = "There is none any more; the cookie is taken back."),
        ConsoleProblems,
        ConsoleUnauthenticated,
        ConsoleForbidden,
        ConsoleUnwritable,
    ),
)]
pub(in crate::http) async fn end(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::read(&uri, &[])?;
    match caller {
        Ok(caller) => {
            shown(&caller)?;
            // Beside other credentials nobody has proved the cookie.
            let text = session::of(&headers)
                .ok()
                .flatten()
                .filter(|_| session::brings_no_other_credentials(&headers));
            if let Some(id) = text.and_then(|text| text.split('_').nth(1)) {
                let _turn = reader(&app, &caller).turn().await?;
                app.health.check_writing()?;
                app.health.ask(app.log.end_console_session(id)).await?;
            }
        }
        // The session has ended, or nobody can say which of two it is.
        Err(problem)
            if problem.code == Code::CredentialsInvalid && session::brings_no_other_credentials(&headers) => {
        }
        Err(problem) => return Err(problem),
    }
    let cookie = session::cookie(&headers, "", 0);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Get a code for a link that signs in to the console.
///
/// `/console#code=…` begins a session of the API key of this request, once, within a quarter of an hour. Needs an API key with the scope
/// `read` or `admin`. There is no body.
#[utoipa::path(
    post,
    path = "/v1/console/links",
    operation_id = "issueConsoleLink",
    tag = "console",
    responses(
        (status = 201, description = "The code.", body = ConsoleLink),
        ConsoleProblems,
        ConsoleUnauthenticated,
        ConsoleKeyNeeded,
        ConsoleUnwritable,
    ),
)]
pub(in crate::http) async fn link(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<(StatusCode, Json<ConsoleLink>), Problem> {
    Query::read(&uri, &[])?;
    shown(&caller)?;
    refuse_session(&headers)?;
    let Caller::Key(key) = &caller else {
        return Err(Problem::new(Code::MissingScope, "a link signs in with an API key"));
    };
    let (code, hash) =
        code::fresh().ok_or_else(|| Problem::new(Code::Internal, "a code could not be made"))?;
    let _turn = reader(&app, &caller).turn().await?;
    app.health.check_writing()?;
    if !app.health.ask(app.log.issue_console_code(&hash, &key.id, LINK_LIFETIME)).await? {
        return Err(Problem::new(Code::CredentialsInvalid, "the API key of this request has ended"));
    }
    let link =
        ConsoleLink { path: format!("/console#code={code}"), code, expires_in: LINK_LIFETIME.as_secs() };
    Ok((StatusCode::CREATED, Json(link)))
}

/// The code that `Authorization` brings instead of credentials.
fn code_of(headers: &HeaderMap) -> Option<[u8; 32]> {
    code::read(headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?.1.trim())
}

/// Refuses a session of the console: what the request makes would outlive it.
pub(in crate::http) fn refuse_session(headers: &HeaderMap) -> Result<(), Problem> {
    match session::brings_no_other_credentials(headers) {
        true => Err(Problem::new(
            Code::SessionForbidden,
            "a session of the console does not do that; send the API key",
        )),
        false => Ok(()),
    }
}

/// The turn among those who ask the database, as everywhere: by tenant and key.
fn reader(app: &App, caller: &Caller) -> Reader {
    let tenant = match caller {
        Caller::Key(key) => key.tenant.as_ref().map(|tenant| tenant.as_str()),
        Caller::User(_) | Caller::Relayed(_) => None,
    };
    app.reads.reader(tenant.unwrap_or("*"), &caller.name())
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
