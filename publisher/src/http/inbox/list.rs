//! Which entries are in an inbox, and how many of them are unread?

use super::shapes::{InboxItem, InboxPage, InboxProblems, InboxSummary};
use super::stamp::Stamp;
use super::{Mine, TRIES, restless};
use crate::access::Caller;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::{App, cursor, list as events, place, position};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{InboxAsk, MOST_COUNTED, MOST_EXACT, View};
use carillon_protocol::{Seq, TenantId, TypePattern};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use std::sync::Arc;

/// Longest text to search for, in bytes.
const SEARCH_BYTES: usize = 256;
/// Entries on a page when the request does not say.
const DEFAULT_LIMIT: usize = 20;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Kept by the person's client alone, and asked about before each use.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Read your inbox, newest first.
///
/// The notices of your channels (`tenant`, `user:<sub>`, `role:<r>`, and those you follow) that are not archived. With `filter`:
/// `unread`, `archived`, `snoozed`, or `all`: archived ones, too. Notices of one group are one entry, the newest. Send the `ETag` back as
/// `If-None-Match` to hear in a 304 that nothing has changed. Needs a user token.
#[utoipa::path(
    get,
    path = "/v1/inbox",
    operation_id = "listInbox",
    tag = "inbox",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("filter" = Option<String>, Query, description = "`unread`, `archived`, `snoozed` or `all`."),
        ("type" = Option<String>, Query, description = "Exactly this type, or with a `*` at the end (`appointment.*`) all that begin so."),
        ("q" = Option<String>, Query, description = "Text in title or body, whatever its case; of a group in the newest. A page may end early: go on with `next`."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Entries on a page.", minimum = 1, maximum = 200),
        ("exact" = Option<bool>, Query, description = "`true`: count up to 10,000 instead of 100."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer."),
    ),
    responses(
        (status = 200, description = "A page.", body = InboxPage, headers(("ETag" = String, description = "For `If-None-Match`."), ("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before it was read. On the page without `after`; with a 304 as well."))),
        (status = 304, description = "As it was."),
        InboxProblems,
    ),
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant", "filter", "type", "q", "after", "limit", "exact"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let view = query.parsed("filter", "one of unread, archived, snoozed and all", view)?;
    let view = view.unwrap_or(View::Standing);
    let types: Vec<TypePattern> = query.named("type", |text| TypePattern::new(text))?.into_iter().collect();
    let q = query.parsed("q", "1-256 bytes", |text| {
        (1..=SEARCH_BYTES).contains(&text.len()).then(|| text.to_owned())
    })?;
    let limit = events::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after = query.take("after");
    let most = counted(&mut query)?;
    let mine = Mine::enter(&app, &caller, asked.as_ref()).await?;
    for _ in 0..TRIES {
        let Some((inbox, sight)) = mine.open().await? else {
            return match after {
                Some(_) => Err(invalid_cursor()),
                None => answer(&InboxPage {
                    items: Vec::new(),
                    next: None,
                    epoch: None,
                    summary: InboxSummary::default(),
                }),
            };
        };
        let (tenant, epoch) = (&mine.identity.tenant, &inbox.epoch);
        // Of the first page alone: whoever reads them all and connects with it has everything.
        let stands = position::header(epoch, inbox.head);
        let stands = after.is_none().then_some(stands);
        let from =
            after.as_deref().map(|text| cursor::decode(text, tenant, epoch).ok_or_else(invalid_cursor));
        let before = from.transpose()?.unwrap_or(Seq(u64::MAX));
        let stamp = Stamp::of(&inbox, &sight, uri.query().unwrap_or_default());
        if let Some(tag) = stamp.known(&headers, inbox.now) {
            return Ok((stands, as_it_was(tag)).into_response());
        }
        let ask = InboxAsk { view, before, types: types.clone(), q: q.clone(), limit };
        let Some(page) = app.log.inbox_page(mine.whose(), &inbox, &sight, &ask).await? else { continue };
        let counts = app.log.inbox_counts(mine.whose(), &inbox, &sight, most).await?;
        let Some((counts, until)) = counts else { continue };
        let until = [page.until, until].into_iter().flatten().min();
        let body = InboxPage {
            items: page.items.into_iter().map(InboxItem::from).collect(),
            next: page.next.map(|seq| cursor::encode(tenant, epoch, seq)),
            epoch: Some(epoch.clone()),
            summary: InboxSummary::of(inbox.version, counts),
        };
        return Ok((stands, tagged(&body, stamp.tag(until))?).into_response());
    }
    Err(restless())
}

/// Count what is unread.
///
/// Counted when asked, so it never differs from the list. At most 100 (then `more`), or with `exact=true` 10,000. `ETag` as for the list.
/// Needs a user token.
#[utoipa::path(
    get,
    path = "/v1/inbox/summary",
    operation_id = "inboxSummary",
    tag = "inbox",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("exact" = Option<bool>, Query, description = "`true`: count up to 10,000 instead of 100."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer."),
    ),
    responses(
        (status = 200, description = "The counts.", body = InboxSummary, headers(("ETag" = String, description = "For `If-None-Match`."), ("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before they were counted; with a 304 as well."))),
        (status = 304, description = "As it was."),
        InboxProblems,
    ),
)]
pub(in crate::http) async fn summary(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &["tenant", "exact"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let most = counted(&mut query)?;
    let mine = Mine::enter(&app, &caller, asked.as_ref()).await?;
    for _ in 0..TRIES {
        let Some((inbox, sight)) = mine.open().await? else { return answer(&InboxSummary::default()) };
        let stamp = Stamp::of(&inbox, &sight, &format!("summary {most}"));
        if let Some(tag) = stamp.known(&headers, inbox.now) {
            return Ok((position::header(&inbox.epoch, inbox.head), as_it_was(tag)).into_response());
        }
        let counts = app.log.inbox_counts(mine.whose(), &inbox, &sight, most).await?;
        let Some((counts, until)) = counts else { continue };
        let answer = tagged(&InboxSummary::of(inbox.version, counts), stamp.tag(until))?;
        return Ok((position::header(&inbox.epoch, inbox.head), answer).into_response());
    }
    Err(restless())
}

fn view(text: &str) -> Option<View> {
    match text {
        "unread" => Some(View::Unread),
        "archived" => Some(View::Archived),
        "snoozed" => Some(View::Snoozed),
        "all" => Some(View::All),
        _ => None,
    }
}

/// How much is counted.
fn counted(query: &mut Query) -> Result<usize, Problem> {
    let exact = query.parsed("exact", "true or false", |text| text.parse::<bool>().ok())?;
    Ok(if exact == Some(true) { MOST_EXACT } else { MOST_COUNTED })
}

fn answer(body: &impl Serialize) -> Result<Response, Problem> {
    let mut text = Vec::new();
    events::write(&mut text, body)?;
    Ok(([(header::CONTENT_TYPE, JSON)], Body::from(text)).into_response())
}

fn tagged(body: &impl Serialize, tag: HeaderValue) -> Result<Response, Problem> {
    let mut response = answer(body)?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, PRIVATE);
    Ok(response)
}

fn as_it_was(tag: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, tag), (header::CACHE_CONTROL, PRIVATE)]).into_response()
}

fn invalid_cursor() -> Problem {
    place::invalid("after", "is not a cursor of this inbox; take next of a page, unchanged")
}
