//! `GET /v1/activity`: what did people do, as their pages say?

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::{App, list, place, position};
use crate::access::{Caller, Scope};
use crate::event::rfc3339;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_backplane::log::{ActivityQuery, StoredActivity};
use carillon_protocol::{TenantId, UserId};
use http::{HeaderValue, Uri, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

/// Rows of a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
const PARAMETERS: [&str; 7] = ["tenant", "user", "name", "from", "to", "after", "limit"];
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Something that somebody did.
#[derive(Serialize, ToSchema)]
pub(super) struct ActivityEntry {
    /// Its UUID.
    id: String,
    /// When it came, by the gateway's clock, to the millisecond.
    time: String,
    /// Who did it; of an API key `key:<id>`.
    user: String,
    /// On which device; left out where the client gave none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    device: Option<String>,
    /// On which connection.
    connection: String,
    /// What.
    name: String,
    /// More about it.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

/// A page of what people did.
#[derive(Serialize, ToSchema)]
pub(super) struct ActivityPage {
    /// At most `limit`, newest first.
    activity: Vec<ActivityEntry>,
    /// Cursor for `after`: the next page. Null on the last one.
    next: Option<String>,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/activity", get(list))
}

/// Read what people did.
///
/// What clients have said with `activity` frames, newest first, for as many days as the installation keeps it. It is there a second or
/// two after it was said. Needs an API key with the scope `read`, or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/activity",
    operation_id = "listActivity",
    tag = "activity",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("user" = Option<String>, Query, description = "Only of this person."),
        ("name" = Option<String>, Query, description = "Only of this name."),
        ("from" = Option<String>, Query, description = "Done at this RFC 3339 time or later."),
        ("to" = Option<String>, Query, description = "Done before this RFC 3339 time."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Entries on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = ActivityPage, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before activity was looked at. On the page without `after`; none in a tenant that was never used."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = app.enter(&caller, asked.as_ref())?;
    let may = match &caller {
        Caller::Key(_) => entry.may(Scope::Read),
        _ => entry.admin,
    };
    if !may {
        let detail = "to read what people did needs an API key with the scope read, or a user token with the capability admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let user = query.take("user");
    if user.as_ref().is_some_and(|user| UserId::new(user).is_err()) {
        return Err(query::invalid("user", "1-128 bytes of UTF-8 without control characters"));
    }
    let name = query.take("name");
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:/-".contains(&b);
    if name.as_ref().is_some_and(|name| !(1..=64).contains(&name.len()) || !name.bytes().all(is_plain)) {
        return Err(query::invalid("name", "1-64 of A-Z, a-z, 0-9 and _.:/-"));
    }
    let from = query.parsed("from", rfc3339::ALLOWED, moment)?;
    let to = query.parsed("to", rfc3339::ALLOWED, moment)?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after").map(|text| read_place(&text).ok_or_else(invalid_cursor)).transpose()?;
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let held = reader.hold()?;
    let _turn = reader.turn().await?;
    let stands = position::before(&app, &entry.tenant, after.is_none()).await?;
    let wanted = ActivityQuery {
        user: user.as_deref(),
        name: name.as_deref(),
        from,
        to,
        after: after.as_ref().map(|(at, id)| (*at, id.as_str())),
        limit: limit as u32 + 1,
    };
    let mut found = app.health.ask(app.log.activity(&entry.tenant, wanted)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(write_place);
    let activity = found.into_iter().map(shown).collect::<Result<_, _>>()?;
    let mut text = Vec::new();
    list::write(&mut text, &ActivityPage { activity, next })?;
    Ok((stands, [(header::CONTENT_TYPE, JSON)], Body::from(held.piece(text))).into_response())
}

fn moment(text: &str) -> Option<Timestamp> {
    rfc3339::parse(text)?.to_string().parse().ok()
}

fn shown(stored: StoredActivity) -> Result<ActivityEntry, Problem> {
    let data = RawValue::from_string(stored.data).map_err(|error| {
        tracing::error!(%error, id = stored.id, "stored activity is no JSON");
        Problem::new(Code::Internal, "stored activity cannot be read; the server's log says why")
    })?;
    Ok(ActivityEntry {
        id: stored.id,
        time: format!("{:.3}", stored.at),
        user: stored.user,
        device: stored.device,
        connection: stored.connection,
        name: stored.name,
        data,
    })
}

/// Where the next page begins: after this one.
fn write_place(last: &StoredActivity) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", last.at.as_microsecond(), last.id))
}

fn read_place(text: &str) -> Option<(Timestamp, String)> {
    let place = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (at, id) = place.split_once(' ')?;
    let id = uuid::Uuid::try_parse(id).ok()?;
    Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, id.to_string()))
}

fn invalid_cursor() -> Problem {
    place::invalid("after", "is not a cursor of this list; take next of a page, unchanged")
}
