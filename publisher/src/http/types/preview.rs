//! `POST /v1/event-types/{type}/preview`: what would a type's templates make of these variables?

use super::shapes::{Preview, PreviewBody, TypesQuery};
use super::{kind, no_such_type, owner_of, reader};
use crate::access::Caller;
use crate::event::draft::Data;
use crate::event::{Fault, FaultCode, Faults};
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::prepare::invalid;
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::reads::Reader;
use crate::http::{App, document};
use crate::members::Members;
use crate::types::{self, Work, locale};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use carillon_backplane::log::Owner;
use carillon_protocol::TenantId;
use serde_json::Value;
use std::sync::Arc;

/// Try the templates of an event type.
///
/// What a notice of this type would say to somebody who reads this language, with these variables; or what keeps it from being
/// published. In a tenant: its own type of this name, or the installation's. Nothing is stored. Needs the scope or the
/// capability `admin`.
#[utoipa::path(
    post,
    path = "/v1/event-types/{type}/preview",
    operation_id = "previewEventType",
    tag = "event types",
    params(("type" = String, Path, description = "The type, percent-encoded."), TypesQuery),
    request_body(content = PreviewBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "What it would say.", body = Preview),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: nothing is said about this type", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`template`: a variable is missing, or else the templates cannot be filled; `validation`: another fault", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn preview(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Preview>, Problem> {
    let (parts, sent) = request.into_parts();
    let judged = || {
        let owner = owner_of(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?)?;
        match &owner {
            Owner::Tenant(tenant) => Ok((tenant.clone(), reader(&app, &owner, &caller), kind(path)?)),
            Owner::Installation => Err(query::invalid("tenant", "a tenant: templates are tried in one")),
        }
    };
    let whose = |(tenant, _, _): &(TenantId, Reader, String)| Some(tenant.clone());
    let ((tenant, reader, kind), said) =
        document::read(&app, &caller, (&parts, sent), judged, whose, invalid).await?;
    let mut faults = Faults::default();
    let wanted = wanted(said, &mut faults);
    let Some(wanted) = wanted.filter(|_| faults.is_empty()) else { return Err(invalid(faults.into_vec())) };
    let types = {
        let _turn = reader.turn().await?;
        app.types.of(&tenant).await?
    };
    let found = types.get(&kind).ok_or_else(no_such_type)?;
    if let Some(data) = &wanted.data {
        found.check(Some(&Data::Json(data.to_string())), "", &mut faults);
    }
    let at = if wanted.vars.is_some() { "/vars" } else { "/data" };
    let variables = types::variables(wanted.vars.as_ref(), wanted.data.as_ref());
    let rendered = found.render(&variables, at, &mut Work::default(), &mut faults);
    if !faults.is_empty() {
        return Err(invalid(faults.into_vec()));
    }
    let Some(rendered) = rendered else {
        let detail = "the type has no title, so its notices have no text of their own";
        return Err(invalid(vec![Fault::at("", FaultCode::Template, detail)]));
    };
    let (locale, texts) = rendered.texts_for(wanted.locale.as_deref());
    let title = texts.title.unwrap_or_default();
    Ok(Json(Preview { r#type: kind, locale, title, body: texts.body }))
}

struct Wanted {
    locale: Option<String>,
    vars: Option<Value>,
    data: Option<Value>,
}

fn wanted(said: Value, faults: &mut Faults) -> Option<Wanted> {
    let mut members = Members::of(said, "", "locale, vars and data", faults)?;
    let locale = members.text("locale", 256, faults);
    if let Some(text) = &locale
        && locale::canonical(text).is_none()
    {
        let detail = format!("must be {}", locale::ALLOWED);
        faults.add(Fault::at(members.pointer("locale"), FaultCode::Invalid, detail));
    }
    let vars = members.take("vars");
    if vars.as_ref().is_some_and(|vars| !vars.is_object()) {
        faults.add(Fault::at(members.pointer("vars"), FaultCode::WrongType, "must be an object: variables"));
    }
    let wanted = Wanted { locale, vars, data: members.take("data") };
    members.end("locale, vars and data", faults);
    Some(wanted)
}
