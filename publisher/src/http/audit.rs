//! `GET /v1/audit`: who changed what?

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{App, list, owner};
use crate::access::Caller;
use crate::event::rfc3339;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use carillon_backplane::log::{AuditAsk, AuditEntry};
use http::Uri;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

/// Changes on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Longest text of a filter, in bytes.
const FILTER_BYTES: usize = 400;

/// A page of changes.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// At most `limit`, newest first.
    entries: Vec<AuditRecord>,
    /// Cursor for `after`: the next page. Null on the last one.
    next: Option<String>,
}

/// A change that an administrator made.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditRecord {
    /// Its number; of two changes the later one has a larger.
    id: i64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Who: `key:<id>`, `user:<id>`, `service` (Carillon itself), or `login:<name>` of whoever worked in the database.
    actor: String,
    /// What was done: `channel_rule`, `event_type`, `webhook`, `api_key`, `limits`, `suspension`, `application`, `preference_defaults`,
    /// `preferences`, `revocation`, `webhook_delivery` or `application_login`, a point, and `created`, `changed` or `deleted`.
    action: String,
    /// To which of them.
    target: String,
    /// What it was; null: it was not there. Secrets are a part of their SHA-256.
    #[schema(value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// What it is; null: it is gone.
    #[schema(value_type = Option<Object>)]
    after: Option<Box<RawValue>>,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/audit", get(audit))
}

/// Read who changed what.
///
/// Every change of what administrators set, recorded with it in one transaction, newest first; kept for 400 days. Needs the scope or
/// the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listAudit",
    tag = "tenants",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants; `*` for what is set for the installation, with an API key for all tenants."),
        ("actor" = Option<String>, Query, description = "Who, as in an entry: `key:3f9a`, `user:mila`."),
        ("action" = Option<String>, Query, description = "`webhook.deleted`, or `webhook` for all that was done to webhooks."),
        ("target" = Option<String>, Query, description = "To which, as in an entry."),
        ("from" = Option<String>, Query, description = "From this time on: RFC 3339."),
        ("to" = Option<String>, Query, description = "Before this time."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Changes on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = AuditPage),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<AuditPage>, Problem> {
    let names = ["tenant", "actor", "action", "target", "from", "to", "after", "limit"];
    let mut query = Query::read(&uri, &names)?;
    let owner = owner::owner(&app, &caller, &mut query, "records of changes")?;
    let mut text = |name: &str| {
        query.parsed(name, "1-400 bytes", |text| {
            ((1..=FILTER_BYTES).contains(&text.len()) && !text.contains('\0')).then(|| text.to_owned())
        })
    };
    let (actor, action, target) = (text("actor")?, text("action")?, text("target")?);
    let mut moment = |name: &str| query.parsed(name, rfc3339::ALLOWED, |text| text.parse().ok());
    let (from, to) = (moment("from")?, moment("to")?);
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after").map(|text| text.parse::<i64>().ok().filter(|id| *id > 0));
    let before = after.map(|id| id.ok_or_else(invalid_cursor)).transpose()?.unwrap_or(i64::MAX);
    let _turn = app.reads.reader(owner.name(), &caller.name()).turn().await?;
    let ask = AuditAsk { actor, action, target, from, to, before, limit: limit + 1 };
    let mut found = app.health.ask(app.log.audit(&owner, &ask)).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|entry| entry.id.to_string());
    Ok(Json(AuditPage { entries: found.into_iter().map(record).collect(), next }))
}

/// As it is shown, here and by the command.
pub(crate) fn record(entry: AuditEntry) -> AuditRecord {
    // It was JSON when it was stored.
    let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
    AuditRecord {
        id: entry.id,
        at: entry.at.to_string(),
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        before: json(entry.before),
        after: json(entry.after),
    }
}

fn invalid_cursor() -> Problem {
    Problem::new(Code::InvalidCursor, "after is no cursor of this list: it is next of a page, unchanged")
}
