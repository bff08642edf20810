//! `GET /v1/presence/{channel}` and `GET /v1/presence?user=`: who is in a channel, and where is somebody?
//!
//! As over frames: a channel's rule says who sees who is in it. Whoever reads all of a tenant's log with an API key sees everybody.

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::{App, list, place, position, unknown_tenant};
use crate::access::{Caller, Entry};
use crate::presence::PresenceFault;
use axum::Json;
use axum::extract::{Path, State, rejection::PathRejection};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_backplane::bus::{Somebody, Whereabouts};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, RuleSet};
use carillon_platform::share::Refused;
use carillon_protocol::{Channel, TenantId, UserId};
use http::Uri;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

/// Entries of a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Channels of somebody that the application is asked about.
const ASKED: usize = 8;

/// Somebody who is in a channel.
#[derive(Serialize, ToSchema)]
pub(super) struct PresentMember {
    /// Who.
    #[schema(value_type = String)]
    user: UserId,
    /// Since when, in milliseconds since 1970.
    since: u64,
    /// What they say about themselves: any JSON; left out where they say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    meta: Option<Box<RawValue>>,
}

/// Who is in a channel, or some of them.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelPresence {
    /// Which.
    #[schema(value_type = String)]
    channel: Channel,
    /// How many people are in it.
    count: usize,
    /// At most `limit` of them, in the order of their coming.
    members: Vec<PresentMember>,
    /// Redis is away, or was just now: this is how it was before. Left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    /// Cursor for `after`: the next page; null on the last one.
    next: Option<String>,
}

/// A channel that somebody is in.
#[derive(Serialize, ToSchema)]
pub(super) struct PresentPlace {
    /// Which.
    #[schema(value_type = String)]
    channel: Channel,
    /// Since when, in milliseconds since 1970.
    since: u64,
    /// What they say about themselves there: any JSON; left out where they say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    meta: Option<Box<RawValue>>,
}

/// Where somebody is.
#[derive(Serialize, ToSchema)]
pub(super) struct UserPresence {
    /// Who.
    #[schema(value_type = String)]
    user: UserId,
    /// Whether they are in any channel in which you may see who is.
    present: bool,
    /// At most `limit` of these channels, by name.
    channels: Vec<PresentPlace>,
    /// Redis is away, or was just now: this is how it was before. Left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    /// Cursor for `after`: the next page; null on the last one.
    next: Option<String>,
}

/// Who is in a channel.
///
/// Whoever the channel's rule lists for `presence` may ask, and an API key with the scope `read`. Pages are in the order of people's
/// coming; somebody who comes while you read is on a later one.
#[utoipa::path(
    get,
    path = "/v1/presence/{channel}",
    operation_id = "getChannelPresence",
    tag = "presence",
    params(
        ("channel" = String, Path, description = "Which channel."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "People on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = ChannelPresence, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before people were counted. Not while the log is away."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`, `forbidden`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user asks as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`presence_unavailable`, `ask_unavailable`, `overloaded`, `unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn channel(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant", "after", "limit"])?;
    let entry = entered(&app, &caller, &mut query)?;
    let channel = path.ok().and_then(|Path(text)| Channel::new(text).ok());
    let channel = channel.ok_or_else(|| query::invalid("channel", Channel::ALLOWED))?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after").map(|text| read_place(&text).ok_or_else(invalid_cursor)).transpose()?;
    if let Some(person) = entry.person()
        && !sees(&app, &*rules(&app, &caller, &entry).await?, person, &channel).await?
    {
        let detail = "the channel's rule does not let you see who is in it";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let position = stands(&app, &caller, &entry).await?;
    let page = app.presence.channel(&caller.name(), &entry.tenant, &channel, after.as_ref(), limit).await?;
    let next = page.members.last().filter(|_| page.more).map(write_place);
    let members = page.members.into_iter().map(member).collect();
    let answer = ChannelPresence { channel, count: page.count, members, stale: page.stale, next };
    Ok((position, Json(answer)).into_response())
}

/// Where somebody is.
///
/// With an API key all channels that they are seen in; with a user token those in which its rule lets you see who is.
#[utoipa::path(
    get,
    path = "/v1/presence",
    operation_id = "getUserPresence",
    tag = "presence",
    params(
        ("user" = String, Query, description = "Who."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Channels on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = UserPresence, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before they were looked for. Not while the log is away."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user asks as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`presence_unavailable`, `ask_unavailable`, `overloaded`, `unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn user(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["user", "tenant", "after", "limit"])?;
    let entry = entered(&app, &caller, &mut query)?;
    let user = query.named("user", |text| UserId::new(text))?.ok_or_else(|| {
        let fault = query::required("user");
        Problem::new(Code::InvalidParameter, "the parameter user is required").at(vec![fault])
    })?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after").map(|text| read_name(&text).ok_or_else(invalid_cursor)).transpose()?;
    let rules = match entry.person() {
        Some(_) => Some(rules(&app, &caller, &entry).await?),
        None => None,
    };
    let position = stands(&app, &caller, &entry).await?;
    let (mut places, stale) = app.presence.user(&caller.name(), &entry.tenant, &user).await?;
    if let (Some(person), Some(rules)) = (entry.person(), rules) {
        let decide = |place: &Whereabouts| rules.decide(Action::Presence, person, &place.channel);
        let left_to_it: Vec<Channel> = places
            .iter()
            .filter(|place| decide(place) == Decision::Ask)
            .map(|place| place.channel.clone())
            .take(ASKED)
            .collect();
        let said = list::verdicts(&app, &rules, person, Action::Presence, &left_to_it).await?;
        let by_verdict: Vec<&Channel> =
            left_to_it.iter().zip(said).filter(|(_, yes)| *yes).map(|(channel, _)| channel).collect();
        places.retain(|place| {
            matches!(decide(place), Decision::Allowed(_)) || by_verdict.contains(&&place.channel)
        });
    }
    let present = !places.is_empty();
    places.retain(|place| after.as_ref().is_none_or(|after| place.channel > *after));
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places.last().filter(|_| more).map(|place| URL_SAFE_NO_PAD.encode(place.channel.as_str()));
    let channels = places.into_iter().map(whereabouts).collect();
    Ok((position, Json(UserPresence { user, present, channels, stale, next })).into_response())
}

fn entered(app: &App, caller: &Caller, query: &mut Query) -> Result<Entry, Problem> {
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = app.enter(caller, asked.as_ref())?;
    list::may_read(entry)
}

async fn rules(app: &App, caller: &Caller, entry: &Entry) -> Result<Arc<RuleSet>, Problem> {
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    list::by_rule(app, &reader, entry).await
}

/// Whether a rule lets somebody see who is in a channel, or the application where the rule leaves it to that. As over frames:
/// nothing else does.
async fn sees(app: &App, rules: &RuleSet, person: &Identity, channel: &Channel) -> Result<bool, Problem> {
    match rules.decide(Action::Presence, person, channel) {
        Decision::Allowed(_) => Ok(true),
        Decision::Forbidden => Ok(false),
        Decision::Ask => {
            let channels = std::slice::from_ref(channel);
            let said = list::verdicts(app, rules, person, Action::Presence, channels).await?;
            Ok(said.first() == Some(&true))
        }
    }
}

/// Where the log stands: before it is looked who is here, so that what happens meanwhile is not missed. Who is here is known also
/// while the log is away.
async fn stands(app: &App, caller: &Caller, entry: &Entry) -> Result<position::Header, Problem> {
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let opened = {
        let _turn = reader.turn().await?;
        app.health.ask(app.log.open_tenant(&entry.tenant, false)).await
    };
    match opened {
        Ok(Some(opened)) => Ok(position::header(&opened.head.epoch, opened.head.seq)),
        Ok(None) if app.tenants.must_be_registered() => Err(unknown_tenant()),
        Ok(None) | Err(_) => Ok(AppendHeaders(None)),
    }
}

fn member(one: Somebody) -> PresentMember {
    PresentMember { user: one.user, since: one.since_ms, meta: raw(one.meta) }
}

fn whereabouts(one: Whereabouts) -> PresentPlace {
    PresentPlace { channel: one.channel, since: one.since_ms, meta: raw(one.meta) }
}

fn raw(meta: Option<Arc<str>>) -> Option<Box<RawValue>> {
    meta.and_then(|meta| RawValue::from_string(meta.to_string()).ok())
}

fn write_place(after: &Somebody) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", after.since_ms, after.user))
}

fn read_place(text: &str) -> Option<(u64, UserId)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (since_ms, user) = text.split_once(' ')?;
    Some((since_ms.parse().ok()?, UserId::new(user).ok()?))
}

fn read_name(text: &str) -> Option<Channel> {
    Channel::new(String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?).ok()
}

fn invalid_cursor() -> Problem {
    place::invalid("after", "is not next of a page; take it unchanged")
}

impl From<PresenceFault> for Problem {
    fn from(fault: PresenceFault) -> Self {
        match fault {
            PresenceFault::Away(_) => Problem::new(
                Code::PresenceUnavailable,
                "Redis is away, and this publisher has not answered this question before; try again",
            ),
            PresenceFault::TooSlow => Problem::new(
                Code::PresenceUnavailable,
                "Redis took more than five seconds over it; try again",
            ),
            PresenceFault::Refused(Refused::Total) => {
                Problem::new(Code::Overloaded, "too many ask who is here; try again")
            }
            PresenceFault::Refused(Refused::Group | Refused::Member) => {
                let detail = "the tenant, key or user asks as much at a time as it may; try again";
                Problem::new(Code::TooManyRequests, detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_after_the_last_one_that_was_shown() {
        for name in ["mila", "Smith, John", "a b c", "žofie"] {
            let last = Somebody { user: UserId::new(name).unwrap(), since_ms: 1_795_955_237_899, meta: None };
            let (since_ms, user) = read_place(&write_place(&last)).unwrap();
            assert_eq!((since_ms, user), (last.since_ms, last.user));
        }
        for wrong in ["", "x", "!", &URL_SAFE_NO_PAD.encode("5"), &URL_SAFE_NO_PAD.encode("x mila")] {
            assert!(read_place(wrong).is_none(), "{wrong}");
        }
        assert_eq!(read_name(&URL_SAFE_NO_PAD.encode("branch:1")).unwrap().as_str(), "branch:1");
        assert!(read_name(&URL_SAFE_NO_PAD.encode("a b")).is_none());
    }
}
