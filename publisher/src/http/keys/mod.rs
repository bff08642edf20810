//! `/v1/api-keys`: which keys are there, and how is one made, rotated and ended?
//!
//! A key's text is shown once, by the request that made it; of its secret only a hash is stored.

pub(crate) mod shapes;

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{App, console, document, list, owner, prepare};
use crate::access::Caller;
use crate::event::{Fault, FaultCode, Faults, rfc3339};
use crate::members::Members;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use carillon_backplane::api_key::Fresh;
use carillon_backplane::log::{KeyChange, Owner};
use carillon_platform::whole::whole;
use carillon_protocol::TenantId;
use carillon_protocol::ident::plain_text;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use serde_json::Value;
use shapes::{ApiKeyBody, ApiKeyChange, ApiKeyMade, ApiKeyPage, ApiKeyShown, RotationBody, shown};
use std::sync::Arc;

/// Keys on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Most keys that work, of one tenant or for all.
pub(crate) const MOST: u32 = 1_000;
/// Longest name of a key, in bytes.
const NAME_BYTES: usize = 128;
/// What a key can be good for.
const SCOPES: [&str; 3] = ["publish", "read", "admin"];
/// For how long a key that is replaced goes on where the request does not say, in seconds.
pub(crate) const OVERLAP: u64 = 24 * 60 * 60;
/// For how long at most.
pub(crate) const MOST_OVERLAP: u64 = 30 * 24 * 60 * 60;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/api-keys", get(all).post(create))
        .route("/v1/api-keys/{id}", get(one).put(change).delete(revoke))
        .route("/v1/api-keys/{id}/rotate", post(rotate))
}

/// List API keys.
///
/// Also those that have ended, for 400 days. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    operation_id = "listApiKeys",
    tag = "tenants",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for keys for all tenants, with such a key."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Keys on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = ApiKeyPage),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn all(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<ApiKeyPage>, Problem> {
    let mut query = Query::read(&uri, &["tenant", "after", "limit"])?;
    let owner = owner_of(&app, &caller, &mut query)?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after").unwrap_or_default();
    if !after.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let detail = "after is no cursor of this list: it is next of a page, unchanged";
        return Err(Problem::new(Code::InvalidCursor, detail));
    }
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    let mut found = app.health.ask(app.log.api_keys(owner.tenant(), &after, None, limit + 1)).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|key| key.id.clone());
    Ok(Json(ApiKeyPage { keys: found.into_iter().map(|key| shown(&owner, key)).collect(), next }))
}

/// Read an API key.
///
/// Without what proves it. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/api-keys/{id}",
    operation_id = "getApiKey",
    tag = "tenants",
    params(
        ("id" = String, Path, description = "The part of a key between `crln_` and the next underscore."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for keys for all tenants, with such a key."),
    ),
    responses(
        (status = 200, description = "The key.", body = ApiKeyShown),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is none of this id, or it has ended", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ApiKeyShown>, Problem> {
    let owner = owner_of(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    Ok(Json(stored(&app, &owner, &id(path)?).await?))
}

/// Make an API key.
///
/// The answer has it, and no other one does. At most 1,000 that work. Needs the scope or the capability `admin`.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    operation_id = "createApiKey",
    tag = "tenants",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for keys for all tenants, with such a key."),
    ),
    request_body(content = ApiKeyBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 201, description = "It works from now on.", body = ApiKeyMade),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `session_forbidden` (a session of the console), `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`validation`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<ApiKeyMade>), Problem> {
    let (parts, sent) = request.into_parts();
    if matches!(caller, Caller::Key(_)) {
        console::session::refuse_session(&parts.headers)?;
    }
    let judged = || owner_of(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?);
    let (owner, said) =
        document::read(&app, &caller, (&parts, sent), judged, tenant_of, prepare::invalid).await?;
    let mut faults = Faults::default();
    let read = Members::of(said, "", "an API key", &mut faults).map(|mut members| {
        let scopes = scopes(&mut members, &mut faults);
        let (name, expires_at) = (name(&mut members, &mut faults), end(&mut members, &mut faults));
        members.end("scopes, name and expires_at", &mut faults);
        (scopes, name, expires_at)
    });
    let Some((scopes, name, expires_at)) = read.filter(|_| faults.is_empty()) else {
        return Err(prepare::invalid(faults.into_vec()));
    };
    let fresh = fresh()?;
    app.health.check_writing()?;
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    let log = app.log.acting(&caller.name());
    let whose = (name.as_deref(), scopes.as_slice(), expires_at);
    done(app.health.ask(log.make_api_key((&fresh.id, &fresh.hash), owner.tenant(), whose, MOST)).await?)?;
    made(&app, &caller, &owner, fresh, "API key created").await
}

/// Change an API key.
///
/// Its name and its end, both anew. Needs the scope or the capability `admin`.
#[utoipa::path(
    put,
    path = "/v1/api-keys/{id}",
    operation_id = "putApiKey",
    tag = "tenants",
    params(
        ("id" = String, Path, description = "The part of a key between `crln_` and the next underscore."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for keys for all tenants, with such a key."),
    ),
    request_body(content = ApiKeyChange, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "It is so.", body = ApiKeyShown),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `session_forbidden` (a session of the console), `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is none of this id, or it has ended", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`validation`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<ApiKeyShown>, Problem> {
    let (parts, sent) = request.into_parts();
    if matches!(caller, Caller::Key(_)) {
        console::session::refuse_session(&parts.headers)?;
    }
    let judged = || Ok((owner_of(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?)?, id(path)?));
    let whose = |(owner, _): &(Owner, String)| tenant_of(owner);
    let ((owner, id), said) =
        document::read(&app, &caller, (&parts, sent), judged, whose, prepare::invalid).await?;
    let mut faults = Faults::default();
    let read = Members::of(said, "", "an API key", &mut faults).map(|mut members| {
        let read = (name(&mut members, &mut faults), end(&mut members, &mut faults));
        members.end("name and expires_at", &mut faults);
        read
    });
    let Some((name, expires_at)) = read.filter(|_| faults.is_empty()) else {
        return Err(prepare::invalid(faults.into_vec()));
    };
    app.health.check_writing()?;
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    let log = app.log.acting(&caller.name());
    done(app.health.ask(log.change_api_key(owner.tenant(), &id, name.as_deref(), expires_at)).await?)?;
    Ok(Json(stored(&app, &owner, &id).await?))
}

/// Replace an API key.
///
/// The answer has another one that may do the same; the one before goes on for `overlap_seconds`. Needs the scope or the capability
/// `admin`.
#[utoipa::path(
    post,
    path = "/v1/api-keys/{id}/rotate",
    operation_id = "rotateApiKey",
    tag = "tenants",
    params(
        ("id" = String, Path, description = "The part of a key between `crln_` and the next underscore."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for keys for all tenants, with such a key."),
    ),
    request_body(content = RotationBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 201, description = "The new key works from now on.", body = ApiKeyMade),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `session_forbidden` (a session of the console), `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is none of this id, or it has ended", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`validation`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<(StatusCode, Json<ApiKeyMade>), Problem> {
    let (parts, sent) = request.into_parts();
    if matches!(caller, Caller::Key(_)) {
        console::session::refuse_session(&parts.headers)?;
    }
    let judged = || Ok((owner_of(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?)?, id(path)?));
    let whose = |(owner, _): &(Owner, String)| tenant_of(owner);
    let ((owner, id), said) =
        document::read(&app, &caller, (&parts, sent), judged, whose, prepare::invalid).await?;
    let mut faults = Faults::default();
    let overlap = Members::of(said, "", "a rotation", &mut faults).map(|mut members| {
        let at = members.pointer("overlap_seconds");
        let overlap = members.take("overlap_seconds").map_or(Some(OVERLAP), |value| whole(&value));
        let overlap = overlap.filter(|seconds| *seconds <= MOST_OVERLAP);
        if overlap.is_none() {
            let detail = format!("must be a whole number of seconds from 0 to {MOST_OVERLAP}");
            faults.add(Fault::at(at, FaultCode::Invalid, detail));
        }
        members.end("overlap_seconds", &mut faults);
        overlap
    });
    let Some(overlap) = overlap.flatten().filter(|_| faults.is_empty()) else {
        return Err(prepare::invalid(faults.into_vec()));
    };
    let fresh = fresh()?;
    app.health.check_writing()?;
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    let log = app.log.acting(&caller.name());
    let made_of = (fresh.id.as_str(), &fresh.hash);
    done(app.health.ask(log.rotate_api_key(owner.tenant(), &id, made_of, overlap as u32, MOST)).await?)?;
    made(&app, &caller, &owner, fresh, "API key rotated").await
}

/// End an API key.
///
/// It stops working within ten seconds. Needs the scope or the capability `admin`.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    operation_id = "deleteApiKey",
    tag = "tenants",
    params(
        ("id" = String, Path, description = "The part of a key between `crln_` and the next underscore."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for keys for all tenants, with such a key."),
    ),
    responses(
        (status = 204, description = "It has ended."),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is none of this id, or it has ended", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let owner = owner_of(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let id = id(path)?;
    app.health.check_writing()?;
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    done(app.health.ask(app.log.acting(&caller.name()).end_api_key(owner.tenant(), &id)).await?)?;
    tracing::info!(tenant = owner.name(), id, by = caller.name(), "API key ended");
    Ok(StatusCode::NO_CONTENT)
}

fn owner_of(app: &App, caller: &Caller, query: &mut Query) -> Result<Owner, Problem> {
    owner::owner(app, caller, query, "API keys")
}

fn tenant_of(owner: &Owner) -> Option<TenantId> {
    owner.tenant().cloned()
}

/// Of a text that is no id there is no key.
fn id(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let text = path.ok().map(|Path(text)| text);
    let is_id = |text: &String| text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    text.filter(is_id).ok_or_else(missing)
}

fn done(change: KeyChange) -> Result<(), Problem> {
    match change {
        KeyChange::Done => Ok(()),
        KeyChange::NoKey => Err(missing()),
        KeyChange::TooMany => {
            let detail = format!("there are {MOST} keys that work, and no more may be: end some");
            Err(prepare::invalid(vec![Fault::at("", FaultCode::TooMany, detail)]))
        }
        KeyChange::Ended => {
            Err(Problem::new(Code::CredentialsInvalid, "the API key of this request has ended"))
        }
    }
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no API key of this id, or it has ended")
}

fn fresh() -> Result<Fresh, Problem> {
    Fresh::make().map_err(|_| Problem::new(Code::Internal, "a key could not be made"))
}

fn scopes(members: &mut Members, faults: &mut Faults) -> Vec<&'static str> {
    let at = members.pointer("scopes");
    let Some(value) = members.take("scopes") else {
        faults.add(Fault::at(at, FaultCode::Required, "is required"));
        return Vec::new();
    };
    let named: Option<Vec<&str>> =
        value.as_array().and_then(|scopes| scopes.iter().map(Value::as_str).collect());
    let named = named.filter(|named| !named.is_empty() && named.iter().all(|scope| SCOPES.contains(scope)));
    let Some(named) = named else {
        let detail = "must be an array of publish, read and admin, at least one";
        faults.add(Fault::at(at, FaultCode::Invalid, detail));
        return Vec::new();
    };
    SCOPES.into_iter().filter(|scope| named.contains(scope)).collect()
}

fn name(members: &mut Members, faults: &mut Faults) -> Option<String> {
    let text = members.text("name", NAME_BYTES, faults)?;
    if plain_text(&text, NAME_BYTES) {
        return Some(text);
    }
    let detail = format!("must be 1-{NAME_BYTES} bytes of UTF-8 without control characters");
    faults.add(Fault::at(members.pointer("name"), FaultCode::Invalid, detail));
    None
}

/// A time to come.
fn end(members: &mut Members, faults: &mut Faults) -> Option<Timestamp> {
    let text = members.text("expires_at", 64, faults)?;
    let read = rfc3339::parse(&text).and_then(|moment| moment.to_string().parse::<Timestamp>().ok());
    if read.is_none_or(|end| end <= Timestamp::now()) {
        let detail = format!("must be a time to come, {}", rfc3339::ALLOWED);
        faults.add(Fault::at(members.pointer("expires_at"), FaultCode::Invalid, detail));
    }
    read
}

async fn stored(app: &App, owner: &Owner, id: &str) -> Result<ApiKeyShown, Problem> {
    let found = app.health.ask(app.log.api_keys(owner.tenant(), "", Some(id), 1)).await?;
    found.into_iter().next().map(|key| shown(owner, key)).ok_or_else(missing)
}

async fn made(
    app: &App,
    caller: &Caller,
    owner: &Owner,
    fresh: Fresh,
    what: &'static str,
) -> Result<(StatusCode, Json<ApiKeyMade>), Problem> {
    tracing::info!(tenant = owner.name(), id = fresh.id, by = caller.name(), "{what}");
    let shown = stored(app, owner, &fresh.id).await?;
    Ok((StatusCode::CREATED, Json(ApiKeyMade { shown, key: fresh.text })))
}
