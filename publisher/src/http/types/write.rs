//! How is a type set, and how does it go?

use super::shapes::{EventTypeBody, EventTypeShown, TypesQuery};
use super::{kind, no_such_type, owner_of, reader};
use crate::access::Caller;
use crate::event::{Fault, FaultCode};
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::{App, document, inbox, unknown_tenant};
use crate::rules::Changed;
use crate::types::Definition;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use carillon_backplane::log::{Owner, RuleChange, StoredTypes, TypeSays};
use carillon_protocol::TenantId;
use http::{StatusCode, Uri};
use std::sync::{Arc, Mutex, PoisonError};

/// Most types of an owner.
const TYPES: usize = 500;
/// Most that is said about all of them, in bytes.
const TYPES_BYTES: usize = 512 * 1024;

/// Set an event type.
///
/// From now on `data` of each event of this type is checked by its schema before it is stored. Publishers know it within two seconds,
/// the one that answers at once. Needs the scope or the capability `admin`.
#[utoipa::path(
    put,
    path = "/v1/event-types/{type}",
    operation_id = "putEventType",
    tag = "event types",
    params(("type" = String, Path, description = "The type, percent-encoded: 1-256 bytes without white space, control characters or `*`."), TypesQuery),
    request_body(content = EventTypeBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "It holds.", body = EventTypeShown),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_event_type`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<EventTypeShown>, Problem> {
    let (parts, sent) = request.into_parts();
    let judged = || Ok((owner_of(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?)?, kind(path)?));
    let whose = |(owner, _): &(Owner, String)| tenant_of(owner).cloned();
    let ((owner, kind), said) = document::read(&app, &caller, (&parts, sent), judged, whose, invalid).await?;
    let definition = Definition::read(said).map_err(invalid)?;
    if let Some(tenant) = tenant_of(&owner)
        && !app.tenants.ensure(tenant, &caller.publisher()).await?
    {
        return Err(unknown_tenant());
    }
    let stored = serde_json::to_string(&definition)
        .map_err(|_| Problem::new(Code::Internal, "the type cannot be written"))?;
    let was = Mutex::new(None);
    let fits = |before: &StoredTypes| {
        *was.lock().unwrap_or_else(PoisonError::into_inner) = stands(&kind, before);
        fits(&kind, &stored, before)
    };
    let _turn = reader(&app, &owner, &caller).turn().await?;
    match app.types.change(&caller.name(), &owner, &kind, RuleChange::Put(&stored), fits).await? {
        Changed::Yes => {
            tracing::info!(tenant = owner.name(), kind, by = caller.name(), "event type set");
            let was = was.into_inner().unwrap_or_else(PoisonError::into_inner);
            tell(&app, &owner, &kind, was, Some(definition.inbox())).await;
            Ok(Json(EventTypeShown::of(kind, definition)))
        }
        Changed::NoOwner => Err(unknown_tenant()),
    }
}

/// Delete an event type.
///
/// Its events are from now on as the installation's type of this name says, or as nobody says.
#[utoipa::path(
    delete,
    path = "/v1/event-types/{type}",
    operation_id = "deleteEventType",
    tag = "event types",
    params(("type" = String, Path, description = "The type, percent-encoded."), TypesQuery),
    responses(
        (status = 204, description = "It is gone."),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing is said about this type", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let owner = owner_of(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let kind = kind(path)?;
    let was = Mutex::new(None);
    let is_there = |before: &StoredTypes| {
        let stood = stands(&kind, before);
        *was.lock().unwrap_or_else(PoisonError::into_inner) = stood;
        stood.map(|_| ()).ok_or_else(no_such_type)
    };
    let _turn = reader(&app, &owner, &caller).turn().await?;
    match app.types.change(&caller.name(), &owner, &kind, RuleChange::Delete, is_there).await? {
        Changed::Yes => {
            tracing::info!(tenant = owner.name(), kind, by = caller.name(), "event type deleted");
            let was = was.into_inner().unwrap_or_else(PoisonError::into_inner);
            tell(&app, &owner, &kind, was, None).await;
            Ok(StatusCode::NO_CONTENT)
        }
        Changed::NoOwner => Err(no_such_type()),
    }
}

/// What a type that is stored says about inboxes; none: there is no such type.
fn stands(kind: &str, stored: &StoredTypes) -> Option<Option<TypeSays>> {
    let stored = stored.types.iter().find(|stored| stored.kind == kind)?;
    let definition: Option<Definition> = serde_json::from_str(&stored.definition).ok();
    Some(definition.and_then(|definition| definition.inbox()))
}

/// Tells a tenant's devices if other notices stand in inboxes now. Who is in a tenant that has the installation's types is not known
/// here: there the entity tags are others.
async fn tell(
    app: &App,
    owner: &Owner,
    kind: &str,
    was: Option<Option<TypeSays>>,
    is: Option<Option<TypeSays>>,
) {
    let Owner::Tenant(tenant) = owner else { return };
    if was == is {
        return;
    }
    let same = app.types.stored(&Owner::Installation).await.is_ok_and(|stored| {
        let otherwise = stands(kind, &stored).flatten();
        was.unwrap_or(otherwise) == is.unwrap_or(otherwise)
    });
    if !same {
        inbox::tell_stale(app, tenant, None);
    }
}

fn tenant_of(owner: &Owner) -> Option<&TenantId> {
    match owner {
        Owner::Tenant(tenant) => Some(tenant),
        Owner::Installation => None,
    }
}

/// Whether a type of this name that says this may stand beside those that there are.
fn fits(kind: &str, says: &str, before: &StoredTypes) -> Result<(), Problem> {
    let bytes = |is_it: bool| {
        let of = before.types.iter().filter(|stored| (stored.kind == kind) == is_it);
        of.map(|stored| stored.kind.len() + stored.definition.len()).sum::<usize>()
    };
    let others = before.types.iter().filter(|stored| stored.kind != kind).count();
    if others >= TYPES {
        return Err(at_type(format!("there are {TYPES} types already, and no more may be")));
    }
    let needs = kind.len() + says.len();
    // One that gets no larger may always be set.
    if bytes(false) + needs > TYPES_BYTES && needs > bytes(true) {
        let detail = format!("with this one the types would have more than {TYPES_BYTES} bytes together");
        return Err(at_type(detail));
    }
    Ok(())
}

fn at_type(detail: String) -> Problem {
    invalid(vec![Fault::in_parameter("type", FaultCode::TooMany, detail)])
}

fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = match &faults[..] {
        [only] => format!("the event type has a fault: {}", only.detail),
        several => format!("the event type has {} faults", several.len()),
    };
    Problem::new(Code::InvalidEventType, detail).at(faults)
}
