//! Which types are there?

use super::shapes::{EventTypeShown, EventTypes, TypesQuery};
use super::{kind, no_such_type, owner_of, reader};
use crate::access::Caller;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::StoredType;
use http::{HeaderValue, Uri, header};
use std::sync::Arc;

/// List the event types.
///
/// Of the tenant alone; the installation's are had with `tenant=*`. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/event-types",
    operation_id = "listEventTypes",
    tag = "event types",
    params(TypesQuery),
    responses(
        (status = 200, description = "All of them: at most 500, and 512 KiB.", body = EventTypes),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let owner = owner_of(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let reader = reader(&app, &owner, &caller);
    let held = reader.hold()?;
    let stored = {
        let _turn = reader.turn().await?;
        app.types.stored(&owner).await?
    };
    let types = stored.types.into_iter().map(shown).collect();
    let text = serde_json::to_vec(&EventTypes { types })
        .map_err(|_| Problem::new(Code::Internal, "the types cannot be written"))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], Body::from(held.piece(text))).into_response())
}

/// Read one event type.
///
/// Of the tenant; with `tenant=*` one of the installation. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/event-types/{type}",
    operation_id = "getEventType",
    tag = "event types",
    params(("type" = String, Path, description = "The type, percent-encoded."), TypesQuery),
    responses(
        (status = 200, description = "What is said about it.", body = EventTypeShown),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing is said about this type", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<EventTypeShown>, Problem> {
    let owner = owner_of(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let kind = kind(path)?;
    let reader = reader(&app, &owner, &caller);
    let _turn = reader.turn().await?;
    let mut stored = app.types.stored(&owner).await?.types.into_iter();
    let found = stored.find(|stored| stored.kind == kind).ok_or_else(no_such_type)?;
    Ok(Json(shown(found)))
}

/// A stored type as answers show it.
fn shown(stored: StoredType) -> EventTypeShown {
    match serde_json::from_str(&stored.definition) {
        Ok(definition) => EventTypeShown::of(stored.kind, definition),
        Err(error) => {
            tracing::warn!(%error, kind = stored.kind, "a stored event type cannot be read");
            EventTypeShown::unreadable(stored.kind)
        }
    }
}
