//! `GET /v1/latest`: which is the latest event of every key of a channel?
//!
//! All pages together show the channel as the log was where the first one was read: what changed since is on none of them and comes
//! to whoever connects there.

use super::cursor;
use super::list::{self, LogEntry};
use super::openapi::shapes::ProblemDocument;
use super::position;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::reads::PIECE;
use super::{App, place, unknown_tenant};
use crate::access::Caller;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::Head;
use carillon_protocol::{Channel, Epoch, Seq, TenantId, TypePattern};
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Events on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
const PARAMETERS: [&str; 5] = ["tenant", "channel", "type", "after", "limit"];

/// One page of latest events.
#[derive(Serialize, ToSchema)]
pub(super) struct LatestPage {
    /// At most `limit`, oldest first; fewer, or none, say nothing about what follows.
    events: Vec<LogEntry>,
    /// Cursor for `after`: the next page. Null on the last one.
    next: Option<String>,
}

/// Read the latest event of every key of a channel, oldest first.
///
/// Who may read the channel's past may ask. An event's key is its attribute `latestkey`; `channels` names this channel alone. To go on
/// live, connect with the position of the header as `epoch` and `since`.
#[utoipa::path(
    get,
    path = "/v1/latest",
    operation_id = "listLatest",
    tag = "events",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("channel" = String, Query, description = "Which channel; one that the token does not allow is 403 `forbidden`."),
        ("type" = Option<String>, Query, description = "Exactly this type, or with a `*` at the end (`appointment.*`) all that begin so."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Events on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = LatestPage, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: all pages that follow from the first show the channel as it was there. Not of a tenant that was never used."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`, `forbidden`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn latest(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = list::may_read(app.enter(&caller, asked.as_ref())?)?;
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let channel = query.named("channel", |text| Channel::new(text))?;
    let channel = channel.ok_or_else(|| {
        let fault = query::required("channel");
        Problem::new(Code::InvalidParameter, "the parameter channel is required").at(vec![fault])
    })?;
    let types: Vec<TypePattern> = query.named("type", |text| TypePattern::new(text))?.into_iter().collect();
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after");
    list::allowed(&app, &reader, &entry, &channel).await?;
    let held = reader.hold()?;
    let _turn = reader.turn().await?;
    let opened = app.health.ask(app.log.open_tenant(&entry.tenant, false)).await?;
    let Some(opened) = opened else {
        if app.tenants.must_be_registered() {
            return Err(unknown_tenant());
        }
        return match after {
            Some(_) => Err(invalid_cursor()),
            None => Ok(answer(&LatestPage { events: Vec::new(), next: None })?.into_response()),
        };
    };
    let Head { tenant, epoch, .. } = opened.head;
    let from = after.map(|text| page_of(&text, &tenant, &epoch).ok_or_else(invalid_cursor)).transpose()?;
    let (after, upto) = from.unwrap_or((Seq::ZERO, Seq(u64::MAX)));
    let page = app
        .log
        .latest(&tenant, std::slice::from_ref(&channel), &types, (after, upto), (limit, PIECE))
        .await?;
    let page = page.filter(|page| page.epoch == epoch).ok_or_else(invalid_cursor)?;
    // The first page says where the log stood, by the statement that read it.
    let upto = upto.min(page.head);
    let next = (page.reached < upto)
        .then(|| [page.reached, upto].map(|seq| cursor::encode(&tenant, &epoch, seq)).join("."));
    let events = page.events.into_iter().map(|event| list::row(event, &epoch)).collect::<Result<_, _>>()?;
    let body = held.piece(text(&LatestPage { events, next })?);
    Ok((position::header(&epoch, upto), [(header::CONTENT_TYPE, JSON)], Body::from(body)).into_response())
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// After which event a page begins, and where all pages end.
fn page_of(text: &str, tenant: &TenantId, epoch: &Epoch) -> Option<(Seq, Seq)> {
    let (after, upto) = text.split_once('.')?;
    let seq = |text: &str| cursor::decode(text, tenant, epoch);
    Some((seq(after)?, seq(upto)?))
}

fn text(page: &LatestPage) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    list::write(&mut text, page)?;
    Ok(text)
}

fn answer(page: &LatestPage) -> Result<impl IntoResponse + use<>, Problem> {
    Ok(([(header::CONTENT_TYPE, JSON)], text(page)?))
}

fn invalid_cursor() -> Problem {
    place::invalid("after", "is not a cursor of this log; take next of a page, unchanged")
}
