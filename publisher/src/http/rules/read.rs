//! Which rules are there?

use super::shapes::{ChannelRule, ChannelRules, RulesQuery};
use super::{owner, pattern, reader};
use crate::access::Caller;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::reads::Reader;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{Owner, Settings, StoredRule};
use carillon_platform::rules::{Document, Pattern};
use http::{HeaderValue, Uri, header};
use std::sync::Arc;

/// List the channel rules.
///
/// Of the tenant alone; the installation's are had with `tenant=*`. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/channel-rules",
    operation_id = "listChannelRules",
    tag = "rules",
    params(RulesQuery),
    responses(
        (status = 200, description = "All of them: at most 1,000, and 256 KiB.", body = ChannelRules),
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
    let owner = owner(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let reader = reader(&app, &owner, &caller);
    let held = reader.hold()?;
    let settings = settings(&app, &reader, &owner).await?;
    let rules = settings.rules.into_iter().map(shown).collect();
    let text = serde_json::to_vec(&ChannelRules { rules })
        .map_err(|_| Problem::new(Code::Internal, "the rules cannot be written"))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], Body::from(held.piece(text))).into_response())
}

/// Read one channel rule.
///
/// Of the tenant; with `tenant=*` one of the installation. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/channel-rules/{pattern}",
    operation_id = "getChannelRule",
    tag = "rules",
    params(("pattern" = String, Path, description = "The rule's pattern, percent-encoded."), RulesQuery),
    responses(
        (status = 200, description = "The rule.", body = ChannelRule),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no rule of this pattern", body = ProblemDocument, content_type = "application/problem+json"),
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
) -> Result<Json<ChannelRule>, Problem> {
    let owner = owner(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let pattern = pattern(path)?;
    let reader = reader(&app, &owner, &caller);
    let mut stored = settings(&app, &reader, &owner).await?.rules.into_iter();
    let found = stored.find(|rule| rule.pattern == pattern.as_str()).ok_or_else(no_such_rule)?;
    Ok(Json(shown(found)))
}

/// What is set; a tenant that was never used has set nothing.
async fn settings(app: &App, reader: &Reader, owner: &Owner) -> Result<Settings, Problem> {
    let _turn = reader.turn().await?;
    Ok(app.rules.settings(owner).await?.unwrap_or_default())
}

pub(super) fn no_such_rule() -> Problem {
    Problem::new(Code::NotFound, "there is no rule of this pattern")
}

/// A stored rule as answers show it. One that cannot be read is shown as what it is: closed.
fn shown(stored: StoredRule) -> ChannelRule {
    let read = match Pattern::new(&stored.pattern) {
        Ok(_) => Document::stored(&stored.rule),
        Err(fault) => Err(fault.to_string()),
    };
    match read {
        Ok(document) => rule(stored.pattern, document),
        Err(error) => {
            tracing::warn!(error, pattern = stored.pattern, "a stored channel rule cannot be read");
            closed(stored.pattern)
        }
    }
}

fn closed(pattern: String) -> ChannelRule {
    ChannelRule {
        pattern,
        subscribe: Vec::new(),
        publish: Vec::new(),
        signal: Vec::new(),
        presence: Vec::new(),
        history: Vec::new(),
        client_types: Vec::new(),
        durable: false,
        typing: false,
        presence_grace_ms: 0,
        rate: 0,
        unreadable: Some(true),
    }
}

pub(super) fn rule(pattern: String, document: Document) -> ChannelRule {
    let Document { subscribe, publish, signal, presence, history, client_types, .. } = document;
    let Document { durable, typing, presence_grace_ms, rate, .. } = document;
    ChannelRule {
        pattern,
        subscribe,
        publish,
        signal,
        presence,
        history,
        client_types,
        durable,
        typing,
        presence_grace_ms,
        rate,
        unreadable: None,
    }
}
