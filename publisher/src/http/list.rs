//! `GET /v1/events` and `GET /v1/events/{id}`: what is in the log?

use super::openapi::shapes::{ProblemDocument, StoredEvent};
use super::page::{self, Asked, Source};
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::reads::Reader;
use super::{App, cursor, place, position, unknown_tenant};
use crate::access::{Audience, Caller, Entry, Scope};
use crate::event::rfc3339;
use axum::body::Body;
use axum::extract::{Path, State, rejection::PathRejection};
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{EventFilter, Head, LoggedEvent, Order};
use carillon_platform::ask::{Question, Verdict};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_protocol::{Channel, Epoch, EventId, Seq, TenantId, TypePattern, limits};
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Events on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Channels of one event that the application is asked about.
const ASKED: usize = 8;
/// Longest text to search for, in bytes.
const SEARCH_BYTES: usize = 256;
const PARAMETERS: [&str; 13] = [
    "tenant", "type", "source", "actor", "channel", "subject", "q", "from", "to", "order", "after", "before",
    "limit",
];

/// An event as the log holds it.
#[derive(Serialize, ToSchema)]
pub(super) struct LogEntry {
    /// Its number in the tenant's log.
    #[schema(value_type = u64, minimum = 1)]
    seq: Seq,
    /// The life of the log.
    #[schema(value_type = String, max_length = 32)]
    epoch: Epoch,
    /// Where it went.
    #[schema(value_type = Vec<String>)]
    channels: Vec<Channel>,
    /// The event, byte for byte as every client gets it.
    #[schema(value_type = StoredEvent)]
    event: Box<RawValue>,
}

/// One page of the log.
#[derive(Serialize, ToSchema)]
pub(super) struct EventPage {
    /// At most `limit`. Fewer, or none, say nothing about what follows: a search through a long log ends a page early.
    events: Vec<LogEntry>,
    /// Cursor for `after`: the next page. Newest first it is null on the last one, and only there; with `order=asc` never, for
    /// the log goes on.
    next: Option<String>,
    /// Cursor for `before`: the next newer page. Null on the first one, and with `order=asc`.
    previous: Option<String>,
}

/// Read the tenant's log, newest first, or with `order=asc` forward from a place and without an end.
///
/// An API key with scope `read` and a user token with capability `admin` see all of it. Any other user token sees the
/// events of its own channels (`tenant`, `user:<sub>`, `role:<r>`), and with `channel` those of any channel that it may subscribe
/// to. Filters combine with "and".
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "listEvents",
    tag = "events",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("type" = Option<String>, Query, description = "Exactly this type, or with a `*` at the end (`appointment.*`) all that begin so."),
        ("source" = Option<String>, Query, description = "Exactly this source."),
        ("actor" = Option<String>, Query, description = "Exactly this actor."),
        ("channel" = Option<String>, Query, description = "Events of this channel; one that the token does not allow is 403 `forbidden`."),
        ("subject" = Option<String>, Query, description = "Exactly this subject."),
        ("q" = Option<String>, Query, description = "Text anywhere in the event's JSON, whatever its case and however it was escaped; 1-256 bytes."),
        ("from" = Option<String>, Query, description = "Happened at this RFC 3339 time or later."),
        ("to" = Option<String>, Query, description = "Happened before this RFC 3339 time."),
        ("order" = Option<String>, Query, description = "`desc` (newest first) or `asc`: forward."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there. With `order=asc` also the seq of an event."),
        ("before" = Option<String>, Query, description = "`previous` of a page: go back to newer events. Not together with `after` or `order=asc`."),
        ("limit" = Option<u32>, Query, description = "Events on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = EventPage, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: the page shows the log as it was there. On the page without `after` and `before`; with `order=asc` on a page that has reached the end of the log."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`, `forbidden`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `ask_unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = may_read(app.enter(&caller, asked.as_ref())?)?;
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let limit = limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let (after, before) = (query.take("after"), query.take("before"));
    if after.is_some() && before.is_some() {
        return Err(query::invalid("before", "left out when after is given"));
    }
    let order = query.parsed("order", "asc or desc", order)?.unwrap_or(Order::Descending);
    if before.is_some() && order == Order::Ascending {
        return Err(query::invalid("before", "left out with order=asc"));
    }
    let channel = query.named("channel", |text| Channel::new(text))?;
    let audience = audience(&app, &reader, &entry, channel.as_ref()).await?;
    let filter = filter(&mut query, channel, audience)?;
    let opened = {
        let _turn = reader.turn().await?;
        app.health.ask(app.log.open_tenant(&entry.tenant, false)).await?
    };
    let Some(opened) = opened else {
        return nothing_yet(&app, order, after.or(before));
    };
    let forward =
        (order == Order::Ascending).then(|| place::forward(after.as_deref(), &opened)).transpose()?;
    let Head { tenant, epoch, seq: head, .. } = opened.head;
    let page_of = |text: Option<String>, name: &'static str| {
        text.map(|text| cursor::decode(&text, &tenant, &epoch).ok_or_else(|| invalid_cursor(name)))
            .transpose()
    };
    let asked = match forward {
        Some(after) => Asked::forward(after, head, limit),
        None => Asked::back(page_of(after, "after")?, page_of(before, "before")?, head, limit),
    };
    let (log, health) = (app.log.clone(), app.health.clone());
    let source = Source { log, health, reader, tenant, epoch };
    page::answer(source, filter, asked).await
}

/// Read one event by its id.
///
/// What you may not see is 404, like what is not there. If an id was published again under another idempotency key, the
/// newest.
#[utoipa::path(
    get,
    path = "/v1/events/{id}",
    operation_id = "getEvent",
    tag = "events",
    params(
        ("id" = String, Path, description = "The event's id."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 200, description = "The event.", body = LogEntry, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the log stood."))),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such event, or it is not for you", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn event(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = may_read(app.enter(&caller, asked.as_ref())?)?;
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let nothing = || Problem::new(Code::NotFound, "there is no event of this id, or it is not for you");
    let id = path.ok().and_then(|Path(text)| EventId::new(text).ok()).ok_or_else(nothing)?;
    let held = reader.hold()?;
    let (opened, found) = {
        let _turn = reader.turn().await?;
        // First: the event may be newer than the position, and not older.
        let opened = app.health.ask(app.log.open_tenant(&entry.tenant, false)).await?;
        (opened, app.log.event(&entry.tenant, &id).await?)
    };
    let head = opened.ok_or_else(nothing)?.head;
    let (epoch, event) = found.ok_or_else(nothing)?;
    if let Audience::ByRule(person) = entry.sees(&event.channels) {
        let rules = by_rule(&app, &reader, &entry).await?;
        match reads_one(&app, &rules, person, &event.channels).await {
            Ok(true) => {}
            // Also when the application says nothing: of an event that is not there it is not asked.
            Ok(false) => return Err(nothing()),
            Err(problem) if problem.code == Code::AskUnavailable => return Err(nothing()),
            Err(problem) => return Err(problem),
        }
    }
    let mut text = Vec::new();
    write(&mut text, &row(event, &epoch)?)?;
    let position = position::header(&head.epoch, head.seq);
    Ok((position, [(header::CONTENT_TYPE, JSON)], Body::from(held.piece(text))).into_response())
}

pub(super) fn may_read(entry: Entry) -> Result<Entry, Problem> {
    if entry.may(Scope::Read) {
        Ok(entry)
    } else {
        Err(Problem::new(Code::MissingScope, "reading the log needs an API key with the scope read"))
    }
}

/// How many events a page may have, if the request says so.
pub(super) fn limit(query: &mut Query) -> Result<Option<usize>, Problem> {
    query.parsed("limit", "a whole number from 1 to 200", |text| {
        text.parse().ok().filter(|limit| (1..=limits::PAGE_ROWS).contains(limit))
    })
}

/// Refuses who may not read the past of a channel.
pub(super) async fn allowed(
    app: &App,
    reader: &Reader,
    entry: &Entry,
    channel: &Channel,
) -> Result<(), Problem> {
    audience(app, reader, entry, Some(channel)).await.map(drop)
}

/// The channels in one of which an event of the list must be; none: any.
async fn audience(
    app: &App,
    reader: &Reader,
    entry: &Entry,
    channel: Option<&Channel>,
) -> Result<Option<Vec<Channel>>, Problem> {
    match (entry.audience(channel), channel) {
        (Audience::Own(channels), _) => Ok(Some(channels)),
        (Audience::ByRule(person), Some(channel)) => {
            let rules = by_rule(app, reader, entry).await?;
            if reads_one(app, &rules, person, std::slice::from_ref(channel)).await? {
                return Ok(None);
            }
            Err(Problem::new(Code::Forbidden, "neither the token nor a rule allows this channel"))
        }
        _ => Ok(None),
    }
}

/// The rules of a tenant, for somebody whose token does not open a channel.
pub(super) async fn by_rule(app: &App, reader: &Reader, entry: &Entry) -> Result<Arc<RuleSet>, Problem> {
    let _turn = reader.turn().await?;
    Ok(app.rules.of(&entry.tenant).await?)
}

/// Whether the tenant's application lets somebody do this, in each of these channels.
pub(super) async fn verdicts(
    app: &App,
    rules: &RuleSet,
    person: &Identity,
    action: Action,
    channels: &[Channel],
) -> Result<Vec<bool>, Problem> {
    let Some(endpoint) = rules.endpoint() else { return Ok(vec![false; channels.len()]) };
    let ask = |channel: &Channel| app.asker.ask(endpoint, Question::new(person, channel, action, None));
    let said = futures_util::future::join_all(channels.iter().map(ask)).await;
    if said.iter().any(|verdict| matches!(verdict, Verdict::Unavailable | Verdict::Busy)) {
        let detail = "whether you may the tenant's application says, and it gave no verdict; try again";
        return Err(Problem::new(Code::AskUnavailable, detail));
    }
    Ok(said.into_iter().map(|verdict| matches!(verdict, Verdict::Allowed(_))).collect())
}

/// Whether a rule lets somebody read the past of one of these channels, or the application does where rules leave it to that: of
/// an event in many such channels it is asked about the first [`ASKED`].
pub(super) async fn reads_one(
    app: &App,
    rules: &RuleSet,
    person: &Identity,
    channels: &[Channel],
) -> Result<bool, Problem> {
    let mut left_to_it = Vec::new();
    for channel in channels {
        match rules.decide(Action::History, person, channel) {
            Decision::Allowed(_) => return Ok(true),
            Decision::Ask => left_to_it.push(channel),
            Decision::Forbidden => {}
        }
    }
    let Some(endpoint) = rules.endpoint() else { return Ok(false) };
    let asked = left_to_it.into_iter().take(ASKED).map(|channel| {
        let question = Question::new(person, channel, Action::History, None);
        app.asker.ask(endpoint, question)
    });
    let verdicts = futures_util::future::join_all(asked).await;
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Allowed(_))) {
        return Ok(true);
    }
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Unavailable | Verdict::Busy)) {
        let detail =
            "whether you may read this the tenant's application says, and it gave no verdict; try again";
        return Err(Problem::new(Code::AskUnavailable, detail));
    }
    Ok(false)
}

fn filter(
    query: &mut Query,
    channel: Option<Channel>,
    audience: Option<Vec<Channel>>,
) -> Result<EventFilter, Problem> {
    let attribute = |text: &str| (1..=limits::ATTRIBUTE_BYTES).contains(&text.len()).then(|| text.to_owned());
    let allowed = "1-256 bytes";
    Ok(EventFilter {
        types: query.named("type", |text| TypePattern::new(text))?.into_iter().collect(),
        source: query.parsed("source", allowed, attribute)?,
        actor: query.parsed("actor", allowed, attribute)?,
        subject: query.parsed("subject", allowed, attribute)?,
        channel: channel.map(String::from),
        q: query.parsed("q", "1-256 bytes", |text| {
            (1..=SEARCH_BYTES).contains(&text.len()).then(|| text.to_owned())
        })?,
        from: query.parsed("from", rfc3339::ALLOWED, rfc3339::parse)?.map(|time| time.to_string()),
        to: query.parsed("to", rfc3339::ALLOWED, rfc3339::parse)?.map(|time| time.to_string()),
        audience,
    })
}

fn order(text: &str) -> Option<Order> {
    match text {
        "asc" => Some(Order::Ascending),
        "desc" => Some(Order::Descending),
        _ => None,
    }
}

/// An event as the answer shows it.
pub(super) fn row(event: LoggedEvent, epoch: &Epoch) -> Result<LogEntry, Problem> {
    let LoggedEvent { seq, channels, body } = event;
    let event = RawValue::from_string(body).map_err(|error| {
        tracing::error!(%error, %seq, "an event in the log is not JSON");
        Problem::new(Code::Internal, "an event in the log cannot be read")
    })?;
    Ok(LogEntry { seq, epoch: epoch.clone(), channels, event })
}

/// Adds a value as JSON.
pub(super) fn write(text: &mut Vec<u8>, value: &impl Serialize) -> Result<(), Problem> {
    serde_json::to_writer(text, value)
        .map_err(|_| Problem::new(Code::Internal, "the answer cannot be written"))
}

/// A tenant that was never used has an empty log; a cursor of it cannot exist, but reading forward begins there.
fn nothing_yet(app: &App, order: Order, cursor: Option<String>) -> Result<Response, Problem> {
    if app.tenants.must_be_registered() {
        return Err(unknown_tenant());
    }
    let forward = order == Order::Ascending;
    if cursor.is_some_and(|text| !forward || text != "0") {
        return Err(invalid_cursor("after"));
    }
    let mut text = Vec::new();
    let next = forward.then(|| "0".to_owned());
    write(&mut text, &EventPage { events: Vec::new(), next, previous: None })?;
    Ok(([(header::CONTENT_TYPE, JSON)], text).into_response())
}

fn invalid_cursor(name: &'static str) -> Problem {
    place::invalid(name, "is not a cursor of this log; take next or previous of a page, unchanged")
}
