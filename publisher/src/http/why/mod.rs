//! `GET /v1/why`: why did an event reach a person, or why not?
//!
//! | module | question it answers |
//! |---|---|
//! | `shapes` | how does the answer look? |
//! | `gather` | what is known of the event and the person? |
//! | `facts` | which facts stand behind the answer? |
//!
//! What is decided is decided in [`crate::why`].

mod facts;
mod gather;
mod shapes;

use super::App;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use crate::access::{Caller, Entry};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use carillon_platform::auth::Identity;
use carillon_protocol::{Channel, DeviceId, EventId, TenantId, UserId};
use gather::Question;
use http::Uri;
pub(super) use shapes::Why;
use std::sync::Arc;

const PARAMETERS: [&str; 5] = ["tenant", "event", "user", "device", "roles"];
/// Most roles that a request names.
const ROLES: usize = 64;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/why", get(why))
}

/// Why did it reach somebody, or why not?
///
/// For an event and a person: a verdict, an answer in words and the facts behind it, in the order of the event's way: committed,
/// addressed, received, shown, handled. Rules and preferences count as they are now. Whatever is asked about is answered with 200, also an
/// event that was never published. Needs an API key with the scope `read` or `admin`, or a user token with the capability `admin`; with any
/// other user token about oneself, of events that one may read.
#[utoipa::path(
    get,
    path = "/v1/why",
    operation_id = "getWhy",
    tag = "events",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("event" = String, Query, description = "The event's id. Of several with one id the newest is meant."),
        ("user" = Option<String>, Query, description = "The person; left out: oneself."),
        ("device" = Option<String>, Query, description = "Only this device of theirs: why did this phone not ring?"),
        ("roles" = Option<String>, Query, description = "Roles that their token has, with commas between them: the server keeps none. Those with which they were connected last are known."),
    ),
    responses(
        (status = 200, description = "The answer.", body = Why),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn why(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Json<Why>, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = app.enter(&caller, asked.as_ref())?;
    let question = question(&mut query, &entry)?;
    let _turn = app.reads.reader(entry.tenant.as_str(), &caller.name()).turn().await?;
    gather::answer(&app, &entry, question).await.map(Json)
}

fn question(query: &mut Query, entry: &Entry) -> Result<Question, Problem> {
    let event = query.named("event", |text| EventId::new(text))?.ok_or_else(|| missing("event"))?;
    let named = query.named("user", |text| UserId::new(text))?;
    let device = query.named("device", |text| DeviceId::new(text))?;
    let roles: Vec<String> = query
        .take("roles")
        .iter()
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|role| !role.is_empty())
        .map(str::to_owned)
        .collect();
    if roles.len() > ROLES || roles.iter().any(|role| Channel::role(role).is_err()) {
        return Err(query::invalid("roles", "names of roles with commas between them, at most 64"));
    }
    let sees_all = entry.sees_all();
    let (user, oneself) = match (named, &entry.user) {
        (Some(named), Some(own)) if named == *own => (named, true),
        (Some(named), _) if sees_all => (named, false),
        (None, Some(own)) => (own.clone(), true),
        (None, None) if sees_all => return Err(missing("user")),
        _ => {
            let detail = "what reached other people needs an API key with the scope read or admin, or a token with the capability admin";
            return Err(Problem::new(Code::MissingScope, detail));
        }
    };
    // One's own token says more than anybody else knows. An administrator's opens every channel, so it says nothing.
    let identity: Option<Identity> =
        entry.person().filter(|_| oneself).filter(|person| !person.caps.admin).cloned();
    Ok(Question { event, user, device, roles, identity, sees_all })
}

fn missing(name: &'static str) -> Problem {
    Problem::new(Code::InvalidParameter, format!("the parameter {name} is required"))
        .at(vec![query::required(name)])
}
