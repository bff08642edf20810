//! `POST /v1/tickets`: how does somebody connect whose client can set no header?

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{App, body, no_entry};
use crate::access::{Caller, Scope, TenantFault};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use carillon_platform::auth::{AuthError, ticket};
use carillon_protocol::{TenantId, UserId, limits};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a ticket works.
const LASTS: Duration = Duration::from_secs(30);
/// Tickets of one person that nobody has used yet.
const OF_PERSON: u32 = 16;

/// A ticket.
#[derive(Serialize, ToSchema)]
pub(super) struct Ticket {
    /// For the parameter `ticket` of `/v1/ws`, `/v1/sse` or `/v1/commands`, or wherever a token may stand there: it works once.
    ticket: String,
    /// Seconds that it works for.
    expires_in: u64,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/tickets", post(issue))
}

/// Get a ticket.
///
/// It lets one WebSocket or event stream in, as whom the credentials of this request name, in their tenant, until these end. For
/// browsers, which can set no header there: a token in a URL would stay in logs. Needs a user token or an API key with the scope `read`; the
/// body is empty or `{}`.
#[utoipa::path(
    post,
    path = "/v1/tickets",
    operation_id = "issueTicket",
    tag = "tickets",
    params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
    responses(
        (status = 201, description = "The ticket.", body = Ticket),
        (status = 400, description = "`invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope` (an API key without the scope `read`), `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_tickets`: 16 of this person, or of this API key in this tenant, have not been used; `too_many_requests`, `body_share_full`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, sent) = request.into_parts();
    let judged = || {
        let mut query = Query::read(&parts.uri, &["tenant"])?;
        let asked = query.named("tenant", |text| TenantId::new(text))?;
        whom(&app, &caller, asked.as_ref())
    };
    let whom = match judged() {
        Ok(whom) => whom,
        Err(problem) => {
            body::discard(&app.bodies, &parts, sent, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    let holder = body::holder(&caller.publisher(), Some(&whom.tenant));
    let held = body::read(&app.bodies, holder, &parts, sent).await?;
    let says_nothing = held.bytes.is_empty()
        || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&held.bytes)
            .is_ok_and(|fields| fields.is_empty());
    if !says_nothing {
        return Err(Problem::new(
            Code::InvalidBody,
            "the body must be empty or {}: a ticket is for whom the credentials name",
        ));
    }
    let (text, hash) = ticket::fresh();
    let _turn = app.reads.reader(whom.tenant.as_str(), &caller.name()).turn().await?;
    app.health.check_writing()?;
    let bearer = (&whom.tenant, &whom.user);
    if !app.health.ask(app.log.issue_ticket(&hash, bearer, &whom.stored, LASTS, OF_PERSON)).await? {
        let detail =
            format!("{OF_PERSON} tickets of this person have not been used; use one, or wait until they end");
        return Err(Problem::new(Code::TooManyTickets, detail));
    }
    let ticket = Ticket { ticket: text, expires_in: LASTS.as_secs() };
    let no_store = HeaderValue::from_static("no-store");
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, no_store)], axum::Json(ticket)).into_response())
}

/// Whom a ticket lets in.
struct Whom {
    tenant: TenantId,
    user: UserId,
    /// As it is stored.
    stored: String,
}

fn whom(app: &App, caller: &Caller, tenant: Option<&TenantId>) -> Result<Whom, Problem> {
    let unwritable = || Problem::new(Code::Internal, "the bearer of these credentials cannot be written");
    let Caller::User(claims) = caller else {
        let entry = caller.enter(tenant).map_err(no_entry)?;
        let Caller::Key(key) = caller else { return Err(unwritable()) };
        if !entry.may(Scope::Read) {
            let detail = "a ticket lets somebody listen: an API key needs the scope read";
            return Err(Problem::new(Code::MissingScope, detail));
        }
        app.is_open(caller, &entry.tenant)?;
        let stored =
            ticket::stored_key(&key.id, &entry.tenant, key.expires_at_secs).ok_or_else(unwritable)?;
        let user = UserId::new(caller.name()).map_err(|_| unwritable())?;
        return Ok(Whom { tenant: entry.tenant, user, stored });
    };
    let identity = claims.enter(tenant).map_err(|error| match error {
        AuthError::TenantRequired => no_entry(TenantFault::Required),
        AuthError::Revoked => no_entry(TenantFault::Revoked),
        _ => no_entry(TenantFault::Forbidden),
    })?;
    app.is_open(caller, &identity.tenant)?;
    let stored = ticket::stored(&identity).ok_or_else(unwritable)?;
    Ok(Whom { user: identity.user.clone(), tenant: identity.tenant, stored })
}
