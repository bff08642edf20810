//! `GET` and `DELETE /v1/notices/{id}`: what became of a notice, and how is it taken back?

use super::SERVICE;
use super::shapes::{NoticePerson, NoticeStatus, RetractedNotice};
use crate::access::{Caller, Entry, Scope};
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::{App, list, position};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::Who;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{EventId, TenantId, UserId};
use http::Uri;
use std::sync::Arc;

/// People on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;

/// Read what became of a notice.
///
/// How many people it is for and how many of them have seen it, read it and taken note, and a page of those who have not (or with `list`
/// of others), by name. It is for who is named, who was seen before it, who follows its channels and whose devices are in them: of a role,
/// those who were connected with it. Needs the scope `read` or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/notices/{id}",
    operation_id = "getNotice",
    tag = "notices",
    params(
        ("id" = String, Path, description = "The id of its event."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("list" = Option<String>, Query, description = "`not_acked`, `acked`, `seen`, `delivered` or `not_delivered`."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "People on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "What became of it.", body = NoticeStatus, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before people were looked at. On the page without `after`."))),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such notice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn status(
    State(app): State<Arc<App>>,
    caller: Caller,
    named: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant", "list", "after", "limit"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let allowed = "one of not_acked, acked, seen, delivered and not_delivered";
    let who = query.parsed("list", allowed, |text| Who::ALL.into_iter().find(|who| who.name() == text))?;
    let who = who.unwrap_or(Who::NotAcked);
    let after = query.named("after", |text| UserId::new(text))?;
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let entry = app.enter(&caller, asked.as_ref())?;
    let is_allowed = entry.admin || (entry.user.is_none() && entry.may(Scope::Read));
    if !is_allowed {
        let detail = "what became of a notice is for the scope read of an API key and the capability admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let id = id(named)?;
    let _turn = turn(&app, &caller, &entry).await?;
    let stands = position::before(&app, &entry.tenant, after.is_none()).await?;
    let after = after.as_ref().map_or("", UserId::as_str);
    let found = app.health.ask(app.log.notice_state(&entry.tenant, &id, (who, after, limit))).await?;
    let found = found.ok_or_else(missing)?;
    let next = found.people.last().filter(|_| found.more).map(|person| person.user.clone());
    let people: Vec<NoticePerson> = found.people.into_iter().map(NoticePerson::from).collect();
    let (not_acked, people) = match who {
        Who::NotAcked => (Some(people), None),
        _ => (None, Some(people)),
    };
    let status = NoticeStatus {
        id,
        seq: found.seq.0,
        r#type: found.kind,
        title: found.title,
        time: found.time.to_string(),
        requires_ack: found.requires_ack,
        expires_at: found.expires_at.map(|at| at.to_string()),
        retracted_at: found.retracted_at.map(|at| at.to_string()),
        audience: found.audience,
        delivered: found.delivered,
        seen: found.seen,
        read: found.read,
        acked: found.acked,
        not_acked,
        people,
        next,
        escalate: found.steps.into_iter().map(Into::into).collect(),
    };
    Ok((stands, Json(status)).into_response())
}

/// Take a notice back.
///
/// It is in no inbox and in no count any more, and whoever is connected is told so. Its event stays in the log. Needs the scope or the
/// capability `publish`.
#[utoipa::path(
    delete,
    path = "/v1/notices/{id}",
    operation_id = "retractNotice",
    tag = "notices",
    params(
        ("id" = String, Path, description = "The id of its event."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 200, description = "It is in no inbox.", body = RetractedNotice),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such notice", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn retract(
    State(app): State<Arc<App>>,
    caller: Caller,
    named: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<RetractedNotice>, Problem> {
    let asked = Query::read(&uri, &["tenant"])?.named("tenant", |text| TenantId::new(text))?;
    let entry = app.enter(&caller, asked.as_ref())?;
    if !entry.may(Scope::Publish) {
        let detail = "taking a notice back needs the scope or the capability publish";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let id = id(named)?;
    let _turn = turn(&app, &caller, &entry).await?;
    app.health.check_writing()?;
    let retracted = app.health.ask(app.log.retract_notice(&entry.tenant, &id)).await?;
    let retracted = retracted.ok_or_else(missing)?;
    if retracted.first {
        let user = entry.user.clone().or_else(|| UserId::new(SERVICE).ok());
        for (channel, user) in retracted.channels.iter().zip(std::iter::repeat(&user)) {
            let Some(user) = user else { continue };
            let frame = ServerFrame::Inbox {
                version: None,
                unread: None,
                unseen: None,
                more: false,
                read_to: None,
                seen_to: None,
                archived_to: None,
                cleared_to: None,
                changed: None,
                retracted: Some(retracted.seq),
                stale: false,
            };
            app.inbox_news.tell(&entry.tenant, channel.clone(), user, &frame);
        }
    }
    let (seq, retracted_at) = (retracted.seq.0, retracted.at.to_string());
    Ok(Json(RetractedNotice { id, seq, retracted_at }))
}

async fn turn(
    app: &App,
    caller: &Caller,
    entry: &Entry,
) -> Result<carillon_platform::share::FairPermit, Problem> {
    app.reads.reader(entry.tenant.as_str(), &caller.name()).turn().await
}

/// Of a text that no event is called by there is no notice.
fn id(named: Result<Path<String>, PathRejection>) -> Result<EventId, Problem> {
    named.ok().and_then(|Path(text)| EventId::new(text).ok()).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no such notice")
}
